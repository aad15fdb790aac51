"""A student that starts from what the mPLM knows: its embeddings are projections of the mPLM's states.

The paper blames most of the loss in step 2 on students that start from nothing. Here each piece of the
student's vocabulary gets the mean of the mPLM's states over the characters that it covers, wherever it occurs
in the unlabelled text, projected to the student's width by a frequency-weighted PCA (as model2vec does with
single tokens out of context). It works for any pair of tokenizers, since both say where their pieces stand.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

from ftx_edge.arrays import read_arrays, write_arrays
from ftx_edge.mplm.model import MultilingualModel, MultilingualTokenizer, piece_embeddings
from ftx_edge.mplm.space import last_states
from ftx_edge.soft_labels import WordSpans
from ftx_edge.students.model import Student
from ftx_edge.tokenization import SPECIAL_TOKENS, Encoded, encode

RIDGE = 0.1
ENOUGH = 4
"""Texts in which a piece has been read: further ones, if they hold such pieces alone, are not."""


def start_from_mplm(
    student: Student,
    tokenizer: Tokenizer,
    mplm: MultilingualModel,
    mplm_tokenizer: MultilingualTokenizer,
    texts: Sequence[str],
    words: Sequence[WordSpans] | None,
    *,
    device: torch.device,
    precision: str,
    kept: Path | None = None,
) -> int:
    """Set the student's embeddings; special tokens keep their random ones.

    Args:
        student: of any architecture; changed in place.
        tokenizer: the student's.
        mplm: the teacher of step 2.
        mplm_tokenizer: its tokenizer.
        texts: unlabelled training text of the language.
        words: its words, where the mPLM is shown words.
        device: where the mPLM computes.
        precision: at which.
        kept: file with the vectors of the pieces, which students of other architectures share; written
            where it is not there. Its name must stand for all of the above.

    Returns:
        How many pieces occurred in the text; the others have the vector that a linear map from the mPLM's own
        embedding of the piece gives, if it knows the piece, and else a random one.
    """
    arrays = read_arrays(kept) if kept else None
    if arrays is None:
        vectors, counts = piece_vectors(
            tokenizer, mplm, mplm_tokenizer, texts, words, device=device, precision=precision
        )
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
    static = piece_embeddings(mplm.encoder)
    names = tokenizer.get_vocab()
    known = {names[piece]: row for piece, row in mplm_tokenizer.backend.get_vocab().items() if piece in names}
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
    tokenizer: Tokenizer,
    mplm: MultilingualModel,
    mplm_tokenizer: MultilingualTokenizer,
    texts: Sequence[str],
    words: Sequence[WordSpans] | None,
    *,
    device: torch.device,
    precision: str,
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """For each piece of ``tokenizer`` the mean of the states that stand over its characters.

    Texts that hold only pieces which were read often enough before are counted alone.

    Returns:
        vectors float32 (V, H), zero where there is none; counts int64 (V,), occurrences in all texts of those
        that had a state.
    """
    ours, vocab_size = encode(tokenizer, texts), tokenizer.get_vocab_size()
    rows = _telling(ours, vocab_size)
    telling = [texts[row] for row in rows]
    read = encode(tokenizer, telling)
    theirs = mplm_tokenizer.encode(telling, words and [words[row] for row in rows])
    hidden: int = mplm.encoder.config.hidden_size  # type: ignore[union-attr, assignment]
    sums = np.zeros((vocab_size, hidden), dtype=np.float32)
    counts = np.zeros(vocab_size, dtype=np.int64)
    for row, real, means in states_over(mplm, theirs, read, device=device, precision=precision):
        ids = read.ids[read.splits[row] : read.splits[row + 1]][real]
        np.add.at(sums, ids, means)
        np.add.at(counts, ids, 1)
    vectors = (sums / counts.clip(1)[:, None]).astype(np.float32)
    return vectors, np.where(counts > 0, np.bincount(ours.ids, minlength=vocab_size), 0)


def states_over(
    mplm: MultilingualModel, theirs: Encoded, ours: Encoded, *, device: torch.device, precision: str
) -> Iterator[tuple[int, NDArray[np.bool_], NDArray[np.float32]]]:
    """The mPLM's states over other pieces of the same texts, in no order of the texts.

    Args:
        mplm: on any device; it is moved.
        theirs: the texts in its pieces.
        ours: the same in others.
        device: where to compute.
        precision: at which.

    Yields:
        Of each text its row; bool (T,), which of our pieces stand over characters that the mPLM read; for
        these R pieces the mean states over their characters, float32 (R, H).
    """
    encoder = mplm.to(device).eval().encoder
    for rows, states, _ in last_states(encoder, theirs, device=device, precision=precision):
        values = states.cpu().numpy()
        for i, row in enumerate(rows.tolist()):
            other = theirs.offsets[theirs.splits[row] : theirs.splits[row + 1]]
            shares = overlap(ours.offsets[ours.splits[row] : ours.splits[row + 1]], other)
            covered = shares.sum(axis=1)
            real = covered > 0
            yield row, real, shares[real] / covered[real, None] @ values[i, : len(other)]


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


def overlap(one: NDArray[np.integer], two: NDArray[np.integer]) -> NDArray[np.float32]:
    """(A, B): how many characters each stretch of ``one`` (A, 2) shares with each of ``two`` (B, 2)."""
    starts = np.maximum(one[:, None, 0], two[None, :, 0])
    ends = np.minimum(one[:, None, 1], two[None, :, 1])
    return np.maximum(ends - starts, 0).astype(np.float32)


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
