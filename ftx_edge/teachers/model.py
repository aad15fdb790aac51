"""A torch model of ours as a teacher: the mPLM of step 2, or a student that is evaluated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ftx_edge.alignment import visible_offsets
from ftx_edge.forward import Distributions, autocast_for, distributions
from ftx_edge.soft_labels import Said, SoftTags, WordSpans
from ftx_edge.tokenization import Encoded

Encode = Callable[[Sequence[str], Sequence[WordSpans] | None], Encoded]


class ModelTeacher:
    """Distributions of a model that maps subwords to ``Outputs``.

    Args:
        model: ``forward(input_ids, attention_mask) -> Outputs``.
        encode: texts, and their words or None, to subwords.
        labels: names of the label head's columns; empty without that head.
        tags: names of the tag head's columns; empty without that head.
        pad_id: padding subword.
        fingerprint: changes when the weights do.
        device: where to compute.
        precision: ``fp32``, ``bf16`` or ``fp16``.
        whole_words: give each word the distribution of its first subword (the paper, section 2.2.2)
            instead of one for every subword.
    """

    def __init__(
        self,
        model: nn.Module,
        encode: Encode,
        *,
        labels: tuple[str, ...],
        tags: tuple[str, ...],
        pad_id: int,
        fingerprint: str,
        device: torch.device,
        precision: str = "fp32",
        whole_words: bool = False,
    ) -> None:
        self.model, self.encode = model.to(device), encode
        self.labels, self.tags, self.fingerprint = labels, tags, fingerprint
        self.pad_id, self.device, self.precision = pad_id, device, precision
        self.whole_words = whole_words
        if whole_words:
            self.fingerprint += ":whole-words"

    def ask(self, texts: Sequence[str], words: Sequence[WordSpans] | None = None) -> Said:
        """A unit for each subword, or for each word if ``whole_words``.

        With words, a model of both says the labels of the texts as words, from which an mPLM learned them;
        without, those of the texts as they are. Students read the texts either way.
        """
        if not self.tags:
            words = None
        encoded = self.encode(texts, words)
        return self.said(texts, words, encoded, self._distributions(encoded))

    def said(
        self, texts: Sequence[str], words: Sequence[WordSpans] | None, encoded: Encoded, said: Distributions
    ) -> Said:
        """The same, of distributions that are known; ``encoded`` are the texts in the model's subwords."""
        if words is None or said.tags is None:
            return Said(said.labels, None)
        return Said(said.labels, self._units(texts, words, encoded, said.tags, said.words))

    def _units(
        self,
        texts: Sequence[str],
        words: Sequence[WordSpans],
        encoded: Encoded,
        probs: NDArray[np.float32],
        word_probs: NDArray[np.float32] | None,
    ) -> SoftTags:
        units, begins = [], []
        for row in range(len(encoded)):
            part = slice(int(encoded.splits[row]), int(encoded.splits[row + 1]))
            offsets, own = visible_offsets(texts[row], encoded.offsets[part]).astype(np.int32), probs[part]
            real = offsets[:, 1] > offsets[:, 0]
            offsets, own = offsets[real], own[real]
            units.append(first_of_words(offsets, own, words[row]) if self.whole_words else (offsets, own))
            if word_probs is not None:
                begins.append(word_probs[part][real] > 0.5)
        joined = SoftTags.join(self.tags, units)
        return replace(joined, begins=np.concatenate(begins)) if begins else joined

    def _distributions(self, encoded: Encoded) -> Distributions:
        autocast = autocast_for(self.device, self.precision)
        return distributions(self.model, encoded, pad_id=self.pad_id, device=self.device, autocast=autocast)


def first_of_words(
    offsets: NDArray[np.int32], probs: NDArray[np.float32], words: WordSpans
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Each word with the distribution of the first subword that overlaps it; none for words cut off."""
    spans = np.asarray(words, dtype=np.int32).reshape(-1, 2)
    first = np.searchsorted(offsets[:, 1], spans[:, 0], side="right")
    reached = first < len(offsets)
    reached[reached] = offsets[first[reached], 0] < spans[reached, 1]
    return spans[reached], probs[first[reached]]
