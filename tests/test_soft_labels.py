"""Soft labels: ragged tags, the cache that computes once, what is a distribution."""

from __future__ import annotations

import numpy as np
import pytest

from ftx_edge.arrays import read_arrays, write_arrays
from ftx_edge.errors import FtxError
from ftx_edge.soft_labels import (
    PORTION,
    KeptTeacher,
    Said,
    SoftLabelCache,
    SoftLabels,
    SoftTags,
    check_distributions,
)

TAGS = ("O", "B-room", "I-room")


def two_texts() -> SoftTags:
    return SoftTags.join(
        TAGS,
        [
            (np.array([[0, 3], [4, 7]]), np.array([[1, 0, 0], [0, 1, 0]])),
            (np.zeros((0, 2)), np.zeros((0, 3))),
            (np.array([[0, 5]]), np.array([[0.5, 0.25, 0.25]])),
        ],
    )


class CountingTeacher:
    """Says how long a text is, that its words are in no span, or both; counts how often it is asked."""

    def __init__(self, fingerprint="f1", *, labels=("short", "long"), tags=()):
        self.fingerprint, self.labels, self.tags, self.asked = fingerprint, labels, tags, 0

    def ask(self, texts, words=None):
        self.asked += 1
        long = np.array([min(len(t), 10) / 10 for t in texts], dtype=np.float32)
        labels = np.stack([1 - long, long], axis=1) if self.labels else None
        if not self.tags or words is None:
            return Said(labels, None)
        units = [(np.array(w).reshape(-1, 2), np.eye(3)[[0] * len(w)]) for w in words]
        return Said(labels, SoftTags.join(TAGS, units))


def tagger() -> CountingTeacher:
    return CountingTeacher(labels=(), tags=TAGS)


def labels_of(cache, teacher, texts, told=None) -> SoftLabels:
    labels, tags = cache.said(teacher, texts, None, told)
    assert tags is None
    return labels


def tags_of(cache, teacher, texts, words) -> SoftTags:
    labels, tags = cache.said(teacher, texts, words)
    assert labels is None
    return tags


@pytest.fixture
def cache(tmp_path) -> SoftLabelCache:
    return SoftLabelCache(tmp_path / "cache")


def test_tags_of_each_text_come_apart_again():
    tags = two_texts()
    assert len(tags) == 3
    assert tags.splits.tolist() == [0, 2, 2, 3]
    offsets, probs = tags.of_text(2)
    assert offsets.tolist() == [[0, 5]]
    assert probs.tolist() == [[0.5, 0.25, 0.25]]
    assert len(tags.of_text(1)[0]) == 0


def test_take_keeps_rows_in_the_order_asked_for():
    tags = two_texts().take(np.array([2, 0]))
    assert tags.splits.tolist() == [0, 1, 3]
    assert tags.offsets.tolist() == [[0, 5], [0, 3], [4, 7]]
    labels = SoftLabels(("a", "b"), np.array([[1, 0], [0, 1]], dtype=np.float32))
    assert labels.take(np.array([1])).probs.tolist() == [[0, 1]]


def test_the_teacher_is_asked_once(cache):
    teacher = CountingTeacher()
    first = labels_of(cache, teacher, ["a", "bbb"])
    second = labels_of(cache, CountingTeacher(), ["a", "bbb"])
    assert teacher.asked == 1
    assert second.labels == teacher.labels
    np.testing.assert_array_equal(first.probs, second.probs)


def test_a_teacher_that_fails_midway_is_not_asked_all_again(cache):
    texts = [str(number) for number in range(2 * PORTION + 1)]
    teacher, told = CountingTeacher(), []

    def fails_once(portion, words):
        if teacher.asked == 2:
            teacher.asked = 10
            raise TimeoutError
        return CountingTeacher.ask(teacher, portion, words)

    teacher.ask = fails_once
    with pytest.raises(TimeoutError):
        labels_of(cache, teacher, texts, told.append)
    assert told == [PORTION, 2 * PORTION]
    probs = labels_of(cache, teacher, texts).probs
    assert teacher.asked == 11
    np.testing.assert_array_equal(probs, CountingTeacher().ask(texts).labels)


def test_tags_come_in_portions_too(cache):
    texts = ["ab"] * (PORTION + 3)
    words = [[(0, 1), (1, 2)]] * PORTION + [[(0, 2)]] * 3
    tags = tags_of(cache, tagger(), texts, words)
    assert len(tags) == len(texts)
    assert [tags.of_text(row)[0].tolist() for row in (0, PORTION)] == [[[0, 1], [1, 2]], [[0, 2]]]


def test_tags_are_kept_like_labels(cache):
    teacher, words = tagger(), [[(0, 1), (2, 3)], [(0, 3)]]
    first = tags_of(cache, teacher, ["a b", "ccc"], words)
    second = tags_of(cache, teacher, ["a b", "ccc"], words)
    assert teacher.asked == 1
    assert second.tags == TAGS
    for name in ("offsets", "probs", "splits"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


def test_another_teacher_another_text_and_another_order_are_asked_for(cache):
    teacher = CountingTeacher()
    labels_of(cache, teacher, ["a", "bb"])
    labels_of(cache, teacher, ["bb", "a"])
    labels_of(cache, teacher, ["a", "bc"])
    assert teacher.asked == 3
    other = CountingTeacher("f2")
    labels_of(cache, other, ["a", "bb"])
    assert other.asked == 1


def test_labels_and_tags_are_asked_for_together(cache):
    texts, words = ["ab"] * (PORTION + 1), [[(0, 2)]] * (PORTION + 1)
    told: list[int] = []
    teacher = CountingTeacher(tags=TAGS)
    labels, tags = cache.said(teacher, texts, words, told.append)
    assert (len(labels), len(tags), teacher.asked) == (PORTION + 1, PORTION + 1, 2)
    assert told == [PORTION, PORTION + 1]
    again, _ = cache.said(teacher, texts, words)
    assert teacher.asked == 2
    np.testing.assert_array_equal(again.probs, labels.probs)


def test_a_teacher_of_tags_needs_words(cache):
    with pytest.raises(ValueError, match="asked of words"):
        cache.said(tagger(), ["abc"], None)


def test_what_a_teacher_said_is_kept_for_others(tmp_path):
    teacher = CountingTeacher(tags=TAGS)
    words = [[(0, 2)], [(0, 3), (4, 7)]]
    first = KeptTeacher(teacher, tmp_path).ask(["hi", "all the"], words)
    again = KeptTeacher(teacher, tmp_path).ask(["hi", "all the"], words)
    assert teacher.asked == 1
    np.testing.assert_array_equal(again.labels, first.labels)
    np.testing.assert_array_equal(again.tags.probs, first.tags.probs)
    assert KeptTeacher(teacher, tmp_path).ask(["hi"]).tags is None  # of labels alone
    assert teacher.asked == 2


def test_words_cut_otherwise_are_asked_for(cache):
    teacher = tagger()
    tags_of(cache, teacher, ["abc"], [[(0, 3)]])
    tags_of(cache, teacher, ["abc"], [[(0, 2), (2, 3)]])
    assert teacher.asked == 2


@pytest.mark.parametrize("damage", [b"", b"not safetensors", None])
def test_a_damaged_cache_file_is_made_anew(cache, damage):
    teacher = CountingTeacher()
    first = labels_of(cache, teacher, ["a", "bbb"])
    (file,) = cache.folder.iterdir()
    file.write_bytes(file.read_bytes()[:-3] if damage is None else damage)
    again = labels_of(cache, teacher, ["a", "bbb"])
    assert teacher.asked == 2
    np.testing.assert_array_equal(first.probs, again.probs)
    labels_of(cache, teacher, ["a", "bbb"])
    assert teacher.asked == 2


@pytest.mark.parametrize("head", ["labels", "splits"])
def test_a_cache_file_of_another_shape_is_made_anew(cache, head):
    teacher = CountingTeacher(tags=TAGS)
    first, _ = cache.said(teacher, ["a", "bbb"], [[(0, 1)], [(0, 3)]])
    (file,) = cache.folder.iterdir()
    arrays = read_arrays(file)
    write_arrays(file, {**arrays, head: arrays[head][:-1]})
    again, _ = cache.said(teacher, ["a", "bbb"], [[(0, 1)], [(0, 3)]])
    assert teacher.asked == 2
    np.testing.assert_array_equal(first.probs, again.probs)


@pytest.mark.parametrize("bad", [[0.2, 0.2], [0.6, 0.6], [1.5, -0.5], [np.nan, 1.0], [np.inf, 0.0]])
def test_what_is_no_distribution_is_refused_with_its_row(bad):
    with pytest.raises(FtxError, match="teacher x: probabilities of text 2"):
        check_distributions(np.array([[0.5, 0.5], bad]), "teacher x")


def test_rounded_distributions_are_made_whole():
    probs = check_distributions(np.array([[0.333, 0.333, 0.333]]), "teacher x")
    assert probs.dtype == np.float32
    assert probs.sum() == pytest.approx(1.0)


def test_one_row_a_text_is_expected():
    with pytest.raises(FtxError, match="one row of them a text"):
        check_distributions(np.array([0.5, 0.5]), "teacher x")
