"""Texts with what a teacher says of them, and what a learner trains on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ftx_edge.alignment import bridge, first_subword
from ftx_edge.batches import TrainingSet
from ftx_edge.soft_labels import SoftLabels, SoftTags, WordSpans
from ftx_edge.tokenization import Encoded


@dataclass(frozen=True)
class Labelled:
    """Texts of one language with what a teacher says of them.

    Args:
        lang: its code.
        texts: the texts.
        words: their words, or None where no word is needed.
        labels: soft labels, or None without a label head.
        tags: soft tags, or None without a tag head.
    """

    lang: str
    texts: tuple[str, ...]
    words: tuple[WordSpans, ...] | None
    labels: SoftLabels | None
    tags: SoftTags | None

    def __len__(self) -> int:
        return len(self.texts)


def training_set(
    encoded: Encoded,
    labels: SoftLabels | None,
    tags: SoftTags | None,
    *,
    alignment: str,
    words: Sequence[WordSpans] | None = None,
) -> TrainingSet:
    """Bring a teacher's distributions and a learner's subwords of the same texts together.

    Args:
        encoded: N texts in the learner's subwords.
        labels, tags: what the teacher says of them.
        alignment: of tags, as in the recipe.
        words: of the texts, for a learner that says where they begin.
    """
    if tags is None:
        return TrainingSet(encoded, labels.probs if labels else None)
    targets = np.zeros((len(encoded.ids), len(tags.tags)), dtype=np.float32)
    weights = np.zeros(len(encoded.ids), dtype=np.float32)
    for row in range(len(encoded)):
        part = slice(int(encoded.splits[row]), int(encoded.splits[row + 1]))
        units, probs = tags.of_text(row)
        if alignment == "first-subword":
            targets[part], weights[part] = first_subword(units, probs, encoded.offsets[part])
        else:
            targets[part], weights[part] = bridge(units, probs, encoded.offsets[part], tags.tags)
    starts = None if words is None else word_starts(encoded, words)
    return TrainingSet(encoded, labels.probs if labels else None, targets, weights, word_starts=starts)


def word_starts(encoded: Encoded, words: Sequence[WordSpans]) -> NDArray[np.float32]:
    """Where words begin.

    Returns:
        float32 (M,), for each subword 1 if a word begins in it, 0 if not, -1 if it stands over no text.
    """
    found = np.full(len(encoded.ids), -1, dtype=np.float32)
    for row, own in enumerate(words):
        part = slice(int(encoded.splits[row]), int(encoded.splits[row + 1]))
        starts, ends = encoded.offsets[part].T
        begins = np.asarray([start for start, _ in own], dtype=np.int64)
        held = np.searchsorted(begins, ends) - np.searchsorted(begins, starts)
        found[part] = np.where(ends > starts, held > 0, -1)
    return found
