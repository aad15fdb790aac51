"""Tags that follow each other as in English: exact marginals, a text at a time, blind to labels."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from hypothesis import given
from hypothesis import strategies as st

from ftx_edge.distillation.labelled_source import LabelledSource
from ftx_edge.distillation.transitions import LARGEST_RATIO, ChainedTeacher, chained, open_ended, ratios
from ftx_edge.soft_labels import Said, SoftTags

TAGS = ("O", "B-date", "I-date")
O, B, I = np.eye(3, dtype=np.float32)  # noqa: E741


def spans_of(count: int) -> tuple[tuple[int, int], ...]:
    """So many words of two letters."""
    return tuple((3 * at, 3 * at + 2) for at in range(count))


def soft_tags(*texts) -> SoftTags:
    """A distribution a word."""
    return SoftTags.join(
        TAGS, [(np.array(spans_of(len(t)), np.int32), np.array(t, np.float32)) for t in texts]
    )


class Space:
    fingerprint, device = "space", torch.device("cpu")


class Scripted:
    """A teacher of tags that says what it was given, by text."""

    labels, tags, fingerprint = ("a",), TAGS, "said"

    def __init__(self, by_text):
        self.by_text = by_text

    def ask(self, texts, words=None):
        labels = np.ones((len(texts), 1), np.float32)
        return Said(labels, soft_tags(*(self.by_text[text] for text in texts)) if words else None)


def source(*tags) -> LabelledSource:
    """English text with these tags, a hundred times over."""
    tags = tags * 100
    texts = tuple(f"en {row}" for row in range(len(tags)))
    return LabelledSource(Space(), texts, tuple(spans_of(len(own)) for own in tags), None, soft_tags(*tags))


@given(st.integers(0, 10_000), st.lists(st.integers(0, 4), min_size=1, max_size=5))
def test_each_word_gets_its_marginal_over_all_tag_sequences_of_its_text(seed, lengths):
    rng = np.random.default_rng(seed)
    splits = np.cumsum([0, *lengths])
    probs = rng.dirichlet(np.ones(3), size=splits[-1]).astype(np.float32).clip(1e-4)
    probs /= probs.sum(axis=1, keepdims=True)
    between = rng.uniform(0.1, 10, size=(3, 3)).astype(np.float32)
    found = chained(probs, splits, between)
    for start, end in pairwise(splits):
        expected = np.zeros((end - start, 3))
        for path in product(range(3), repeat=end - start):
            weight = np.prod([probs[start + at, tag] for at, tag in enumerate(path)])
            weight *= np.prod([between[pair] for pair in pairwise(path)])
            expected[range(end - start), path] += weight
        np.testing.assert_allclose(
            found[start:end], expected / expected.sum(axis=1, keepdims=True).clip(1e-12), atol=1e-4
        )


def test_the_ratios_say_what_follows_what_within_a_text():
    english = soft_tags(*([[B, I, O]] * 500))
    found = ratios(english.probs, english.splits)
    assert found[1, 2] > 1.3, "I-date follows B-date"
    assert found[1, 0] < 0.5, "no other tag does"
    assert found[0].max() <= 1, "a text ends with O: what the next one begins with does not follow it"


def test_tags_that_follow_by_chance_have_no_ratio():
    rng = np.random.default_rng(0)
    probs = np.eye(3, dtype=np.float32)[rng.integers(0, 3, 30_000)]
    np.testing.assert_allclose(ratios(probs, np.array([0, 30_000])), 1, atol=0.05)


@pytest.mark.parametrize("texts", [[], [[O]], [[O], [B]]])
def test_english_text_without_two_words_in_a_row_says_nothing(texts):
    english = soft_tags(*texts)
    found = ratios(english.probs, english.splits)
    np.testing.assert_allclose(found / found.max(axis=1, keepdims=True), 1)


def test_a_tag_that_english_never_has_is_bounded():
    english = soft_tags(*([[O, O]] * 10_000))
    found = ratios(english.probs, english.splits)
    assert found.min() >= 1 / LARGEST_RATIO
    assert np.isfinite(found).all()


def test_two_words_that_both_begin_a_date_become_one_date():
    unsure = [[0.1, 0.8, 0.1], [0.1, 0.5, 0.4]]
    teacher = ChainedTeacher(
        Scripted({"sexta feira": unsure}),
        source([O, B, I, O], [B, O]),
        share=1.0,
        alignment="character-bridge",
    )
    found = teacher.ask(["sexta feira"], [spans_of(2)]).tags
    assert found.probs.argmax(axis=1).tolist() == [1, 2]
    np.testing.assert_allclose(found.probs.sum(axis=1), 1, rtol=1e-5)
    labels, tags = teacher.ask(["sexta feira"])
    assert (labels.tolist(), tags) == ([[1]], None)


def test_what_goes_on_in_english_may_begin_elsewhere():
    # "7 am" with the words the other way round: by itself the first one goes on with what nothing began.
    unsure = [[0.3, 0.1, 0.6], [0.2, 0.7, 0.1]]
    teacher = ChainedTeacher(
        Scripted({"午前 七": unsure}), source([O, B, I, O], [B, O]), share=1.0, alignment="character-bridge"
    )
    assert teacher.ask(["午前 七"], [spans_of(2)]).tags.probs.argmax(axis=1).tolist() == [1, 2]


def test_a_label_is_as_likely_to_begin_as_to_go_on_save_at_the_start_of_a_text():
    probs = np.array([[0.2, 0.5, 0.3], [0.4, 0.0, 0.6], [1, 0, 0]], np.float32)
    found = open_ended(probs, np.array([0, 2, 2, 3]), TAGS)
    np.testing.assert_allclose(found, [[0.2, 0.8, 0], [0.4, 0.6, 0.6], [1, 0, 0]])


def test_words_of_which_nothing_is_told_are_left_out():
    said = {"a b": [[0.1, 0.8, 0.1], [0.1, 0.5, 0.4]], "c": [[0.2, 0.3, 0.5]]}
    teacher = ChainedTeacher(Scripted(said), source([B, I]), share=0.5, alignment="character-bridge")
    found = teacher.ask(["a b", "c"], [spans_of(2), spans_of(3)]).tags
    assert found.splits.tolist() == [0, 2, 3]
    np.testing.assert_allclose(found.probs[2], [0.2, 0.8, 0], atol=1e-5)


def test_the_fingerprint_follows_share_and_source():
    def made(share=0.5, english=([B, I],)):
        return ChainedTeacher(
            Scripted({}), source(*english), share=share, alignment="character-bridge"
        ).fingerprint

    assert len({made(), made(share=1.0), made(english=([B, O],))}) == 3
    assert made() == made()
