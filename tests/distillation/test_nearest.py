"""The search is exact, hubs are heard less, and what is averaged stays a distribution."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

from ftx_edge.distillation import nearest as module
from ftx_edge.distillation.nearest import (
    geometric_mean,
    hubness,
    lacks_faiss,
    nearest,
    neighbour_distributions,
    propagate,
)
from ftx_edge.vectors import centred


def unit_rows(count: int, seed: int) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(count, 16)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("keys", [5, 100, 257])
def test_the_search_is_exact_across_batches(monkeypatch, keys):
    monkeypatch.setattr(module, "QUERIES", 7)
    monkeypatch.setattr(module, "KEYS", 50)
    queries, rows = unit_rows(23, 0), unit_rows(keys, 1)
    indices, products = nearest(queries, rows, 6)
    whole = queries @ rows.T
    expected = np.argsort(-whole, axis=1)[:, :6]
    np.testing.assert_array_equal(indices, expected)
    np.testing.assert_allclose(products, np.take_along_axis(whole, expected, 1), atol=1e-5)


def test_what_is_near_to_everything_is_nearest_to_nothing():
    # The first key lies between the others; each query is a little nearer to it than to its own key.
    keys = np.array([[1, 1, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=np.float32)
    queries = np.array([[3, 2, 1], [1, 3, 2], [2, 1, 3]], dtype=np.float32)
    keys, queries = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (keys, queries))
    assert nearest(queries, keys, 1)[0].ravel().tolist() == [0, 0, 0]
    indices, products = nearest(queries, keys, 4, less=hubness(keys, queries))
    assert indices[:, 0].tolist() == [1, 2, 3]
    mean = (keys @ queries.T).mean(axis=1)
    np.testing.assert_allclose(products[0], np.sort((queries @ keys.T)[0] - mean / 2)[::-1], atol=1e-6)


def test_faiss_finds_what_the_exact_search_finds(monkeypatch):
    pytest.importorskip("faiss")
    # Vectors of language lie in clusters.
    rng = np.random.default_rng(0)
    centres = np.repeat(unit_rows(300, 1), 10, axis=0)
    rows = centred(centres + 0.05 * rng.standard_normal(centres.shape, np.float32), np.zeros(1, np.float32))
    queries, less = rows[::100] + 0.01, rng.uniform(0, 0.1, len(rows)).astype(np.float32)
    exact, products = nearest(queries, rows, 8, less=less)
    monkeypatch.setattr(module, "FAISS_FROM", len(rows))
    found, others = nearest(queries, rows, 8, less=less)
    shared = [len(set(a) & set(b)) for a, b in zip(exact.tolist(), found.tolist(), strict=True)]
    assert sum(shared) > 0.95 * exact.size
    np.testing.assert_allclose(products[:, 0], others[:, 0], atol=1e-3)


def test_a_long_search_without_faiss_is_known_before(monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    assert lacks_faiss(module.FAISS_FROM, "cpu")
    assert not lacks_faiss(module.FAISS_FROM - 1, "cpu")
    assert not lacks_faiss(module.FAISS_FROM, "cuda")


def test_neighbours_count_by_closeness():
    labels = np.array([[1, 0], [0, 1]], dtype=np.float32)
    even = neighbour_distributions(np.array([[0, 1]]), np.array([[0.5, 0.5]], np.float32), labels, 0.05)
    np.testing.assert_allclose(even, [[0.5, 0.5]])
    near = neighbour_distributions(np.array([[0, 1]]), np.array([[0.9, 0.5]], np.float32), labels, 0.05)
    np.testing.assert_allclose(near, [[1 / (1 + np.exp(-8)), 1 / (1 + np.exp(8))]], rtol=1e-4)


def test_in_a_geometric_mean_the_sure_one_decides_and_no_zero_vetoes():
    sure, unsure = np.array([[0.98, 0.01, 0.01]]), np.array([[0.2, 0.4, 0.4]])
    mean = geometric_mean([sure, unsure])
    assert mean.argmax() == 0
    assert mean.sum() == pytest.approx(1)
    zero = geometric_mean([np.array([[0.0, 1.0]]), np.array([[1.0, 0.0]])])
    np.testing.assert_allclose(zero, [[0.5, 0.5]])


def test_neighbours_of_one_language_pass_labels_on():
    labels = np.array([[1, 0], [0, 1], [0.5, 0.5]], dtype=np.float32)
    indices = np.array([[0, 2], [1, 2], [2, 0]])
    cosines = np.array([[1, 0.9], [1, 0.9], [1, 0.9]], dtype=np.float32)
    passed = propagate(labels, indices, cosines, share=0.5, temperature=0.05)
    assert passed[2, 0] > 0.6  # it heard the first row, and not itself
    assert 0.5 < passed[0, 0] < 1
    np.testing.assert_allclose(passed.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(propagate(labels, indices, cosines, share=0.0, temperature=0.05), labels)
