"""A student that starts from what the mPLM knows: its embeddings are projections of the mPLM's states.

The paper blames most of the loss in step 2 on students that start from nothing. Here each piece of the
student's vocabulary gets the mean of the mPLM's states over the characters that it covers, wherever it occurs
in the unlabelled text, projected to the student's width by a frequency-weighted PCA (as model2vec does with
single tokens out of context). It works for any pair of tokenizers, since both say where their pieces stand.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

from ftx_edge.arrays import read_arrays, write_arrays
from ftx_edge.distillation.text_states import TextStates
from ftx_edge.mplm.model import piece_embeddings
from ftx_edge.students.model import Student
from ftx_edge.tokenization import SPECIAL_TOKENS, Encoded, encode

RIDGE = 0.1
ENOUGH = 4
"""Texts in which a piece has been read: further ones, if they hold such pieces alone, are not."""


def start_from_mplm(
    student: Student,
    tokenizer: Tokenizer,
    states: TextStates,
    *,
    rows: Sequence[int] | None = None,
    kept: Path | None = None,
) -> int:
    """Set the student's embeddings; special tokens keep their random ones.

    Args:
        student: of any architecture; changed in place.
        tokenizer: the student's.
        states: of the teacher of step 2, over unlabelled text of the language.
        rows: which of the texts are read; all by default.
        kept: file with the vectors of the pieces, which students of other architectures share; written
            where it is not there. Its name must stand for all of the above.

    Returns:
        How many pieces occurred in the text; the others have the vector that a linear map from the mPLM's own
        embedding of the piece gives, if it knows the piece, and else a random one.
    """
    arrays = read_arrays(kept) if kept else None
    if arrays is None:
        vectors, counts = piece_vectors(tokenizer, states, rows)
        if kept:
            write_arrays(kept, {"vectors": vectors, "counts": counts})
    else:
        vectors, counts = arrays["vectors"], arrays["counts"]
    counts[: len(SPECIAL_TOKENS)] = 0
    weight = student.embedding.weight
    scale = float(weight.detach()[len(SPECIAL_TOKENS) :].std())
    found = np.flatnonzero(counts)
    if len(found) < 2:
        return 0
    projected = project(vectors[found], counts[found], size=weight.shape[1], scale=scale)
    new = weight.detach().cpu().numpy().copy()
    new[found, : projected.shape[1]] = projected
    static = piece_embeddings(states.mplm.encoder)
    names = tokenizer.get_vocab()
    theirs = states.tokenizer.backend.get_vocab()
    known = {names[piece]: row for piece, row in theirs.items() if piece in names}
    seen = [piece for piece in found if piece in known]
    unseen = [p for p in known if not counts[p] and p >= len(SPECIAL_TOKENS)]
    if unseen and len(seen) > 1:
        place = {piece: row for row, piece in enumerate(found)}
        new[unseen, : projected.shape[1]] = _linear_map(
            static[[known[p] for p in seen]],
            projected[[place[p] for p in seen]],
            static[[known[p] for p in unseen]],
        )
    with torch.no_grad():
        weight.copy_(torch.from_numpy(new))
    return len(found)


def piece_vectors(
    tokenizer: Tokenizer, states: TextStates, rows: Sequence[int] | None = None
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """For each piece of ``tokenizer`` the mean of the states that stand over its characters.

    Texts that hold only pieces which were read often enough before are counted alone.

    Returns:
        vectors float32 (V, H), zero where there is none; counts int64 (V,), occurrences in all texts of those
        that had a state.
    """
    rows = range(len(states)) if rows is None else rows
    ours, vocab_size = encode(tokenizer, [states.texts[row] for row in rows]), tokenizer.get_vocab_size()
    telling = [rows[place] for place in _telling(ours, vocab_size)]
    read = encode(tokenizer, [states.texts[row] for row in telling])
    sums = np.zeros((vocab_size, states.size), dtype=np.float32)
    counts = np.zeros(vocab_size, dtype=np.int64)
    for place, real, means in states.over(read, telling):
        ids = read.ids[read.splits[place] : read.splits[place + 1]][real]
        np.add.at(sums, ids, means)
        np.add.at(counts, ids, 1)
    vectors = (sums / counts.clip(1)[:, None]).astype(np.float32)
    return vectors, np.where(counts > 0, np.bincount(ours.ids, minlength=vocab_size), 0)


def _telling(encoded: Encoded, vocab_size: int) -> list[int]:
    """The texts, first ones first, that hold a piece which has not yet stood in enough of them."""
    times = np.zeros(vocab_size, dtype=np.int64)
    telling = []
    for row in range(len(encoded)):
        pieces = np.unique(encoded.ids[encoded.splits[row] : encoded.splits[row + 1]])
        if (times[pieces] < ENOUGH).any():
            times[pieces] += 1
            telling.append(row)
    return telling


def project(
    vectors: NDArray[np.float32], counts: NDArray[np.int64], *, size: int, scale: float
) -> NDArray[np.float32]:
    """PCA in which a piece counts as often as it occurs, to at most ``size`` columns of spread ``scale``.

    Args:
        vectors: float32 (N, H).
        counts: int64 (N,).
        size: most columns; fewer if the vectors have fewer.
        scale: standard deviation of the result over all rows and columns.
    """
    shares = (counts / counts.sum())[:, None]
    moved = vectors.astype(np.float64) - (shares * vectors).sum(axis=0)
    _, directions = np.linalg.eigh((shares * moved).T @ moved)
    directions = directions[:, ::-1][:, :size]
    # The sign of an eigenvector is left open by the mathematics; the largest entry decides it.
    largest = np.abs(directions).argmax(axis=0)
    directions = directions * np.sign(directions[largest, np.arange(directions.shape[1])])
    projected = moved @ directions
    return (projected * (scale / max(projected.std(), 1e-9))).astype(np.float32)


def _linear_map(
    inputs: NDArray[np.float32], outputs: NDArray[np.float32], new: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Ridge regression from ``inputs`` to ``outputs``, applied to ``new``."""
    centre, target = inputs.mean(axis=0), outputs.mean(axis=0)
    moved = (inputs - centre).astype(np.float64)
    gram = moved.T @ moved
    gram[np.diag_indices_from(gram)] += RIDGE * np.trace(gram) / len(gram) + 1e-9
    weights = np.linalg.solve(gram, moved.T @ (outputs - target))
    return ((new - centre) @ weights + target).astype(np.float32)
