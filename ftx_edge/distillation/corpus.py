"""An unlabelled corpus as both steps use it: no duplicates, a held-out part, words where they are needed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ftx_edge.data import read_texts
from ftx_edge.errors import DataError
from ftx_edge.files import sha256_of_text
from ftx_edge.soft_labels import WordSpans
from ftx_edge.words import segmenter

MOST_HELD_OUT = 1000


@dataclass(frozen=True)
class Corpus:
    """Texts of one language.

    Args:
        lang: its code.
        train: texts to learn from.
        held_out: texts for selection, and for the gate of the export.
        duplicates: how many texts were left out because they occur before.
        train_words: words of each training text, or None where no word is needed.
        held_out_words: likewise.
        segmenter: name of what cut the words, or "".
    """

    lang: str
    train: tuple[str, ...]
    held_out: tuple[str, ...]
    duplicates: int
    train_words: tuple[WordSpans, ...] | None = None
    held_out_words: tuple[WordSpans, ...] | None = None
    segmenter: str = ""

    @property
    def fingerprint(self) -> str:
        """Changes with any text, and with its place."""
        return sha256_of_text(*self.train, "\0", *self.held_out)


def read_corpus(
    path: Path | str,
    *,
    lang: str,
    held_out: float,
    seed: int,
    words: bool = False,
    segmenter_name: str | None = None,
) -> Corpus:
    """Read the texts of a file and set ``held_out`` of them apart; labels in it are not read.

    Args:
        path: any format that ``read_texts`` knows.
        lang: language code.
        held_out: share that is set apart, by ``seed`` alone; at most ``MOST_HELD_OUT`` texts.
        seed: of the split.
        words: cut the texts into words as well.
        segmenter_name: by what; None takes the language's own.

    Raises:
        DataError: too few different texts to train on some and select on others.
        MissingExtraError: the segmenter is not installed.
    """
    texts = read_texts(path)
    distinct = list(dict.fromkeys(texts))
    count = min(MOST_HELD_OUT, round(held_out * len(distinct)))
    if count < 1 or len(distinct) - count < 2:
        raise DataError(f"{len(distinct)} different utterances are too few to distil on", path=path)
    rows = list(range(len(distinct)))
    random.Random(f"{seed} held out").shuffle(rows)
    train = tuple(distinct[i] for i in sorted(rows[count:]))
    kept = tuple(distinct[i] for i in sorted(rows[:count]))
    corpus = Corpus(lang, train, kept, duplicates=len(texts) - len(distinct))
    if not words:
        return corpus
    cut = segmenter(lang, segmenter_name)
    return Corpus(lang, train, kept, corpus.duplicates, _cut(cut, train), _cut(cut, kept), segmenter=cut.name)


def _cut(cut, texts: Sequence[str]) -> tuple[WordSpans, ...]:  # type: ignore[no-untyped-def]
    return tuple(tuple(cut(text)) for text in texts)


def rows_of(texts: Sequence[str], corpus: Sequence[str]) -> NDArray[np.int64] | None:
    """Where ``texts`` stand in the corpus, or None if one does not."""
    place = {text: row for row, text in enumerate(corpus)}
    rows = [place.get(text, -1) for text in texts]
    return None if -1 in rows else np.asarray(rows, dtype=np.int64)
