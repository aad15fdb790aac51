"""Tags of target text, made to follow each other as in English.

A teacher says of each word by itself what it is. Where it is unsure, it lets two words in turn begin a
date, says of the word between two halves of a time that it is none, or of the first word of a span that
it goes on with what nothing began, because in English it would stand second. Which tags follow each other
depends on the label set more than on the language, and the source model's tags of the unlabelled English
text tell. So each word gets its marginal in a chain (forward-backward; Rabiner 1989, section III). Of the
teacher the chain hears how likely each label is, and not whether a span of it begins; between words it
hears how many times likelier a tag is after another than anywhere. No label is read. With which tags
texts begin and end is left out: languages differ in that.

The teacher has read the words around each word, so the chain hears some of its evidence twice: the
potentials between words count in part only (``share``).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ftx_edge.alignment import tag_columns
from ftx_edge.distillation.labelled_source import LabelledSource
from ftx_edge.distillation.word_tags import of_words, tags_of_words
from ftx_edge.files import sha256_of_text
from ftx_edge.soft_labels import Said, SoftTags, Teacher, WordSpans

PSEUDO_WORDS = 200.0
"""As many words after each tag are taken to follow by chance: of rare tags little is known."""
LARGEST_RATIO = 400.0
"""No tag becomes so many times likelier after another, or less likely."""
SMALLEST = 1e-6
"""No tag is ruled out by one word."""


def ratios(probs: NDArray[np.float32], splits: NDArray[np.int64]) -> NDArray[np.float32]:
    """How many times likelier each tag is after each other than anywhere.

    Args:
        probs: float32 (W, K), tag distributions of the words of N texts.
        splits: int64 (N + 1,): the words of text i are ``splits[i]:splits[i + 1]``.

    Returns:
        float32 (K, K), row: the tag before; between 1 / ``LARGEST_RATIO`` and ``LARGEST_RATIO``.
    """
    inside = np.ones(max(len(probs) - 1, 0), dtype=np.bool_)
    ends = splits[1:-1] - 1
    inside[ends[(ends >= 0) & (ends < len(inside))]] = False
    counts = probs[:-1][inside].T @ probs[1:][inside]
    before = counts.sum(axis=1, keepdims=True)
    anywhere = (counts.sum(axis=0) / max(counts.sum(), 1.0)).clip(1e-9)
    after = (counts + PSEUDO_WORDS * anywhere) / (before + PSEUDO_WORDS)
    return (after / anywhere).clip(1 / LARGEST_RATIO, LARGEST_RATIO).astype(np.float32)


def open_ended(
    probs: NDArray[np.float32], splits: NDArray[np.int64], tags: Sequence[str]
) -> NDArray[np.float32]:
    """How likely each label is of each word, as the potential both of beginning it and of going on with it.

    The first word of a text goes on with nothing.

    Args:
        probs: float32 (W, K), distributions over ``tags``.
        splits: as in ``ratios``.
        tags: BIO names.

    Returns:
        float32 (W, K).
    """
    _, begin, inside = tag_columns(tuple(tags))
    found = probs.copy()
    found[:, begin] = found[:, inside] = probs[:, begin] + probs[:, inside]
    firsts = splits[:-1][np.diff(splits) > 0]
    found[np.ix_(firsts, inside)] = 0
    return found


def chained(
    own: NDArray[np.float32], splits: NDArray[np.int64], between: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The marginals of each word in the chain of its text.

    Args:
        own: float32 (W, K), the potential of each tag of each word.
        splits: as in ``ratios``.
        between: float32 (K, K), the potential of a tag (column) after another (row).

    Returns:
        float32 (W, K), rows sum to 1.
    """
    found, lengths = np.zeros_like(own), np.diff(splits)
    for length in np.unique(lengths[lengths > 0]):
        rows = splits[:-1][lengths == length][:, None] + np.arange(length)
        found[rows] = _marginals(np.maximum(own[rows], SMALLEST), between)
    return found


def _marginals(own: NDArray[np.float32], between: NDArray[np.float32]) -> NDArray[np.float32]:
    """Of B texts of T words: (B, T, K)."""
    forward, backward = own.copy(), np.ones_like(own)
    for at in range(1, own.shape[1]):
        forward[:, at] = _normalised(own[:, at] * (forward[:, at - 1] @ between))
    for at in range(own.shape[1] - 2, -1, -1):
        backward[:, at] = _normalised((own[:, at + 1] * backward[:, at + 1]) @ between.T)
    return _normalised(forward * backward)


def _normalised(rows: NDArray[np.floating]) -> NDArray[np.float32]:
    return (rows / rows.sum(axis=-1, keepdims=True)).astype(np.float32)


class ChainedTeacher:
    """A teacher whose tags follow each other as the source model's do in English; labels stay as they are.

    Args:
        teacher: of target text.
        source: English text with the source model's tags.
        share: exponent of the potentials between words, 0 to 1.
        alignment: how a word's distribution is read off units that are not words.
    """

    def __init__(self, teacher: Teacher, source: LabelledSource, *, share: float, alignment: str) -> None:
        self.teacher, self.source, self.share, self.alignment = teacher, source, share, alignment
        self.labels, self.tags = teacher.labels, teacher.tags
        self.fingerprint = sha256_of_text(
            "chained", str(share), alignment, teacher.fingerprint, source.fingerprint
        )

    def ask(self, texts: Sequence[str], words: Sequence[WordSpans] | None = None) -> Said:
        """The teacher's labels, and a unit for each word of which it knows."""
        labels, tags = self.teacher.ask(texts, words)
        if tags is None or words is None:
            return Said(labels, None)
        probs, weight = tags_of_words(tags, words, mode=self.alignment)
        told = of_words(self.tags, words, probs, weight > 0)
        own = open_ended(told.probs, told.splits, self.tags)
        probs = chained(own, told.splits, self._between)
        return Said(labels, SoftTags(self.tags, told.offsets, probs, told.splits))

    @cached_property
    def _between(self) -> NDArray[np.float32]:
        assert self.source.tags is not None
        assert self.source.words is not None
        probs, weight = tags_of_words(self.source.tags, self.source.words, mode=self.alignment)
        english = of_words(self.tags, self.source.words, probs, weight > 0)
        return ratios(english.probs, english.splits) ** np.float32(self.share)
