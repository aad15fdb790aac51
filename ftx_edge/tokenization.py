"""The student's own tokenizer: a BPE of its language, trained on the unlabelled text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from ftx_edge.soft_labels import WordSpans

PAD, UNK, CLS = "[PAD]", "[UNK]", "[CLS]"
SPECIAL_TOKENS = (PAD, UNK, CLS)
UNSPACED = frozenset({"zh", "ja", "th", "lo", "km", "my"})
"""Languages whose words are written without spaces between them."""
_NORMALIZER = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])


@dataclass(frozen=True)
class Encoded:
    """Subwords of many texts, ragged.

    Args:
        ids: int32 (M,), the subwords of all texts one after the other.
        offsets: int32 (M, 2), character offsets in the own text; (0, 0) for special tokens.
        splits: int64 (N + 1,): the subwords of text i are ``splits[i]:splits[i + 1]``.
    """

    ids: NDArray[np.int32]
    offsets: NDArray[np.int32]
    splits: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.splits) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(N,) number of subwords of each text."""
        return np.diff(self.splits)


def train_tokenizer(
    texts: Sequence[str],
    *,
    lang: str,
    words: Sequence[WordSpans] | None = None,
    vocab_size: int = 10_000,
    max_length: int = 128,
) -> Tokenizer:
    """Train a BPE tokenizer; the same texts give the same tokenizer, byte for byte.

    Args:
        texts: unlabelled text of the language.
        lang: decides how words begin: in spaced languages with a metaspace; where there are no
            spaces, words are not marked, since the device sees none.
        words: the words of each text, for unspaced languages: no piece is learned across two of
            them. The tokenizer is applied to raw text later.
        vocab_size: most pieces, special tokens included.
        max_length: longest encoding, ``[CLS]`` included; the rest is cut off.
    """
    tokenizer = bare_tokenizer(models.BPE(unk_token=UNK), lang)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, min_frequency=2, special_tokens=list(SPECIAL_TOKENS), show_progress=False
    )
    tokenizer.train_from_iterator(segmented_texts(texts, words), trainer)
    return finished_tokenizer(tokenizer, max_length)


def bare_tokenizer(model: models.Model, lang: str) -> Tokenizer:
    """A model of pieces behind the normalisation and the splitting that every student has."""
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = _NORMALIZER
    if lang in UNSPACED:
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()]
        )
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Metaspace(prepend_scheme="always"), pre_tokenizers.Punctuation()]
        )
        tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    return tokenizer


def normalized(text: str) -> str:
    """The text as every student reads it."""
    return _NORMALIZER.normalize_str(text)


def finished_tokenizer(tokenizer: Tokenizer, max_length: int) -> Tokenizer:
    """Put ``[CLS]`` before every text, and cut at ``max_length``."""
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{CLS} $A", pair=f"{CLS} $A $B", special_tokens=[(CLS, tokenizer.token_to_id(CLS))]
    )
    tokenizer.enable_truncation(max_length)
    return tokenizer


def encode(tokenizer: Tokenizer, texts: Sequence[str]) -> Encoded:
    """Encode every text, special tokens and truncation as the tokenizer says; no padding."""
    encodings = tokenizer.encode_batch(list(texts))
    splits = np.zeros(len(encodings) + 1, dtype=np.int64)
    splits[1:] = np.cumsum([len(e.ids) for e in encodings])
    ids = np.fromiter((i for e in encodings for i in e.ids), dtype=np.int32, count=int(splits[-1]))
    flat = (character for e in encodings for offset in e.offsets for character in offset)
    offsets = np.fromiter(flat, dtype=np.int32, count=2 * int(splits[-1])).reshape(-1, 2)
    return Encoded(ids, offsets, splits)


def segmented_texts(texts: Sequence[str], words: Sequence[WordSpans] | None) -> Iterator[str]:
    """The texts with a space between any two words, or as they are."""
    if words is None:
        yield from texts
        return
    for text, spans in zip(texts, words, strict=True):
        yield " ".join(text[start:end] for start, end in spans)
