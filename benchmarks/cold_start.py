"""From the start of a process to its first answer, and what memory it took at most."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ftx_edge.errors import FtxError

# The memory that Linux reports for a process begins with that of the process which started it. So a bare
# interpreter stands between the benchmark, which may have loaded torch, and the process that is measured.
_LAUNCHER = """
import json, os, subprocess, sys, time
start = time.perf_counter()
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
first_line = process.stdout.readline()
seconds = time.perf_counter() - start
rest = process.stdout.read()
if hasattr(os, "wait4"):
    _, status, usage = os.wait4(process.pid, 0)
    code = os.waitstatus_to_exitcode(status)
    memory = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
else:
    code, memory = process.wait(), None
answer = (first_line + rest).decode()
print(json.dumps({"seconds": seconds, "memory": memory, "code": code, "answer": answer}))
"""

# What a program that uses the library does; it answers first and reports afterwards.
LIBRARY = """
import sys, time
start = time.perf_counter()
import ftx_edge.runtime
imported = time.perf_counter()
package = ftx_edge.runtime.load(sys.argv[1])
loaded = time.perf_counter()
print(package.predict(sys.argv[2]).label, flush=True)
answered = time.perf_counter()
print(loaded - imported, imported - start, answered - loaded)
"""

TRANSLATE_TEST = """
import sys
from ftx_edge.teachers import open_teacher
from ftx_edge.translation import open_translator
translator, teacher = open_translator(sys.argv[1]), open_teacher(sys.argv[2])
print(teacher.ask(translator.translate([sys.argv[3]])).labels.argmax(), flush=True)
"""


@dataclass(frozen=True, slots=True)
class ColdStart:
    """Several starts of a process.

    Attributes:
        seconds: from its start to its first answer, the median; ``fastest`` and ``slowest`` beside it.
        peak_memory: bytes, the most that it held resident; None where the system does not say.
        load_seconds: of it, opening the package: hashes verified, tokenizer and session made.
        import_seconds: of it, importing the library.
    """

    seconds: float
    fastest: float
    slowest: float
    repeats: int
    peak_memory: int | None
    load_seconds: float | None = None
    import_seconds: float | None = None


def cold_start(
    arguments: Sequence[str],
    *,
    repeats: int,
    environment: Mapping[str, str] | None = None,
    reports: bool = False,
) -> ColdStart:
    """Start ``python *arguments`` several times, one after the other.

    Args:
        arguments: of the interpreter, ``-c``, ``-m`` ...; the process must print its answer first.
        repeats: how often; once more before, unmeasured, so that the files are in the system's cache.
        environment: added to that of this process.
        reports: whether a second line says load and import seconds (as `LIBRARY` does).

    Raises:
        FtxError: the process fails.
    """
    runs = [_start(arguments, environment or {}) for _ in range(repeats + 1)][1:]
    seconds = [run["seconds"] for run in runs]
    memory = [run["memory"] for run in runs if run["memory"] is not None]
    parts = [run["answer"].splitlines()[1].split() for run in runs] if reports else []
    return ColdStart(
        seconds=statistics.median(seconds),
        fastest=min(seconds),
        slowest=max(seconds),
        repeats=repeats,
        peak_memory=max(memory, default=None),
        load_seconds=statistics.median(float(part[0]) for part in parts) if parts else None,
        import_seconds=statistics.median(float(part[1]) for part in parts) if parts else None,
    )


def _start(arguments: Sequence[str], environment: Mapping[str, str]) -> dict[str, Any]:
    # -P: the folder that this is called in may hold another ftx_edge, such as the source tree.
    command = [sys.executable, "-P", "-c", _LAUNCHER, sys.executable, "-P", *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **environment}, check=False
    )
    run = json.loads(done.stdout) if done.returncode == 0 else {"code": done.returncode}
    if run["code"] != 0:
        last = (done.stderr.strip() or "it printed no error").splitlines()[-1]
        raise FtxError(f"the process whose cold start is measured failed with code {run['code']}: {last}")
    return run
