"""Soft labels: what a teacher says of a corpus, and the cache that keeps it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ftx_edge.arrays import read_arrays, write_arrays
from ftx_edge.errors import FtxError
from ftx_edge.files import sha256_of_text

WordSpans = Sequence[tuple[int, int]]
"""The words of one text: character offsets, end exclusive."""
Told = Callable[[int], None]
"""Is told how many texts are done."""


@dataclass(frozen=True)
class SoftLabels:
    """A label distribution a text.

    Args:
        labels: names, in the order of the columns.
        probs: float32 (N, C), rows sum to 1.
    """

    labels: tuple[str, ...]
    probs: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.probs)

    def take(self, rows: NDArray[np.int64]) -> SoftLabels:
        """Those rows, in that order."""
        return SoftLabels(self.labels, self.probs[rows])


@dataclass(frozen=True)
class SoftTags:
    """A tag distribution for each unit (word or subword) of each text.

    Args:
        tags: BIO names, ``O`` first, in the order of the columns.
        offsets: int32 (M, 2), character offsets of each unit in its own text, end exclusive.
        probs: float32 (M, K), rows sum to 1.
        splits: int64 (N + 1,): the units of text i are ``splits[i]:splits[i + 1]``.
        begins: bool (M,), whether a word begins at the unit, of a model that says so; else None.
    """

    tags: tuple[str, ...]
    offsets: NDArray[np.int32]
    probs: NDArray[np.float32]
    splits: NDArray[np.int64]
    begins: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.splits) - 1

    def of_text(self, index: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Offsets (U, 2) and distributions (U, K) of one text."""
        part = slice(int(self.splits[index]), int(self.splits[index + 1]))
        return self.offsets[part], self.probs[part]

    def begins_of(self, index: int) -> list[bool] | None:
        """At which units of one text a word begins, if that is said."""
        part = slice(int(self.splits[index]), int(self.splits[index + 1]))
        return None if self.begins is None else self.begins[part].tolist()

    def take(self, rows: NDArray[np.int64]) -> SoftTags:
        """Those texts, in that order; what is said of words is left out."""
        return SoftTags.join(self.tags, [self.of_text(int(row)) for row in rows])

    @classmethod
    def join(cls, tags: tuple[str, ...], texts: Sequence[tuple[NDArray, NDArray]]) -> SoftTags:
        """From the offsets and distributions of each text."""
        splits = np.zeros(len(texts) + 1, dtype=np.int64)
        splits[1:] = np.cumsum([len(offsets) for offsets, _ in texts])
        offsets = np.zeros((int(splits[-1]), 2), dtype=np.int32)
        probs = np.zeros((int(splits[-1]), len(tags)), dtype=np.float32)
        for (own_offsets, own_probs), start, end in zip(texts, splits[:-1], splits[1:], strict=True):
            offsets[start:end], probs[start:end] = own_offsets, own_probs
        return cls(tags, offsets, probs, splits)


class Said(NamedTuple):
    """What a teacher says of N texts: ``labels``, float32 (N, C), rows sum to 1, and ``tags``.

    None without that head; ``tags`` also where the words were not given.
    """

    labels: NDArray[np.float32] | None
    tags: SoftTags | None

    def take(self, rows: NDArray[np.int64]) -> Said:
        """Of those texts, in that order."""
        return Said(
            None if self.labels is None else self.labels[rows],
            None if self.tags is None else self.tags.take(rows),
        )


class Teacher(Protocol):
    """Anything that says how likely each label, or each tag, is.

    ``labels`` and ``tags`` are empty where it has no such head; ``fingerprint`` changes when its
    answers may change.
    """

    labels: tuple[str, ...]
    tags: tuple[str, ...]
    fingerprint: str

    def ask(self, texts: Sequence[str], words: Sequence[WordSpans] | None = None) -> Said:
        """What it says with every head that it has, in one pass where it can.

        Args:
            texts: N of them.
            words: their words; None: labels alone are wanted.
        """
        ...


PORTION = 512
"""Texts that a teacher is asked at once."""


class SoftLabelCache:
    """Soft labels on disk, keyed by what they depend on: the teacher's answers and the texts.

    Each portion is kept when it is there: a teacher that fails midway is not asked all again. Files are
    safetensors; one that is damaged is made anew.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def said(
        self,
        teacher: Teacher,
        texts: Sequence[str],
        words: Sequence[WordSpans] | None,
        told: Told | None = None,
    ) -> tuple[SoftLabels | None, SoftTags | None]:
        """What ``teacher.ask(texts, words)`` says, computed once.

        Args:
            teacher: whom to ask.
            texts: N of them.
            words: their words; not needed for a teacher without tags.
            told: hears how many texts are done.

        Raises:
            ValueError: a teacher of tags, and no words.
        """
        if teacher.tags and words is None:
            raise ValueError("a teacher of tags is asked of words")
        labels = [np.zeros((0, len(teacher.labels)), dtype=np.float32)]
        units: list[tuple[NDArray, NDArray]] = []
        for start in range(0, len(texts), PORTION):
            part = slice(start, start + PORTION)
            kept = self._portion(teacher, texts[part], words[part] if words is not None else None)
            if teacher.labels:
                labels.append(kept["labels"])
            if teacher.tags:
                tags = SoftTags(teacher.tags, kept["offsets"], kept["tags"], kept["splits"])
                units += [tags.of_text(row) for row in range(len(tags))]
            if told:
                told(min(start + PORTION, len(texts)))
        return (
            SoftLabels(teacher.labels, np.concatenate(labels)) if teacher.labels else None,
            SoftTags.join(teacher.tags, units) if teacher.tags else None,
        )

    def _portion(
        self, teacher: Teacher, texts: Sequence[str], words: Sequence[WordSpans] | None
    ) -> dict[str, NDArray]:
        cut = [str(list(own)) for own in words or ()] if teacher.tags else []
        key = sha256_of_text(teacher.fingerprint, *teacher.labels, "\0", *teacher.tags, "\0", *texts, *cut)
        path = self.folder / f"said-{key[:24]}.safetensors"
        kept = read_arrays(path)
        if kept is None or not _fits(kept, teacher, len(texts)):
            labels, tags = teacher.ask(texts, words)
            kept = {}
            if labels is not None:
                kept["labels"] = np.asarray(labels, dtype=np.float32)
            if tags is not None:
                kept |= {"offsets": tags.offsets, "tags": tags.probs, "splits": tags.splits}
            write_arrays(path, kept)
        return kept


class KeptTeacher:
    """A teacher whose answers are kept, for whoever asks it the same again.

    Args:
        teacher: whom to ask what is not there.
        folder: of the answers.
    """

    def __init__(self, teacher: Teacher, folder: Path) -> None:
        self.teacher, self._cache = teacher, SoftLabelCache(folder)
        self.labels, self.tags, self.fingerprint = teacher.labels, teacher.tags, teacher.fingerprint

    def ask(self, texts: Sequence[str], words: Sequence[WordSpans] | None = None) -> Said:
        """What the teacher said, or says now; labels alone are not kept of one that has tags too."""
        if self.tags and words is None:
            return self.teacher.ask(texts)
        labels, tags = self._cache.said(self.teacher, texts, words)
        return Said(labels.probs if labels is not None else None, tags)


def _fits(kept: Mapping[str, NDArray], teacher: Teacher, count: int) -> bool:
    """Whether a file holds what the heads of a teacher say of so many texts."""
    if teacher.labels and kept["labels"].shape != (count, len(teacher.labels)):
        return False
    return not teacher.tags or len(kept["splits"]) == count + 1


def check_distributions(probs: NDArray, where: str) -> NDArray[np.float32]:
    """Return ``probs`` as float32; raises FtxError naming the first row that is no distribution."""
    array = np.asarray(probs, dtype=np.float32)
    if array.ndim != 2:
        raise FtxError(f"{where}: probabilities of shape {array.shape}; expected one row of them a text")
    sums = array.sum(axis=1)
    bad = np.flatnonzero(~np.isfinite(sums) | (np.abs(sums - 1) > 1e-2) | (array < -1e-6).any(axis=1))
    if len(bad):
        row = int(bad[0])
        raise FtxError(f"{where}: probabilities of text {row + 1} sum to {sums[row]:.4g}; they must sum to 1")
    return array / sums[:, None]
