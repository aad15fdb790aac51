"""The mPLM's states over the texts that a student reads: soft labels, embeddings and hints come of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from ftx_edge.forward import Distributions
from ftx_edge.mplm.model import MultilingualModel, MultilingualTokenizer
from ftx_edge.mplm.space import last_states
from ftx_edge.soft_labels import Said, WordSpans
from ftx_edge.teachers.model import ModelTeacher
from ftx_edge.tokenization import Encoded

STEP = 1024
"""Texts after which progress is told."""


class TextStates:
    """The last states of the mPLM's encoder over the pieces of texts.

    They are computed whenever they are asked for, until ``keep`` computes all of them once.

    Args:
        mplm: on any device; it is moved.
        tokenizer: its tokenizer.
        texts: N of them.
        words: their words, where the mPLM is shown words.
        device: where to compute.
        precision: at which.
    """

    def __init__(
        self,
        mplm: MultilingualModel,
        tokenizer: MultilingualTokenizer,
        texts: Sequence[str],
        words: Sequence[WordSpans] | None,
        *,
        device: torch.device,
        precision: str,
    ) -> None:
        self.mplm, self.tokenizer = mplm.to(device).eval(), tokenizer
        self.texts, self._words = texts, words
        self.device, self.precision = device, precision
        self.size: int = mplm.encoder.config.hidden_size  # type: ignore[union-attr, assignment]
        self._kept: tuple[Encoded, NDArray[np.float16]] | None = None

    def __len__(self) -> int:
        return len(self.texts)

    def keep(self, told: Callable[[int], None] | None = None) -> None:
        """Compute all of them, float16, and keep them in memory: 2 H bytes a piece.

        Args:
            told: hears how many texts are done.
        """
        encoded = self._encoded(range(len(self)))
        kept = np.zeros((len(encoded.ids), self.size), dtype=np.float16)
        for done, (row, states) in enumerate(self._computed(encoded)):
            kept[encoded.splits[row] : encoded.splits[row + 1]] = states
            if told and done % STEP == 0:
                told(done)
        self._kept = encoded, kept

    def forget(self) -> None:
        """Give the memory back."""
        self._kept = None

    def rows(self, texts: Sequence[str], words: Sequence[WordSpans] | None) -> list[int] | None:
        """Where those texts, in those words, stand among these; None if one does not, or nothing is kept."""
        if self._kept is None or (words is None) != (self._words is None):
            return None
        cut = words if words is not None else [()] * len(texts)
        rows = [
            self._places.get((text, tuple(map(tuple, own)))) for text, own in zip(texts, cut, strict=True)
        ]
        return None if None in rows else rows  # type: ignore[return-value]

    @cached_property
    def _places(self) -> dict[tuple[str, tuple], int]:
        cut = self._words if self._words is not None else [()] * len(self)
        pairs = zip(self.texts, cut, strict=True)
        return {(text, tuple(map(tuple, own))): row for row, (text, own) in enumerate(pairs)}

    def of(self, rows: Sequence[int]) -> Iterator[tuple[int, NDArray[np.int32], NDArray[np.float32]]]:
        """Text by text, in no order of theirs.

        Yields:
            The place of the text in ``rows``; its pieces' character offsets, (0, 0) of special ones, int32
            (T, 2), and their states, float32 (T, H).
        """
        if self._kept is None:
            encoded = self._encoded(rows)
            for place, states in self._computed(encoded):
                yield place, encoded.offsets[encoded.splits[place] : encoded.splits[place + 1]], states
            return
        encoded, kept = self._kept
        for place, row in enumerate(rows):
            part = slice(int(encoded.splits[row]), int(encoded.splits[row + 1]))
            yield place, encoded.offsets[part], kept[part].astype(np.float32)

    def over(
        self, ours: Encoded, rows: Sequence[int]
    ) -> Iterator[tuple[int, NDArray[np.bool_], NDArray[np.float32]]]:
        """The states over other pieces of the same texts, in no order of theirs.

        Args:
            ours: the texts of ``rows`` in others.
            rows: which texts.

        Yields:
            Of each text its place in ``rows``; bool (T,), which of our pieces stand over characters that the
            mPLM read; for these R pieces the mean states over their characters, float32 (R, H).
        """
        for place, theirs, states in self.of(rows):
            shares = overlap(ours.offsets[ours.splits[place] : ours.splits[place + 1]], theirs)
            covered = shares.sum(axis=1)
            real = covered > 0
            yield place, real, shares[real] / covered[real, None] @ states

    def _encoded(self, rows: Sequence[int]) -> Encoded:
        words = None if self._words is None else [self._words[row] for row in rows]
        return self.tokenizer.encode([self.texts[row] for row in rows], words)

    def _computed(self, encoded: Encoded) -> Iterator[tuple[int, NDArray[np.float32]]]:
        batches = last_states(self.mplm.encoder, encoded, device=self.device, precision=self.precision)
        for rows, states, _ in batches:
            values = states.cpu().numpy()
            for i, row in enumerate(rows.tolist()):
                yield row, values[i, : encoded.splits[row + 1] - encoded.splits[row]]


class StatesTeacher:
    """The mPLM's heads on states that are known already; of other texts, the mPLM.

    Args:
        teacher: the mPLM.
        states: of it.
    """

    def __init__(self, teacher: ModelTeacher, states: TextStates) -> None:
        self._teacher, self._states = teacher, states
        self.labels, self.tags, self.fingerprint = teacher.labels, teacher.tags, teacher.fingerprint

    def ask(self, texts: Sequence[str], words: Sequence[WordSpans] | None = None) -> Said:
        """As the mPLM, but for what float16 takes off the states."""
        rows = self._states.rows(texts, words)
        if rows is None:
            return self._teacher.ask(texts, words)
        parts = [(offsets, states) for _, offsets, states in self._states.of(rows)]
        splits = np.concatenate([[0], np.cumsum([len(offsets) for offsets, _ in parts])]).astype(np.int64)
        offsets = np.concatenate([offsets for offsets, _ in parts])
        encoded = Encoded(np.zeros(len(offsets), np.int32), offsets, splits)
        return self._teacher.said(texts, words, encoded, self._distributions([own for _, own in parts]))

    @torch.inference_mode()
    def _distributions(self, parts: Sequence[NDArray[np.float32]]) -> Distributions:
        model = self._teacher.model
        assert isinstance(model, MultilingualModel)
        labels = tags = None
        if model.label_head is not None:
            means = torch.from_numpy(np.stack([own.mean(axis=0) for own in parts]))
            labels = model.label_logits(means.to(self._states.device)).softmax(dim=-1).cpu().numpy()
        if model.tag_head is not None:
            states = torch.from_numpy(np.concatenate(parts))
            tags = model.tag_head(states.to(self._states.device)).softmax(dim=-1).cpu().numpy()
        return Distributions(labels, tags, None)


def overlap(one: NDArray[np.integer], two: NDArray[np.integer]) -> NDArray[np.float32]:
    """(A, B): how many characters each stretch of ``one`` (A, 2) shares with each of ``two`` (B, 2)."""
    starts = np.maximum(one[:, None, 0], two[None, :, 0])
    ends = np.minimum(one[:, None, 1], two[None, :, 1])
    return np.maximum(ends - starts, 0).astype(np.float32)
