"""The texts of a language turned onto the English ones, by what is mutually nearest.

A language lies in a multilingual space beside English by more than its mean: a little turned, too. Which
way, its texts tell: a text and an English one that are each other's nearest mostly mean much the same,
though neither was translated from the other, and the rotation that lays the one on the other lays nearer
what those pairs do not hold (Conneau et al. 2018, "Word Translation Without Parallel Data", section 2.2:
Procrustes on mutual nearest neighbours by CSLS, repeated). No label is read.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from ftx_edge.distillation.nearest import hubness, nearest

MOST_ROWS = 10_000
"""Rows of either side that are looked at, evenly taken: more do not make the rotation better."""
STEADY = 6.0
"""Pairs a dimension from which they turn it; few pairs, of small corpora, are wrong pairs and turn little."""


def rotation(
    queries: NDArray[np.float32],
    keys: NDArray[np.float32],
    *,
    passes: int,
    blocks: Sequence[slice] | None = None,
    device: torch.device | str = "cpu",
) -> NDArray[np.float32]:
    """What to multiply ``queries`` with, from the right, to lay them on ``keys``.

    Args:
        queries: float32 (Q, D), centred.
        keys: float32 (N, D), likewise.
        passes: how often pairs are looked for and the rotation found; 0 leaves all as it is.
        blocks: columns that are turned, each block in itself; None stands for one of all columns. The
            others stay, and have their say in what is nearest.
        device: where to look.

    Returns:
        float32 (D, D), orthogonal.
    """
    queries, keys = _some(queries), _some(keys)
    blocks = [slice(0, keys.shape[1])] if blocks is None else blocks
    found = np.eye(keys.shape[1], dtype=np.float32)
    for _ in range(passes if len(queries) and len(keys) else 0):
        rows, mates = mutual(queries @ found, keys, device=device)
        for block in blocks:
            product = queries[rows, block].T @ keys[mates, block]
            # As if each direction had so many more pairs, which lie on each other already.
            held = (STEADY * len(product) / max(len(rows), 1)) ** 2
            left, _, right = np.linalg.svd(product + held * np.eye(len(product)))
            found[block, block] = left @ right
    return found


def mutual(
    queries: NDArray[np.float32], keys: NDArray[np.float32], *, device: torch.device | str = "cpu"
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of both that are each other's nearest by CSLS: int64 (P,) and (P,)."""
    there, _ = nearest(queries, keys, 1, less=hubness(keys, queries, device=device), device=device)
    back, _ = nearest(keys, queries, 1, less=hubness(queries, keys, device=device), device=device)
    rows = np.flatnonzero(back[there[:, 0], 0] == np.arange(len(queries)))
    return rows, there[rows, 0]


def _some(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    return rows[:: -(-len(rows) // MOST_ROWS) or 1]
