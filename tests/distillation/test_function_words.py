"""Function words are kept out of spans: by the odds of their form, content words stay, no label is read."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

from ftx_edge.distillation.function_words import PSEUDO_WORDS, FunctionWordTeacher, outside_factors
from ftx_edge.soft_labels import Said, SoftTags

TAGS = ("O", "B-date", "I-date")
INSIDE, UNSURE, OUTSIDE = [0.1, 0.8, 0.1], [0.5, 0.1, 0.4], [0.9, 0.02, 0.08]


def words_of(text: str) -> tuple[tuple[int, int], ...]:
    """Words of two letters with a space between them."""
    return tuple((at, at + 2) for at in range(0, len(text), 3))


class Scripted:
    """Says what it was given, by text, and counts the texts that it is asked about."""

    labels, tags, fingerprint = ("a",), TAGS, "said"

    def __init__(self, by_text):
        self.by_text, self.asked = by_text, 0

    def ask(self, texts, words=None):
        self.asked += len(texts)
        labels = np.ones((len(texts), 1), np.float32)
        if words is None:
            return Said(labels, None)
        rows = [(np.array(words_of(t), np.int32), np.array(self.by_text[t], np.float32)) for t in texts]
        return Said(labels, SoftTags.join(TAGS, rows))


CORPUS = {
    "mo no ha": [INSIDE, UNSURE, OUTSIDE],
    "No tu ha": [OUTSIDE, INSIDE, OUTSIDE],
    "we no ha": [INSIDE, OUTSIDE, OUTSIDE],
}


def teacher(share: float = 1.5) -> tuple[FunctionWordTeacher, Scripted]:
    inner = Scripted(CORPUS | {"mo no xx": [INSIDE, UNSURE, UNSURE]})
    texts = tuple(CORPUS)
    return FunctionWordTeacher(inner, texts, [words_of(t) for t in texts], share=share), inner


def test_the_odds_of_a_form_are_those_of_all_its_places_by_those_of_all_words():
    outside = np.array([0.9, 0.7, 0.2, 0.2], np.float32)
    mean = 0.5
    own = (1.6 + PSEUDO_WORDS * mean) / (2 + PSEUDO_WORDS)
    found = outside_factors(["no", "no", "mo", "tu"], outside, 2.0)
    assert found == {"no": pytest.approx((own / (1 - own)) ** 2, rel=1e-5)}


@pytest.mark.parametrize("outside", [[], [1.0, 1.0], [0.0, 0.0], [0.3, 0.3]])
def test_where_all_words_are_alike_none_is_a_function_word(outside):
    assert outside_factors(["no", "mo"][: len(outside)], np.array(outside, np.float32), 1.5) == {}


def test_a_form_that_is_always_outside_has_finite_odds():
    outside = np.array([1.0] * 10_000 + [0.0] * 10_000, np.float32)
    found = outside_factors(["no"] * 10_000 + ["mo"] * 10_000, outside, 1.5)
    assert 1 < found["no"] < np.inf


def test_a_function_word_leaves_the_span_and_content_words_stay():
    asked, _ = teacher()
    text = "mo no ha"
    labels, tags = asked.ask([text], [words_of(text)])
    before = np.array(CORPUS[text], np.float32)
    assert tags.probs[1, 0] > before[1, 0] + 0.1
    np.testing.assert_allclose(tags.probs[0], before[0], rtol=1e-6)
    np.testing.assert_allclose(tags.probs.sum(axis=1), 1, rtol=1e-6)
    # What it would be, were it inside, is as before.
    np.testing.assert_allclose(tags.probs[1, 1] / tags.probs[1, 2], before[1, 1] / before[1, 2], rtol=1e-5)
    assert labels.tolist() == [[1]]


def test_capital_letters_make_no_other_form():
    asked, _ = teacher()
    text = "No tu ha"
    assert asked.ask([text], [words_of(text)]).tags.probs[0, 0] > CORPUS[text][0][0]


def test_the_teacher_is_asked_about_the_corpus_once_and_texts_are_independent():
    asked, inner = teacher()
    texts = list(CORPUS)
    whole = asked.ask(texts, [words_of(t) for t in texts]).tags
    for row, text in enumerate(texts):
        alone = asked.ask([text], [words_of(text)]).tags
        np.testing.assert_array_equal(alone.probs, whole.of_text(row)[1])
    assert inner.asked == len(texts)


def test_other_texts_are_corrected_by_what_the_corpus_says_of_their_words():
    asked, _ = teacher()
    text = "mo no xx"
    probs = asked.ask([text], [words_of(text)]).tags.probs
    assert probs[1, 0] > UNSURE[0]
    np.testing.assert_allclose(probs[2], UNSURE, rtol=1e-6)


def test_labels_alone_are_the_teachers():
    asked, inner = teacher()
    assert asked.ask(["mo no ha"]).tags is None
    assert inner.asked == 1


def test_the_fingerprint_changes_with_the_share_and_the_words():
    first, _ = teacher()
    other, _ = teacher(share=1.0)
    assert first.fingerprint != other.fingerprint
    cut = FunctionWordTeacher(Scripted(CORPUS), tuple(CORPUS), [((0, 8),)] * 3, share=1.5)
    assert first.fingerprint != cut.fingerprint
