"""Measurements: latency beside translate-test, accuracy, naive training, and the tables and plots of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ftx_edge.benchmarks.latency import LatencyReport, benchmark_latency
    from ftx_edge.benchmarks.suite_report import AccuracyReport, benchmark_accuracy

__all__ = ["AccuracyReport", "LatencyReport", "benchmark_accuracy", "benchmark_latency"]


# Lazily, so that `python -m ftx_edge.benchmarks.massive` and the like load what they need and no more.
def __getattr__(name: str) -> Any:
    if name in ("AccuracyReport", "benchmark_accuracy"):
        from ftx_edge.benchmarks import suite_report

        return getattr(suite_report, name)
    if name in __all__:
        from ftx_edge.benchmarks import latency

        return getattr(latency, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
