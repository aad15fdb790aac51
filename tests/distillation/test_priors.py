"""The correction to the English label mix: exact where it can be, partial where asked, blind to labels."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from hypothesis import given
from hypothesis import strategies as st

from ftx_edge.distillation.labelled_source import LabelledSource
from ftx_edge.distillation.priors import LARGEST_FACTOR, PriorTeacher, factors, scaled
from ftx_edge.soft_labels import Said, SoftLabels, SoftTags

TAGS = ("O", "B-room", "I-room")
WORDS = ((0, 2), (3, 5))


class Space:
    fingerprint, device = "space", torch.device("cpu")


class Scripted:
    """A teacher that says what it was given, by text, and counts the texts that it is asked about."""

    labels, tags, fingerprint = ("a", "b"), TAGS, "said"

    def __init__(self, labels, tags=None):
        self.by_text, self.tags_of, self.asked = labels, tags or {}, 0

    def ask(self, texts, words=None):
        self.asked += len(texts)
        labels = np.array([self.by_text[t] for t in texts], np.float32)
        if words is None:
            return Said(labels, None)
        units = np.array(WORDS, np.int32)
        tags = [(units, np.array(self.tags_of[t], np.float32)) for t in texts]
        return Said(labels, SoftTags.join(TAGS, tags))


def source(labels, tags=None) -> LabelledSource:
    texts = tuple(f"en {row}" for row in range(len(labels)))
    probs = SoftLabels(("a", "b"), np.array(labels, np.float32))
    if tags is None:
        return LabelledSource(Space(), texts, None, probs, None)
    units = np.array(WORDS, np.int32)
    soft = SoftTags.join(TAGS, [(units, np.array(own, np.float32)) for own in tags])
    return LabelledSource(Space(), texts, tuple(WORDS for _ in texts), probs, soft)


@given(st.integers(0, 10_000), st.integers(2, 6))
def test_the_mean_becomes_the_english_one(seed, labels):
    rng = np.random.default_rng(seed)
    probs = rng.dirichlet(np.ones(labels), size=400).astype(np.float32)
    prior = (rng.dirichlet(np.ones(labels)) * 0.5 + 0.5 / labels).astype(np.float32)
    mean = scaled(probs, factors(probs, prior)).mean(axis=0)
    np.testing.assert_allclose(mean, prior, atol=0.02)


def test_a_label_that_never_occurs_is_not_scaled_without_end():
    probs = np.tile(np.array([[1 - 1e-6, 1e-6]], np.float32), (50, 1))
    found = factors(probs, np.array([0.5, 0.5], np.float32))
    assert found.max() == pytest.approx(LARGEST_FACTOR)
    assert found.min() >= 1 / LARGEST_FACTOR


@pytest.mark.parametrize(("share", "expected"), [(0.0, 0.7), (1.0, 0.5)])
def test_a_share_of_the_correction(share, expected):
    texts = tuple(f"pt {row}" for row in range(20))
    said = Scripted({text: [0.7, 0.3] for text in texts})
    found = (
        PriorTeacher(said, source([[1, 0], [0, 1]]), texts, None, share=share, tag_share=share)
        .ask(texts)
        .labels
    )
    np.testing.assert_allclose(found[:, 0], expected, atol=1e-3)


def test_between_no_and_full_correction_and_no_text_decides_for_others_by_its_place():
    texts = ("x", "y", "z")
    said = Scripted({"x": [0.9, 0.1], "y": [0.6, 0.4], "z": [0.8, 0.2], "new": [0.9, 0.1]})
    teacher = PriorTeacher(said, source([[0.5, 0.5]]), texts, None, share=0.5, tag_share=0.5)
    whole = teacher.ask(texts).labels
    assert (whole[:, 0] < [0.9, 0.6, 0.8]).all()
    np.testing.assert_array_equal(teacher.ask(("z", "x")).labels, whole[[2, 0]])
    np.testing.assert_array_equal(teacher.ask(("new",)).labels, whole[:1])
    assert said.asked == 3 + 1, "the corpus once, and the new text"


def test_tags_are_corrected_by_how_often_words_have_them():
    texts = ("ab cd", "ef gh")
    told = {text: [[0.9, 0.1, 0.0], [0.8, 0.1, 0.1]] for text in texts}
    english = [[[0, 1, 0], [1, 0, 0]], [[0, 1, 0], [0, 0, 1]]]
    labels = [[0.5, 0.5]] * 2
    scripted = Scripted({text: [0.5, 0.5] for text in texts}, told)
    teacher = PriorTeacher(
        scripted,
        source(labels, english),
        texts,
        (WORDS, WORDS),
        share=1.0,
        tag_share=1.0,
    )
    found = teacher.ask(texts[1:], (WORDS,)).tags
    assert found.splits.tolist() == [0, 2]
    np.testing.assert_allclose(found.probs.sum(axis=1), 1, rtol=1e-5)
    both = teacher.ask(texts, (WORDS, WORDS)).tags.probs
    np.testing.assert_allclose(both.mean(axis=0), [0.25, 0.5, 0.25], atol=0.02)
    assert teacher.ask(texts).tags is None
    assert scripted.asked == len(texts), "of the corpus once, for both heads"


def test_the_fingerprint_follows_share_texts_and_source():
    said = Scripted({"x": [0.5, 0.5], "y": [0.5, 0.5]})

    def made(texts=("x",), share=0.5, labels=((1, 0),)):
        return PriorTeacher(said, source(labels), texts, None, share=share, tag_share=share).fingerprint

    assert len({made(), made(("y",)), made(share=1.0), made(labels=((0, 1),))}) == 4
    assert made() == made()
