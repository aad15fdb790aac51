"""The label mix of target text, laid on that of the English text.

Across languages an mPLM and its neighbours err in one direction: a few labels are given too often, and words
too often no tag at all. Where people ask for the same things in both languages, how often the source model
gives each label in English says how often it should occur in the target text. Each label is scaled by one
factor until the mean distribution of the target text is the English one: the correction of a classifier to a
known mix (Saerens et al. 2002, eq. 4). Neither corpus has a label, and their texts need not correspond.

Corpora are never quite alike, so the factors are applied in part only (``share``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ftx_edge.distillation.corpus import rows_of
from ftx_edge.distillation.labelled_source import LabelledSource
from ftx_edge.distillation.word_tags import tags_of_words
from ftx_edge.files import sha256_of_text
from ftx_edge.soft_labels import Said, SoftTags, Teacher, WordSpans

ITERATIONS = 40
LARGEST_FACTOR = 20.0
"""No label becomes so many times likelier, or less likely: rare ones have no reliable frequency."""


def factors(probs: NDArray[np.float32], prior: NDArray[np.float32]) -> NDArray[np.float32]:
    """What to multiply each label with, so that the normalised rows have ``prior`` as their mean.

    Args:
        probs: float32 (N, C), rows sum to 1.
        prior: float32 (C,), sums to 1.

    Returns:
        float32 (C,), between 1 / ``LARGEST_FACTOR`` and ``LARGEST_FACTOR``.
    """
    found = np.ones(len(prior), dtype=np.float32)
    for _ in range(ITERATIONS if len(probs) else 0):
        mean = scaled(probs, found).mean(axis=0)
        # The square root damps: labels that compete would else swing.
        found *= np.sqrt(np.maximum(prior, 1e-6) / np.maximum(mean, 1e-6))
        found = found.clip(1 / LARGEST_FACTOR, LARGEST_FACTOR)
    return found


def scaled(probs: NDArray[np.float32], by: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows (N, C) with each column multiplied, normalised."""
    rows = probs * by
    return (rows / rows.sum(axis=1, keepdims=True).clip(1e-12)).astype(np.float32)


class PriorTeacher:
    """A teacher of target text, corrected to the label mix of the English text.

    Args:
        teacher: to be corrected; it is asked about the corpus once.
        source: English text with soft labels.
        texts: the language's corpus.
        words: its words; needed for tags.
        share: exponent of the labels' factors, 0 to 1; 0 leaves labels as they are.
        tag_share: the same for tags.
    """

    def __init__(
        self,
        teacher: Teacher,
        source: LabelledSource,
        texts: Sequence[str],
        words: Sequence[WordSpans] | None,
        *,
        share: float,
        tag_share: float,
    ) -> None:
        self.teacher, self.source, self.share, self.tag_share = teacher, source, share, tag_share
        self.labels, self.tags = teacher.labels, teacher.tags
        self._texts, self._words = tuple(texts), words
        self.fingerprint = sha256_of_text(
            "priors", f"{share} {tag_share}", teacher.fingerprint, source.fingerprint, *self._texts
        )

    def ask(self, texts: Sequence[str], words: Sequence[WordSpans] | None = None) -> Said:
        """The units of the teacher."""
        rows = rows_of(texts, self._texts)
        labels, tags = self.teacher.ask(texts, words) if rows is None else self._corpus.take(rows)
        if labels is not None and self.share:
            labels = scaled(labels, self._label_factors)
        if words is None:
            return Said(labels, None)
        if tags is not None and self.tag_share:
            tags = replace(tags, probs=scaled(tags.probs, self._tag_factors))
        return Said(labels, tags)

    @cached_property
    def _corpus(self) -> Said:
        return self.teacher.ask(self._texts, self._words)

    @cached_property
    def _label_factors(self) -> NDArray[np.float32]:
        assert self.source.labels is not None
        assert self._corpus.labels is not None
        return factors(self._corpus.labels, self.source.labels.probs.mean(axis=0)) ** self.share

    @cached_property
    def _tag_factors(self) -> NDArray[np.float32]:
        assert self._corpus.tags is not None
        assert self._words is not None
        return factors(self._of_words(self._corpus.tags, self._words), self._tag_prior) ** self.tag_share

    @cached_property
    def _tag_prior(self) -> NDArray[np.float32]:
        assert self.source.tags is not None
        assert self.source.words is not None
        mean: NDArray[np.float32] = self._of_words(self.source.tags, self.source.words).mean(axis=0)
        return mean

    def _of_words(self, tags: SoftTags, words: Sequence[WordSpans]) -> NDArray[np.float32]:
        probs, weight = tags_of_words(tags, words)
        return probs[weight > 0]
