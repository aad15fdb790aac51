"""Pieces of a multilingual vocabulary: how they are written, and whose language they are like."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from ftx_edge.vectors import centred

METASPACE = "▁"
CONTINUES = "##"
"""Before the pieces of a WordPiece vocabulary that do not begin a word."""
_LEAST_SHARE = 0.01
"""Of the letters of a text, for their script to be one of the language's."""
_RIDGE = 1e-3


def script(character: str) -> str:
    """``LATIN``, ``THAI``, ``CJK`` ...: the first word of the names of its letters; "" for all else."""
    if unicodedata.category(character)[0] not in "LM" and character != METASPACE:
        return ""
    return unicodedata.name(character, "").partition(" ")[0]


def scripts_of(characters: Mapping[str, int]) -> set[str]:
    """The scripts of a text in which each character occurs so many times; a stray letter makes none."""
    scripts: Counter[str] = Counter()
    for character, times in characters.items():
        scripts[script(character)] += times
    return {name for name, times in scripts.items() if name and times >= _LEAST_SHARE * scripts.total()}


def is_writable(piece: str, scripts: set[str], normalized: Callable[[str], str]) -> bool:
    """Whether the piece is letters of those scripts alone, and ``normalized`` leaves it as it is."""
    return all(script(character) in scripts for character in piece) and normalized(piece) == piece


def parts(piece: str, *, wordpiece: bool) -> tuple[bool, str]:
    """Whether a piece begins a word, and its characters."""
    if wordpiece:
        return not piece.startswith(CONTINUES), piece.removeprefix(CONTINUES)
    return piece.startswith(METASPACE), piece.removeprefix(METASPACE)


def is_wordpiece(vocabulary: Iterable[str]) -> bool:
    """Whether the vocabulary marks the pieces that go on rather than those that begin a word."""
    return not any(piece.startswith(METASPACE) for piece in vocabulary)


def most_alike(own: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.int64]:
    """Rows of ``others`` (B, H), those most like ``own`` (A, H) first.

    A linear probe between the two, both of the same weight in all, tells a language and a domain by the
    embeddings of what text of it uses: what it takes for the text's own is what such text may use next.
    """
    vectors = np.vstack([own, others])
    places = centred(vectors, vectors.mean(axis=0)).astype(np.float64)
    rows = np.hstack([places, np.ones((len(places), 1))])
    weights = np.repeat([1 / max(len(own), 1), 1 / max(len(others), 1)], [len(own), len(others)])
    gram = (rows * weights[:, None]).T @ rows
    gram[np.diag_indices_from(gram)] += _RIDGE * np.trace(gram) / len(gram)
    direction = np.linalg.solve(gram, (rows[: len(own)] * weights[: len(own), None]).sum(axis=0))
    return np.argsort(-(rows[len(own) :] @ direction), kind="stable")
