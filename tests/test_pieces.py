"""Pieces of a multilingual vocabulary: how they are written, whose language they are like."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from ftx_edge.pieces import is_wordpiece, is_writable, most_alike, parts, scripts_of


def test_a_stray_letter_makes_no_script():
    assert scripts_of(Counter("abc" * 100 + "ж" + "12")) == {"LATIN"}
    assert scripts_of(Counter("ひらカタ漢字")) == {"HIRAGANA", "KATAKANA", "CJK"}


@pytest.mark.parametrize(
    ("piece", "writable"), [("luz", True), ("Luz", False), ("luz2", False), ("жук", False), ("ação", True)]
)
def test_what_text_of_some_scripts_could_hold(piece, writable):
    assert is_writable(piece, {"LATIN"}, str.lower) is writable


def test_both_ways_to_mark_how_words_begin():
    assert parts("▁luz", wordpiece=False) == (True, "luz")
    assert parts("luz", wordpiece=False) == (False, "luz")
    assert parts("luz", wordpiece=True) == (True, "luz")
    assert parts("##luz", wordpiece=True) == (False, "luz")
    assert is_wordpiece(["luz", "##es"])
    assert not is_wordpiece(["▁luz", "es", "###"])


def test_those_of_the_same_side_come_first():
    rng = np.random.default_rng(0)
    own, others = (rng.normal(size=(count, 6)).astype(np.float32) for count in (200, 100))
    own[:, 0] += 4
    others[:10, 0] += 4
    order = most_alike(own, others).tolist()
    assert set(order[:8]) <= set(range(10))
    assert sorted(order) == list(range(100))


def test_nothing_to_rank_is_no_error():
    assert most_alike(np.ones((3, 2), np.float32), np.zeros((0, 2), np.float32)).tolist() == []
