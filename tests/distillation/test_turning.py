"""A language that is turned against English is turned back, by mutual neighbours alone."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

from ftx_edge.distillation.turning import mutual, rotation

SIZE = 8


def rows(count: int, seed: int = 0) -> np.ndarray:
    found = np.random.default_rng(seed).normal(size=(count, SIZE)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def small_turn(size: int = SIZE, *, angle: float = 0.3) -> np.ndarray:
    """Each pair of axes, a little."""
    found = np.eye(size, dtype=np.float32)
    for at in range(0, size, 2):
        pair = slice(at, at + 2)
        found[pair, pair] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return found


def test_what_was_turned_is_turned_back_though_no_row_says_which_is_whose():
    english = rows(600)
    theirs = english[np.random.default_rng(1).permutation(600)] @ small_turn()
    before = np.linalg.norm(small_turn() - np.eye(SIZE))
    once, often = (rotation(theirs, english, passes=passes) for passes in (1, 4))
    errors = [np.linalg.norm(found - small_turn().T) for found in (once, often)]
    assert errors[0] < before / 2
    assert errors[1] < min(errors[0], 0.05)
    np.testing.assert_allclose(often @ often.T, np.eye(SIZE), atol=1e-5)


def test_few_pairs_turn_next_to_nothing():
    english = rows(12)
    found = rotation(english @ small_turn(), english, passes=3)
    assert np.linalg.norm(found - np.eye(SIZE)) < 0.5 * np.linalg.norm(small_turn() - np.eye(SIZE))


def test_columns_of_no_block_stay_and_blocks_do_not_mix():
    english = rows(600)
    theirs = english @ small_turn()
    found = rotation(theirs, english, passes=3, blocks=[slice(0, 2), slice(2, 6)])
    np.testing.assert_array_equal(found[6:], np.eye(SIZE, dtype=np.float32)[6:])
    assert not found[:2, 2:].any()
    np.testing.assert_allclose(found[:6, :6], small_turn()[:6, :6].T, atol=0.1)


@pytest.mark.parametrize(("queries", "keys", "passes"), [(0, 5, 3), (5, 0, 3), (5, 5, 0)])
def test_nothing_to_learn_from_leaves_all_as_it_is(queries, keys, passes):
    found = rotation(rows(queries), rows(keys, 1), passes=passes)
    np.testing.assert_array_equal(found, np.eye(SIZE, dtype=np.float32))


def test_mutual_neighbours_are_each_others_nearest():
    english = rows(40)
    chosen = np.array([3, 17, 25])
    queries, mates = mutual(english[chosen], english)
    np.testing.assert_array_equal(chosen[queries], mates)
    assert len(queries) == 3
