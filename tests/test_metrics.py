"""What is measured of predictions."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftx_edge.data import Span
from ftx_edge.metrics import (
    Proportion,
    Score,
    accuracy,
    bio_score,
    calibration,
    confusions,
    joint_exact_match,
    label_table,
    span_score,
)
from ftx_edge.spans import bio_tags, bio_to_spans, spans_to_bio

# The same examples each time, however slow the machine.
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.load_profile("repeatable")

TAGS = bio_tags(["x", "y"])


def test_accuracy_comes_with_its_wilson_interval():
    got = accuracy(["a"] * 100, ["a"] * 81 + ["b"] * 19)
    assert (got.value, got.count, got.n) == (0.81, 81, 100)
    assert (got.low, got.high) == pytest.approx((0.7222, 0.8749), abs=1e-4)


def test_the_interval_of_none_or_all_or_nothing_stays_inside_zero_and_one():
    assert Proportion.of(0, 10) == Proportion(0.0, 0.0, pytest.approx(0.2775, abs=1e-4), 0, 10)
    assert Proportion.of(10, 10) == Proportion(1.0, pytest.approx(0.7225, abs=1e-4), 1.0, 10, 10)
    nothing = accuracy([], [])
    assert math.isnan(nothing.value)
    assert (nothing.low, nothing.high, nothing.n) == (0.0, 1.0, 0)


@given(n=st.integers(1, 5000), data=st.data())
def test_the_interval_holds_the_share(n, data):
    got = Proportion.of(data.draw(st.integers(0, n)), n)
    assert 0 <= got.low <= got.value <= got.high <= 1


def test_each_label_has_precision_recall_and_f1_and_the_worst_confusions_come_first():
    predicted = ["a", "b", "b", "b", "c", "a"]
    gold = ["a", "a", "a", "b", "b", "d"]
    table = {row.label: row.score for row in label_table(predicted, gold)}
    assert list(table) == ["a", "b", "c", "d"]
    assert table["a"] == Score(1 / 2, 1 / 3, 2 / 5, 1, 2, 3)
    assert table["c"] == Score(0.0, 0.0, 0.0, 0, 1, 0)
    assert table["d"] == Score(0.0, 0.0, 0.0, 0, 0, 1)
    assert [(c.gold, c.predicted, c.count) for c in confusions(predicted, gold, most=2)] == [
        ("a", "b", 2),
        ("b", "c", 1),
    ]
    assert confusions(predicted, gold)[0].share == 2 / 3


def test_a_span_counts_if_start_end_and_label_are_right():
    gold = [(Span(0, 4, "x"), Span(5, 7, "y")), (Span(0, 2, "x"),), ()]
    predicted = [(Span(0, 4, "x"), Span(5, 7, "x")), (Span(0, 3, "x"),), (Span(1, 2, "y"),)]
    got = span_score(predicted, gold)
    assert got.micro == Score(1 / 4, 1 / 3, 2 / 7, 1, 4, 3)
    assert {row.label: (row.score.correct, row.score.predicted, row.score.gold) for row in got.labels} == {
        "x": (1, 3, 2),
        "y": (0, 1, 1),
    }


sequences = st.lists(
    st.integers(1, 6).flatmap(
        lambda n: st.tuples(*[st.lists(st.sampled_from(TAGS), min_size=n, max_size=n)] * 2)
    ),
    min_size=1,
    max_size=5,
)


def f1_of_seqeval(gold, predicted, **options):
    seqeval = pytest.importorskip("seqeval.metrics")
    if not any(tag != "O" for tags in gold + predicted for tag in tags):
        return 0.0
    return seqeval.f1_score(gold, predicted, zero_division=0, **options)


@given(sequences)
def test_bio_score_is_seqeval_on_any_sequences(cases):
    predicted, gold = [list(p) for p, _ in cases], [list(g) for _, g in cases]
    assert bio_score(predicted, gold).micro.f1 == pytest.approx(f1_of_seqeval(gold, predicted))


@given(sequences)
def test_bio_score_is_strict_seqeval_on_well_formed_sequences(cases):
    scheme = pytest.importorskip("seqeval.scheme").IOB2

    def repaired(tags):
        words = [(at, at + 1) for at in range(len(tags))]
        return list(spans_to_bio(bio_to_spans(tags, words), words))

    predicted, gold = [repaired(p) for p, _ in cases], [repaired(g) for _, g in cases]
    strict = f1_of_seqeval(gold, predicted, mode="strict", scheme=scheme)
    assert bio_score(predicted, gold).micro.f1 == pytest.approx(strict)


def test_joint_exact_match_needs_the_label_and_every_span():
    span = Span(0, 1, "x")
    got = joint_exact_match(
        ["a", "a", "b", "a"], [[span], [span], [], [span, Span(2, 3, "x")]],
        ["a", "b", "b", "a"], [[span], [span], [], [span]],
    )  # fmt: skip
    assert (got.count, got.n) == (2, 4)


def test_calibration_is_the_mean_gap_of_confidence_and_accuracy():
    got = calibration([0.95, 0.95, 0.55, 0.55], [True, True, True, False], bins=10)
    assert got.error == pytest.approx(0.05)
    assert [(b.low, b.n, b.accuracy) for b in got.bins] == [(0.5, 2, 0.5), (0.9, 2, 1.0)]
    assert calibration([1.0, 0.0], [True, False]).error == 0.0
    assert math.isnan(calibration([], []).error)
    with pytest.raises(ValueError, match="not between 0 and 1"):
        calibration([1.5], [True])


def test_sides_of_different_length_are_refused():
    for measure in (accuracy, label_table, confusions, span_score, bio_score):
        with pytest.raises(ValueError, match="1 and 2: both sides must have the same length"):
            measure(["a"], ["a", "b"])
    with pytest.raises(ValueError, match="text 0: 1 tags predicted, 2 right"):
        bio_score([["O"]], [["O", "O"]])
