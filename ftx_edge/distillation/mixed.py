"""What several teachers say, on average."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ftx_edge.distillation.nearest import SMALLEST, geometric_mean
from ftx_edge.distillation.word_tags import of_words, tags_of_words
from ftx_edge.files import sha256_of_text
from ftx_edge.soft_labels import Said, SoftTags, Teacher, WordSpans


class MixedTeacher:
    """The mean of what several teachers say; for tags, a word at a time.

    Args:
        teachers: with the same labels and tags.
        weights: how much each counts, 1 in all; None stands for all the same.
        tag_weights: the same for tags; None stands for ``weights``.
        mean: ``geometric`` or ``arithmetic``.
        alignment: how a word's distribution is read off units that are not words.

    Raises:
        ValueError: their labels or tags differ.
    """

    def __init__(
        self,
        teachers: Sequence[Teacher],
        *,
        weights: Sequence[float] | None = None,
        tag_weights: Sequence[float] | None = None,
        mean: str = "geometric",
        alignment: str = "character-bridge",
    ) -> None:
        self.teachers, self.mean, self.alignment = tuple(teachers), mean, alignment
        self.weights = tuple(weights or [1 / len(self.teachers)] * len(self.teachers))
        self.tag_weights = tuple(tag_weights or self.weights)
        first = self.teachers[0]
        if any((t.labels, t.tags) != (first.labels, first.tags) for t in self.teachers):
            raise ValueError("teachers that are mixed must have the same labels and tags")
        self.labels, self.tags = first.labels, first.tags
        fingerprints = (t.fingerprint for t in self.teachers)
        name = "mixed" if mean == "geometric" else "averaged"
        counts = f"{self.weights} {self.tag_weights}"
        self.fingerprint = sha256_of_text(f"{name} at once", alignment, counts, *fingerprints)

    def ask(self, texts: Sequence[str], words: Sequence[WordSpans] | None = None) -> Said:
        """A unit for each word of which any teacher knows; the mean is over those that do."""
        said = [teacher.ask(texts, words) for teacher in self.teachers]
        labels = [one.labels for one in said if one.labels is not None]
        tags = [one.tags for one in said if one.tags is not None]
        return Said(
            self._mean_labels(labels) if labels else None,
            self._mean_tags(tags, words) if tags and words is not None else None,
        )

    def _mean_labels(self, said: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        if self.mean == "geometric":
            return geometric_mean(said, self.weights)
        return np.average(said, axis=0, weights=self.weights).astype(np.float32)

    def _mean_tags(self, said: list[SoftTags], words: Sequence[WordSpans]) -> SoftTags:
        geometric = self.mean == "geometric"
        sums, counts = np.zeros((0, 0), np.float32), np.zeros(0, np.float32)
        for tags, share in zip(said, self.tag_weights, strict=True):
            probs, weight = tags_of_words(tags, words, mode=self.alignment)
            weight = weight * np.float32(share)
            if not len(counts):
                sums, counts = np.zeros_like(probs), np.zeros_like(weight)
            sums += weight[:, None] * (np.log(np.maximum(probs, SMALLEST)) if geometric else probs)
            counts += weight
        sums /= np.where(counts > 0, counts, 1)[:, None]
        mixed = np.exp(sums - sums.max(axis=1, keepdims=True, initial=-np.inf)) if geometric else sums
        mixed = mixed / mixed.sum(axis=1, keepdims=True).clip(SMALLEST)
        return of_words(self.tags, words, mixed.astype(np.float32), counts > 0)
