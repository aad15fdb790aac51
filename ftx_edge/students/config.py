"""What a student is made of. Imports no torch: recipes are checked without it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from ftx_edge import toml
from ftx_edge.errors import UsageError

ARCHITECTURES = ("transformer", "bilstm", "cnn", "static")
NORMS = ("pre", "post")


@dataclass(frozen=True)
class StudentSizes:
    """Sizes of a student; the defaults are the paper's (about 5M parameters at 10k subwords).

    Args:
        max_length: longest input in subwords, the leading ``[CLS]`` included.
        embedding_size: width of the embeddings, and of the transformer and the CNN.
        layers: transformer blocks, LSTM layers, or dilated blocks of a tagging CNN; 0: 4, of a BiLSTM 2.
        heads: attention heads.
        feed_forward: inner width of a transformer block.
        lstm_size: hidden units of the BiLSTM in each direction.
        kernels: kernel widths of the classifying CNN.
        channels: feature maps of each kernel width.
        window: subwords on each side that a static tagger looks at.
        dropout: on embeddings, blocks and before the heads.
    """

    max_length: int = 128
    embedding_size: int = 256
    layers: int = 0
    heads: int = 4
    feed_forward: int = 768
    lstm_size: int = 256
    kernels: tuple[int, ...] = (3, 4, 5)
    channels: int = 256
    window: int = 2
    dropout: float = 0.1


@dataclass(frozen=True)
class _StudentHead:
    """What stands before the sizes: fields of the last base come first."""

    architecture: str = "transformer"
    vocab_size: int = 10_000
    labels: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    norm: str = "pre"
    word_starts: bool = False


@dataclass(frozen=True)
class StudentConfig(StudentSizes, _StudentHead):
    """All that a student is made of.

    Args:
        architecture: one of ``ARCHITECTURES``.
        vocab_size: number of subwords.
        labels: sentence labels; empty for a tagger.
        tags: BIO tags, ``O`` first; empty for a classifier.
        norm: where a transformer normalises: ``pre``, before each block, or ``post``, as BERT does.
        word_starts: of a tagger: it also says at which subwords a word begins, where no space does.
    """

    def __post_init__(self) -> None:
        if self.architecture not in ARCHITECTURES:
            raise UsageError(f"unknown student {self.architecture!r}: one of {', '.join(ARCHITECTURES)}")
        if self.norm not in NORMS:
            raise UsageError(f"unknown norm {self.norm!r}: one of {', '.join(NORMS)}")
        if self.layers == 0:
            default = {"transformer": 4, "bilstm": 2, "cnn": 4, "static": 1}[self.architecture]
            object.__setattr__(self, "layers", default)
        for name in ("labels", "tags", "kernels"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.embedding_size % self.heads:
            raise UsageError(f"embedding_size {self.embedding_size} is no multiple of heads {self.heads}")

    @property
    def task(self) -> str:
        """``classification``, ``tagging`` or ``joint``."""
        if self.labels and self.tags:
            return "joint"
        return "tagging" if self.tags else "classification"

    def to_json(self) -> str:
        """The same text for the same sizes."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> StudentConfig:
        """Read what ``to_json`` wrote.

        Raises:
            UsageError: fields that this version does not know, or of another type.
            ValueError: no JSON.
        """
        values = json.loads(text)
        if not isinstance(values, dict):
            raise UsageError("not the configuration of a student")
        return toml.replaced(cls(), values)
