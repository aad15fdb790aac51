"""A teacher is opened by its specification and checked: its answers are distributions, ``O`` comes first."""

from __future__ import annotations

import numpy as np
import pytest

from ftx_edge.errors import FtxError, UsageError
from ftx_edge.soft_labels import Said, SoftTags
from ftx_edge.teachers import CheckedTeacher, open_teacher


class Tagger:
    """Says of every text what it was given."""

    labels: tuple[str, ...] = ()
    fingerprint = "f"

    def __init__(self, tags, row=None):
        self.tags, self.row = tags, row or [1.0] + [0.0] * (len(tags) - 1)

    def ask(self, texts, words=None):
        return Said(
            None, SoftTags.join(self.tags, [(np.array([[0, 1]]), np.array([self.row])) for _ in texts])
        )


class Classifier:
    tags: tuple[str, ...] = ()
    fingerprint = "f"

    def __init__(self, labels, probs):
        self.labels, self.probs = labels, np.asarray(probs)

    def ask(self, texts, words=None):
        return Said(self.probs, None)


@pytest.mark.parametrize("spec", ["", "hf", "hf:", "pickle:model.bin", "model.bin", "http://example.org"])
def test_an_unknown_kind_lists_those_there_are(spec):
    with pytest.raises(UsageError) as caught:
        open_teacher(spec)
    for kind in ("hf:", "package:", "recorded:", "python:"):
        assert kind in str(caught.value)


def test_tags_are_put_in_the_order_o_begin_inside():
    checked = CheckedTeacher(
        Tagger(("I-room", "B-time", "O", "I-time", "B-room"), row=[0.1, 0.2, 0.4, 0.05, 0.25]), "x"
    )
    assert checked.tags == ("O", "B-room", "I-room", "B-time", "I-time")
    np.testing.assert_allclose(checked.ask(["a"], [[(0, 1)]]).tags.probs, [[0.4, 0.25, 0.1, 0.2, 0.05]])


def test_tags_that_a_teacher_never_gives_have_probability_zero():
    checked = CheckedTeacher(Tagger(("O", "B-room"), row=[0.25, 0.75]), "x")
    assert checked.tags == ("O", "B-room", "I-room")
    np.testing.assert_allclose(checked.ask(["a"], [[(0, 1)]]).tags.probs, [[0.25, 0.75, 0]])


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        (("O", "room"), "'room' is no BIO tag"),
        (("O", "S-room"), "'S-room' is no BIO tag"),
        (("B-room", "I-room"), "none of its tags is O"),
        (("O", "B-room", "B-room"), "one tag twice"),
    ],
)
def test_tags_that_are_not_bio_are_refused(tags, message):
    with pytest.raises(UsageError, match=message):
        CheckedTeacher(Tagger(tags), "x")


def test_answers_that_are_no_distribution_are_refused():
    with pytest.raises(FtxError, match=r"teacher x: probabilities of text 2 sum to 0\.7"):
        CheckedTeacher(Classifier(("a", "b"), [[0.5, 0.5], [0.5, 0.2]]), "x").ask(["s", "t"])


def test_answers_for_another_number_of_texts_are_refused():
    with pytest.raises(FtxError, match=r"gave \(1, 2\) for 2 texts, 2 labels"):
        CheckedTeacher(Classifier(("a", "b"), [[0.5, 0.5]]), "x").ask(["s", "t"])
