"""Which precision ``auto`` stands for."""

from __future__ import annotations

import torch


def resolve_precision(precision: str, device: torch.device) -> str:
    """What ``auto`` means: bf16 where the device computes it natively."""
    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
    if device.type == "cpu" and _cpu_computes_bf16():
        return "bf16"
    return "fp32"


def _cpu_computes_bf16() -> bool:
    """AVX512-BF16 or AMX: without them bf16 is emulated and slow."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return any(
                flag in line
                for line in file
                if line.startswith("flags")
                for flag in ("avx512_bf16", "amx_bf16")
            )
    except OSError:
        return False
