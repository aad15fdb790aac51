"""Nearest neighbours, and what to do with their distributions: numbers in, numbers out."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

SMALLEST = 1e-5
"""No teacher is surer than this that a label is wrong: a geometric mean must not be decided by one zero."""
QUERIES = 512
KEYS = 65_536
HUB_NEIGHBOURS = 10
"""As in the paper of CSLS."""
PASSES = 3
"""How often labels are passed on between neighbours; further passes change little."""
FAISS_FROM = 200_000
"""Number of keys from which FAISS searches on a CPU, if it is installed; a GPU multiplies them all."""
PROBES = 64
"""Cells of FAISS's inverted file that are visited for a query."""


def nearest(
    queries: NDArray[np.float32],
    keys: NDArray[np.float32],
    count: int,
    *,
    less: NDArray[np.float32] | None = None,
    device: torch.device | str = "cpu",
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The ``count`` rows of ``keys`` with the largest inner product with each query; exact, in batches.

    40,000 queries in 40,000 keys of 384 numbers take some 20 seconds on one core. From ``FAISS_FROM`` keys a
    CPU asks an inverted file of FAISS, which is approximate, if that is installed (the extra ``faiss``).

    Args:
        queries: float32 (Q, H); of length 1 for cosines.
        keys: float32 (N, H), likewise.
        count: how many; all, if there are fewer keys.
        less: float32 (N,), taken from all products with each key.
        device: where to multiply.

    Returns:
        indices int64 (Q, k) and products float32 (Q, k), the largest first.
    """
    if less is not None:
        queries = np.hstack([queries, np.ones((len(queries), 1), np.float32)])
        keys = np.hstack([keys, -less[:, None]])
    count = min(count, len(keys))
    if _wants_faiss(len(keys), device) and not lacks_faiss(len(keys), device):
        return _nearest_by_faiss(queries, keys, count)
    indices = np.empty((len(queries), count), dtype=np.int64)
    products = np.empty((len(queries), count), dtype=np.float32)
    chunks = [torch.from_numpy(keys[at : at + KEYS]).to(device) for at in range(0, len(keys), KEYS)]
    for at in range(0, len(queries), QUERIES):
        query = torch.from_numpy(queries[at : at + QUERIES]).to(device)
        best: torch.Tensor | None = None
        where: torch.Tensor | None = None
        for number, chunk in enumerate(chunks):
            top = (query @ chunk.T).topk(min(count, len(chunk)), dim=1)
            own = top.indices + number * KEYS
            if best is None or where is None:
                best, where = top.values, own
                continue
            best, order = torch.cat([best, top.values], 1).topk(count, dim=1)
            where = torch.cat([where, own], 1).gather(1, order)
        assert best is not None
        assert where is not None
        indices[at : at + QUERIES] = where.cpu().numpy()
        products[at : at + QUERIES] = best.cpu().numpy()
    return indices, products


def lacks_faiss(keys: int, device: torch.device | str) -> bool:
    """Whether so many keys are searched one by one on a CPU for want of FAISS."""
    return _wants_faiss(keys, device) and find_spec("faiss") is None


def _wants_faiss(keys: int, device: torch.device | str) -> bool:
    return keys >= FAISS_FROM and torch.device(device).type == "cpu"


def _nearest_by_faiss(
    queries: NDArray[np.float32], keys: NDArray[np.float32], count: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """From ``PROBES`` of the 4 sqrt(N) cells of an inverted file: nearly all that are nearest."""
    import faiss

    cells = int(4 * len(keys) ** 0.5)
    index: Any = faiss.index_factory(keys.shape[1], f"IVF{cells},Flat", faiss.METRIC_INNER_PRODUCT)
    index.train(keys[:: max(1, len(keys) // (64 * cells))])
    index.add(keys)
    index.nprobe = PROBES
    products, indices = index.search(queries, count)
    return indices.astype(np.int64), products.astype(np.float32)


def hubness(
    keys: NDArray[np.float32], queries: NDArray[np.float32], *, device: torch.device | str = "cpu"
) -> NDArray[np.float32]:
    """How near each key is to queries in general: half its mean cosine with its ``HUB_NEIGHBOURS`` nearest.

    In spaces of many dimensions some points are near to everything. Cosines less this rank keys as CSLS does
    (Conneau et al. 2018, "Word Translation Without Parallel Data", eq. 3): twice the cosine less the mean
    cosines of both sides, of which the query's is the same for all keys.

    Args:
        keys: float32 (N, H), rows of length 1.
        queries: float32 (Q, H), likewise.
        device: where to multiply.

    Returns:
        float32 (N,).
    """
    _, cosines = nearest(keys, queries, HUB_NEIGHBOURS, device=device)
    return (cosines.mean(axis=1) / 2).astype(np.float32)


def neighbour_distributions(
    indices: NDArray[np.int64],
    cosines: NDArray[np.float32],
    labels: NDArray[np.float32],
    temperature: float,
) -> NDArray[np.float32]:
    """The neighbours' distributions, averaged with softmax(cosine / temperature).

    Args:
        indices: int64 (Q, k), rows of ``labels``.
        cosines: float32 (Q, k).
        labels: float32 (N, C), rows sum to 1.
        temperature: small ones listen to the very nearest only.

    Returns:
        float32 (Q, C), rows sum to 1.
    """
    shares = np.exp((cosines - cosines.max(axis=1, keepdims=True)) / temperature)
    shares = (shares / shares.sum(axis=1, keepdims=True)).astype(np.float32)
    mixed = np.zeros((len(indices), labels.shape[1]), dtype=np.float32)
    for place in range(indices.shape[1]):
        mixed += shares[:, place, None] * labels[indices[:, place]]
    return mixed


def propagate(
    labels: NDArray[np.float32],
    indices: NDArray[np.int64],
    cosines: NDArray[np.float32],
    *,
    share: float,
    temperature: float,
) -> NDArray[np.float32]:
    """Mix each row with what its neighbours say: ``labels <- (1 - share) labels_0 + share neighbours``.

    Args:
        labels: float32 (N, C), rows sum to 1.
        indices: int64 (N, k), neighbours of each row among the rows; the row itself does not count.
        cosines: float32 (N, k).
        share: of the neighbours; 0 changes nothing.
        temperature: of the softmax over their cosines.
    """
    others = np.where(indices == np.arange(len(labels))[:, None], -np.inf, cosines).astype(np.float32)
    if not share or len(labels) < 2:
        return labels
    passed = labels
    for _ in range(PASSES):
        heard = neighbour_distributions(indices, others, passed, temperature)
        passed = ((1 - share) * labels + share * heard).astype(np.float32)
    return passed


def geometric_mean(
    parts: Sequence[NDArray[np.float32]], weights: Sequence[float] | None = None
) -> NDArray[np.float32]:
    """The normalised geometric mean of distributions (N, C), row by row.

    It is the distribution with the least mean KL(mean || part): where one part is sure and the other is not,
    the sure one decides.
    """
    weights = weights or [1.0 / len(parts)] * len(parts)
    logs = sum(w * np.log(np.maximum(part, SMALLEST)) for w, part in zip(weights, parts, strict=True))
    assert isinstance(logs, np.ndarray)
    probs = np.exp(logs - logs.max(axis=1, keepdims=True))
    return (probs / probs.sum(axis=1, keepdims=True)).astype(np.float32)
