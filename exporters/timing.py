"""How fast a package that was just exported is, here."""

from __future__ import annotations

import platform
import time
from collections.abc import Sequence

import numpy as np

from ftx_edge.runtime.package import Package


def median_latency(package: Package, texts: Sequence[str]) -> float:
    """Milliseconds of a prediction, tokenizer included."""
    times = []
    for text in [*texts[:20], *texts]:
        start = time.perf_counter()
        package.predict(text)
        times.append(time.perf_counter() - start)
    return float(np.median(times[len(texts[:20]) :])) * 1000


def processor_name() -> str:
    """The processor's name as the system gives it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
