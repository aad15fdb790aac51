"""Soft labels from English neighbours: the mixture a distribution, no label is read."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from ftx_edge.distillation import nearest as module
from ftx_edge.distillation.labelled_source import LabelledSource
from ftx_edge.distillation.mixed import MixedTeacher
from ftx_edge.distillation.neighbours import NeighbourTeacher
from ftx_edge.distillation.word_tags import tags_of_words
from ftx_edge.mplm.model import load_tokenizer
from ftx_edge.mplm.space import Space, WordVectors, word_of_pieces
from ftx_edge.soft_labels import Said, SoftLabels, SoftTags

TAGS = ("O", "B-room", "I-room")


def unit_rows(count: int, seed: int) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(count, 16)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


class WordSpace:
    """Every word has a vector of its own plus an offset of its language; a text is the mean of its words."""

    fingerprint, device = "space", torch.device("cpu")
    meanings = {  # noqa: RUF012
        "light": 0, "luz": 0, "song": 1, "canção": 1, "kitchen": 2, "cozinha": 2, "on": 3, "acenda": 3,
        "play": 4, "toque": 4, "the": 5, "a": 5,
    }  # fmt: skip
    portuguese = frozenset(("luz", "canção", "cozinha", "acenda", "toque", "a"))

    def _word(self, word):
        vector = np.zeros(8, dtype=np.float32)
        vector[self.meanings[word]] = 1
        vector[7] = 5 * (word in self.portuguese)
        return vector

    def texts(self, texts):
        return np.stack([np.mean([self._word(w) for w in t.split()], axis=0) for t in texts])

    def words(self, texts, words):
        spans = [tuple(span) for own in words for span in own]
        vectors = [self._word(t[a:b]) for t, own in zip(texts, words, strict=True) for a, b in own]
        splits = np.cumsum([0, *map(len, words)])
        return WordVectors(np.stack(vectors), np.array(spans, np.int32), splits, np.ones(len(spans), bool))


def spans(text: str) -> tuple[tuple[int, int], ...]:
    found, at = [], 0
    for word in text.split():
        found.append((at, at + len(word)))
        at += len(word) + 1
    return tuple(found)


ENGLISH = ("light on", "play the song", "the kitchen light")
PORTUGUESE = ("acenda luz", "toque a canção", "a luz cozinha")


def source(labels=None, tags=None) -> LabelledSource:
    return LabelledSource(WordSpace(), ENGLISH, tuple(map(spans, ENGLISH)), labels, tags)


class TurnedSpace:
    """Texts are numbers; the Portuguese ones (negative) lie as the English ones do, but turned."""

    fingerprint, device = "turned", torch.device("cpu")
    rows = unit_rows(500, 0)
    turn = np.kron(np.eye(8), [[np.cos(0.8), -np.sin(0.8)], [np.sin(0.8), np.cos(0.8)]]).astype(np.float32)

    def texts(self, texts, words=None):
        found = self.rows[[abs(int(text)) for text in texts]]
        return np.where(np.array([int(text) < 0 for text in texts])[:, None], found @ self.turn, found)


def test_a_turned_language_hears_the_right_neighbours():
    english, theirs = [str(at) for at in range(1, 500)], [str(-at) for at in range(1, 500)]
    classes = TurnedSpace.rows[1:] @ unit_rows(12, 1).T
    labels = SoftLabels(tuple("abcdefghijkl"), np.eye(12, dtype=np.float32)[classes.argmax(axis=1)])
    told = LabelledSource(TurnedSpace(), tuple(english), None, labels, None)
    right, teachers = [], []
    for turns in (0, 3):
        teachers.append(NeighbourTeacher(told, theirs, None, neighbours=3, temperature=0.05, turns=turns))
        said, _ = teachers[-1].ask(theirs)
        right.append((said.argmax(axis=1) == classes.argmax(axis=1)).mean())
    assert right[0] < 0.8
    assert right[1] > 0.99
    assert teachers[0].fingerprint != teachers[1].fingerprint
    # Texts beside the corpus are turned with it.
    np.testing.assert_allclose(teachers[1].ask([*theirs[:5], "7"])[0][:5], said[:5], atol=1e-5)


def test_csls_hears_another_english_text_than_the_cosine(monkeypatch):
    monkeypatch.setattr(module, "HUB_NEIGHBOURS", 2)
    places = {"hub": (5, 5), "light": (9, 1), "music": (1, 9), "luz": (6, 4), "canção": (4, 6)}

    class Plane:
        fingerprint, device = "plane", torch.device("cpu")

        def texts(self, texts):
            """A text with a minus lies opposite: the mean of all is 0."""
            return np.array(
                [np.multiply(places[t.strip("-")], -1 if t[0] == "-" else 1) for t in texts], "f4"
            )

    english = ("hub", "light", "music", "-hub", "-light", "-music")
    known = LabelledSource(Plane(), english, None, SoftLabels(english, np.eye(6, dtype=np.float32)), None)
    said = {}
    for similarity in ("cosine", "csls"):
        teacher = NeighbourTeacher(
            known,
            ("luz", "canção", "-luz", "-canção"),
            None,
            neighbours=1,
            temperature=0.05,
            similarity=similarity,
        )
        said[similarity] = [english[i] for i in teacher.ask(["luz", "canção"]).labels.argmax(axis=1)]
    assert said == {"cosine": ["hub", "hub"], "csls": ["light", "music"]}


def test_a_new_text_hears_english_and_the_corpus():
    probs = np.array([[0.8, 0.2], [0.1, 0.9], [0.7, 0.3]], dtype=np.float32)
    found = NeighbourTeacher(
        source(SoftLabels(("light", "music"), probs)),
        PORTUGUESE,
        None,
        neighbours=2,
        temperature=0.05,
        propagation=0.5,
    )
    said = found.ask(("toque canção", "a luz")).labels
    assert said.argmax(axis=1).tolist() == [1, 0]
    np.testing.assert_allclose(said.sum(axis=1), 1, rtol=1e-5)


def test_target_text_gets_the_labels_of_what_means_the_same():
    probs = np.array([[0.8, 0.2], [0.1, 0.9], [0.7, 0.3]], dtype=np.float32)
    found = NeighbourTeacher(
        source(SoftLabels(("light", "music"), probs)), PORTUGUESE, None, neighbours=1, temperature=0.05
    )
    np.testing.assert_allclose(found.ask(PORTUGUESE).labels, probs, rtol=1e-5)
    np.testing.assert_allclose(found.ask(PORTUGUESE[1:2]).labels, probs[1:2], rtol=1e-5)


def test_target_words_get_the_tags_of_what_means_the_same_in_context():
    units = [
        (spans(text), [[0.1, 0.8, 0.1] if w == "kitchen" else [1, 0, 0] for w in text.split()])
        for text in ENGLISH
    ]
    tags = SoftTags.join(TAGS, [(np.array(o), np.array(p, np.float32)) for o, p in units])
    words = tuple(map(spans, PORTUGUESE))
    found = NeighbourTeacher(source(tags=tags), PORTUGUESE, words, neighbours=1, temperature=0.05)
    said = found.ask(PORTUGUESE[1:], words[1:]).tags
    assert said.offsets.tolist() == [list(span) for own in words[1:] for span in own]
    offsets, probs = said.of_text(1)
    assert probs.argmax(axis=1).tolist() == [0, 0, 1]
    with pytest.raises(ValueError, match="must be of it"):
        found.ask(["toque"], [[(0, 5)]])
    assert offsets.tolist() == [[0, 1], [2, 5], [6, 13]]


@pytest.mark.parametrize(("context", "different"), [(0.0, 1), (0.5, 2)])
def test_the_text_around_a_word_decides_among_the_neighbours_of_the_word(context, different):
    english, portuguese = ("kitchen light", "kitchen song"), ("luz cozinha", "canção cozinha")
    units = [
        (np.array(spans(english[0])), np.array([[0.1, 0.8, 0.1], [1, 0, 0]], np.float32)),
        (np.array(spans(english[1])), np.array([[0.7, 0.2, 0.1], [1, 0, 0]], np.float32)),
    ]
    tags = SoftTags.join(TAGS, units)
    known = LabelledSource(WordSpace(), english, tuple(map(spans, english)), None, tags, context)
    found = NeighbourTeacher(
        known, portuguese, tuple(map(spans, portuguese)), neighbours=2, temperature=0.05, similarity="cosine"
    )
    probs = found.ask(portuguese, tuple(map(spans, portuguese))).tags.probs
    kitchens = probs[[1, 3], TAGS.index("B-room")]
    assert len({round(float(prob), 2) for prob in kitchens}) == different
    assert kitchens[0] >= kitchens[1]


def test_the_fingerprint_follows_everything_that_the_answer_depends_on():
    probs = np.full((3, 2), 0.5, dtype=np.float32)
    other = probs + np.array([0.1, -0.1], dtype=np.float32)

    def teacher(probs=probs, texts=PORTUGUESE, context=0.0, words=None, english=None, **settings):
        known = replace(source(SoftLabels(("a", "b"), probs)), context=context, words=english)
        return NeighbourTeacher(known, texts, words, **{"neighbours": 2, "temperature": 0.05, **settings})

    different = {
        teacher().fingerprint,
        teacher(probs=other).fingerprint,
        teacher(texts=PORTUGUESE[:2]).fingerprint,
        teacher(neighbours=3).fingerprint,
        teacher(temperature=0.1).fingerprint,
        teacher(propagation=0.5).fingerprint,
        teacher(tag_propagation=0.5).fingerprint,
        teacher(similarity="cosine").fingerprint,
        teacher(turns=3).fingerprint,
        teacher(context=0.5).fingerprint,
        teacher(words=(((0, 4),),)).fingerprint,
        teacher(words=(((0, 2), (2, 4)),)).fingerprint,
        teacher(english=(((0, 4),),)).fingerprint,
    }
    assert len(different) == 13
    assert teacher().fingerprint == teacher().fingerprint


class Says:
    """Says the same of every unit."""

    labels: tuple[str, ...] = ()
    tags = TAGS

    def __init__(self, probs, units):
        self.probs, self.units, self.fingerprint = probs, units, str(probs)

    def ask(self, texts, words=None):
        of = [np.array(u, dtype=np.int32).reshape(-1, 2) for u in self.units if words is not None]
        probs = np.array(self.probs, np.float32)
        return Said(None, SoftTags.join(TAGS, [(u, np.tile(probs, (len(u), 1))) for u in of]))


class Both:
    """Says both heads, and counts how often it is asked."""

    labels, tags = ("a", "b"), TAGS

    def __init__(self, name):
        self.fingerprint, self.asked = name, 0

    def ask(self, texts, words=None):
        self.asked += 1
        labels = np.array([[0.25, 0.75]] * len(texts), np.float32)
        if words is None:
            return Said(labels, None)
        tags = SoftTags.join(TAGS, [(np.array(own, np.int32), np.eye(3)[[0] * len(own)]) for own in words])
        return Said(labels, tags)


def test_a_mixture_asks_for_labels_and_tags_at_once():
    teachers = [Both("one"), Both("two")]
    labels, tags = MixedTeacher(teachers).ask(["a b"], [[(0, 1), (2, 3)]])
    np.testing.assert_allclose(labels, [[0.25, 0.75]], rtol=1e-5)
    assert tags.splits.tolist() == [0, 2]
    assert [teacher.asked for teacher in teachers] == [1, 1]
    assert MixedTeacher(teachers).ask(["a b"]).tags is None


def test_teachers_of_tags_are_mixed_a_word_at_a_time():
    words = (((0, 3), (4, 9)), ((0, 2),))
    by_word = Says([0.5, 0.5, 0.0], [[(0, 3), (4, 9)], []])
    by_piece = Says([0.5, 0.0, 0.5], [[(0, 1), (1, 3)], []])
    mixed = MixedTeacher([by_word, by_piece], alignment="first-subword").ask(["a", "b"], words).tags
    assert mixed.splits.tolist() == [0, 2, 2]  # of the second text no teacher knows a word
    np.testing.assert_allclose(mixed.probs.sum(axis=1), 1, rtol=1e-5)
    assert mixed.probs[0].argmax() == 0
    np.testing.assert_allclose(mixed.probs[1], [0.5, 0.5, 0], atol=1e-4)  # one teacher alone


def test_teachers_of_different_tags_are_not_mixed():
    other = Says([1, 0, 0], [])
    other.tags = ("O", "B-x", "I-x")
    with pytest.raises(ValueError, match="same labels and tags"):
        MixedTeacher([Says([1, 0, 0], []), other])


def test_words_without_a_unit_have_no_weight():
    tags = SoftTags.join(TAGS, [(np.array([[0, 3]]), np.array([[0, 1, 0]]))])
    probs, weight = tags_of_words(tags, [((0, 3), (4, 5))])
    assert weight.tolist() == [1, 0]
    assert probs[0].tolist() == [0, 1, 0]


def test_pieces_lie_in_words():
    pieces = np.array([[0, 0], [0, 2], [2, 3], [4, 5], [7, 9], [3, 4]])
    assert word_of_pieces(pieces, np.array([[0, 3], [4, 6], [7, 9]])).tolist() == [-1, 0, 0, 1, 2, -1]
    assert word_of_pieces(pieces, np.zeros((0, 2))).tolist() == [-1] * 6


@pytest.mark.train
def test_the_space_gives_a_text_its_vector_whatever_it_comes_with(tiny_world):
    space = Space(
        str(tiny_world.mplm), load_tokenizer(str(tiny_world.mplm)), device=torch.device("cpu"), layer=1
    )
    texts = ("turn on the light", "play", "acenda a luz da cozinha agora por favor")
    together = space.texts(texts)
    assert together.shape == (3, 32)
    for row, text in enumerate(texts):
        np.testing.assert_allclose(space.texts([text])[0], together[row], atol=1e-5)


@pytest.mark.train
def test_words_have_the_mean_of_their_pieces_and_words_cut_off_have_none(tiny_world):
    tokenizer = load_tokenizer(str(tiny_world.mplm), max_length=6)
    space = Space(str(tiny_world.mplm), tokenizer, device=torch.device("cpu"), layer=1)
    texts = ("play the light", "the light of the light of the light")
    words = tuple(map(spans, texts))
    found = space.words(texts, words)
    assert found.seen[:3].all()
    assert not found.seen[-1]
    assert len(found.vectors) == len(found.offsets) == found.seen.sum() == found.splits[-1]
    alone = space.words(texts[:1], words[:1])
    np.testing.assert_allclose(alone.vectors, found.take([0]).vectors, atol=1e-5)
    assert found.take([1, 0]).offsets[-3:].tolist() == [list(span) for span in words[0]]
