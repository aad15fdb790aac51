"""Soft tags of the units that a teacher knows, as those of words, and back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ftx_edge.alignment import words_from_tokens
from ftx_edge.soft_labels import SoftTags, WordSpans


def tags_of_words(
    tags: SoftTags, words: Sequence[WordSpans], *, mode: str = "character-bridge"
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A distribution for each word of all texts (W, K) and its weight (W,), 0 where no unit overlaps it."""
    probs, weights = [np.zeros((0, len(tags.tags)), np.float32)], [np.zeros(0, np.float32)]
    for row, own in enumerate(words):
        offsets, told = tags.of_text(row)
        spans = np.asarray(own, dtype=np.int64).reshape(-1, 2)
        found = words_from_tokens(offsets, told, spans, mode, tags.tags)
        probs.append(found[0])
        weights.append(found[1])
    return np.concatenate(probs), np.concatenate(weights)


def of_words(
    tags: tuple[str, ...],
    words: Sequence[WordSpans],
    probs: NDArray[np.float32],
    told: NDArray[np.bool_],
) -> SoftTags:
    """The inverse of ``tags_of_words``: a unit for each word (W,) of all texts of which something is told."""
    spans = [np.zeros((0, 2), np.int32), *(np.asarray(own, dtype=np.int32).reshape(-1, 2) for own in words)]
    starts = np.cumsum([len(own) for own in spans])
    splits = np.concatenate([[0], np.cumsum(told)])[starts].astype(np.int64)
    return SoftTags(tags, np.concatenate(spans)[told], probs[told], splits)
