"""FTX-Edge: an English text classifier becomes small on-device models for other languages, without labels.

Every name below is loaded when it is first used, so that ``import ftx_edge`` costs nothing and a device that
only predicts needs neither torch nor transformers.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ftx_edge.benchmarks import benchmark_accuracy, benchmark_latency
    from ftx_edge.data import Span, Utterance, read_texts, read_utterances
    from ftx_edge.data_check import check_data
    from ftx_edge.distillation.pipeline import distill
    from ftx_edge.distillation.plan import plan
    from ftx_edge.errors import FtxError
    from ftx_edge.evaluation import evaluate
    from ftx_edge.exporters import export
    from ftx_edge.recipe import Recipe
    from ftx_edge.runtime import inspect, load
    from ftx_edge.source import train_source
    from ftx_edge.translation import translate

__version__ = "0.1.0"

__all__ = [
    "FtxError",
    "Recipe",
    "Span",
    "Utterance",
    "__version__",
    "benchmark_accuracy",
    "benchmark_latency",
    "check_data",
    "distill",
    "evaluate",
    "export",
    "inspect",
    "load",
    "plan",
    "read_texts",
    "read_utterances",
    "train_source",
    "translate",
]

_HOME = {
    "FtxError": "ftx_edge.errors",
    "Recipe": "ftx_edge.recipe",
    "Span": "ftx_edge.data",
    "Utterance": "ftx_edge.data",
    "benchmark_accuracy": "ftx_edge.benchmarks",
    "benchmark_latency": "ftx_edge.benchmarks",
    "check_data": "ftx_edge.data_check",
    "distill": "ftx_edge.distillation",
    "evaluate": "ftx_edge.evaluation",
    "export": "ftx_edge.exporters",
    "inspect": "ftx_edge.runtime",
    "load": "ftx_edge.runtime",
    "plan": "ftx_edge.distillation",
    "read_texts": "ftx_edge.data",
    "read_utterances": "ftx_edge.data",
    "train_source": "ftx_edge.source",
    "translate": "ftx_edge.translation",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        value = getattr(importlib.import_module(_HOME[name]), name)
    except ModuleNotFoundError as error:
        from ftx_edge.extras import missing_extra

        raise missing_extra(error) or error from None
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
