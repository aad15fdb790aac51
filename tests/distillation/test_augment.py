"""Texts made from texts: what each method does, and what a corpus gains."""

from __future__ import annotations

import random

import pytest

from ftx_edge.distillation.augment import MASK, Translations, augment, crop, drop, mask, mix, switch
from ftx_edge.distillation.corpus import Corpus
from ftx_edge.errors import UsageError
from ftx_edge.recipe import Recipe
from ftx_edge.recipe_tables import AugmentRecipe
from ftx_edge.words import segmenter

cut = segmenter("pt")
TEXTS = tuple(
    f"{v} {t} {p}" for v in ("acenda", "apague") for t in ("a luz", "o rádio") for p in ("já", "ali")
)
CORPUS = Corpus("pt", TEXTS, ("toque uma música",), 0)
WITHOUT_WORDS = ("drop", "mask", "mix")
A, B = "acenda a luz da sala", "um dois três"


def made(method, text=A, other=B, rate=0.3, seed=0):
    return method(text, cut(text), other, cut(other), rate, random.Random(seed))


@pytest.mark.parametrize("seed", range(20))
def test_some_words_are_dropped_and_not_all(seed):
    words = made(drop, seed=seed).split()
    assert 1 <= len(words) < 5
    left = iter(A.split())
    assert all(word in left for word in words)  # in their order


@pytest.mark.parametrize("seed", range(20))
def test_masked_words_leave_the_unknown_in_their_place(seed):
    words = made(mask, rate=0.9, seed=seed).split(" ")
    assert len(words) == 5
    assert 1 <= words.count(MASK) < 5
    assert all(new in (MASK, old) for new, old in zip(words, A.split(), strict=True))


@pytest.mark.parametrize("seed", range(20))
def test_a_crop_is_a_stretch_of_the_text(seed):
    text = made(crop, seed=seed)
    assert text in A
    assert 3 <= len(text.split()) < 5


@pytest.mark.parametrize("seed", range(20))
def test_a_mixture_holds_words_of_both(seed):
    words = made(mix, seed=seed).split()
    assert any(word in B.split() for word in words)
    assert sum(word in A.split() for word in words) == 3


@pytest.mark.parametrize("method", [drop, mask, crop, mix])
def test_texts_of_one_word_and_of_none_are_left_alone(method):
    assert made(method, text="luz") in ("", "luz")
    assert made(method, text="") == ""


def test_words_without_spaces_between_them_are_joined_without():
    text, words = "打开厨房灯", [(0, 2), (2, 4), (4, 5)]
    assert " " not in drop(text, words, "", [], 0.5, random.Random(1))


def test_a_corpus_gains_its_share_of_new_different_texts_and_keeps_its_own():
    found = augment(CORPUS, AugmentRecipe(share=1.5, methods=WITHOUT_WORDS), seed=0, cut=cut)
    assert found.train[: len(TEXTS)] == TEXTS
    assert found.held_out == CORPUS.held_out
    assert len(TEXTS) < len(found.train) <= 2.5 * len(TEXTS)
    assert len(set(found.train)) == len(found.train)
    assert not set(found.train) & set(found.held_out)


def test_the_seed_decides_and_nothing_else():
    recipe = AugmentRecipe(share=1.0, methods=WITHOUT_WORDS)
    assert augment(CORPUS, recipe, seed=3, cut=cut) == augment(CORPUS, recipe, seed=3, cut=cut)
    assert augment(CORPUS, recipe, seed=3, cut=cut) != augment(CORPUS, recipe, seed=4, cut=cut)


def test_words_are_cut_where_they_are_needed():
    corpus = Corpus("pt", TEXTS, (), 0, tuple(tuple(cut(t)) for t in TEXTS), (), "whitespace")
    found = augment(corpus, AugmentRecipe(share=1.0, methods=WITHOUT_WORDS), seed=0, cut=cut)
    assert len(found.train_words) == len(found.train)
    assert found.train_words[-1] == tuple(cut(found.train[-1]))


def test_a_round_trip_gives_what_comes_back_and_drops_what_does_not():
    def there(texts):
        return ["" if "rádio" in text else f"en {text}" for text in texts]

    def back(texts):
        return [text.removeprefix("en ") + " por favor" for text in texts]

    recipe = AugmentRecipe(share=1.0, methods=("round-trip",))
    found = augment(CORPUS, recipe, seed=0, cut=cut, translations=Translations(there=there, back_again=back))
    new = found.train[len(TEXTS) :]
    assert sorted(new) == sorted(t + " por favor" for t in TEXTS if "rádio" not in t)


def test_a_paraphrase_stays_within_the_language():
    def within(texts):
        return [f"{text} já" for text in texts]

    recipe = AugmentRecipe(share=1.0, methods=("paraphrase",))
    found = augment(CORPUS, recipe, seed=0, cut=cut, translations=Translations(within=within))
    assert sorted(found.train[len(TEXTS) :]) == sorted(f"{text} já" for text in TEXTS)


def test_english_text_is_read_in_translation_each_text_once():
    def back(texts):
        return [{"play": "toca"}.get(text, TEXTS[0]) for text in texts]

    recipe = AugmentRecipe(share=1.0, methods=("translate",))
    translations = Translations(back=back, english=("play", "turn on the light"))
    found = augment(CORPUS, recipe, seed=0, cut=cut, translations=translations)
    # The other one came out as a text that was there.
    assert found.train == (*TEXTS, "toca")


def test_switched_texts_keep_their_words_but_for_a_stretch_of_their_translation():
    def there(texts):
        return [text.upper() for text in texts]

    recipe = AugmentRecipe(share=1.0, methods=("switch",))
    found = augment(CORPUS, recipe, seed=0, cut=cut, translations=Translations(there=there))
    new = found.train[len(TEXTS) :]
    assert len(new) > len(TEXTS) / 2
    for text in new:
        assert text.lower() in [known.lower() for known in TEXTS]
        assert text.lower() != text != text.upper()


def test_a_stretch_is_taken_from_as_far_along_a_longer_translation():
    text, longer = "a b c", "A1 A2 B1 B2 C1 C2"
    words, others = tuple(cut(text)), tuple(cut(longer))
    made = {switch(text, words, longer, others, 0.2, random.Random(seed)) for seed in range(20)}
    assert made == {"A1 A2 b c", "a B1 B2 c", "a b C1 C2"}
    assert switch("a", tuple(cut("a")), longer, others, 0.2, random.Random(0)) == ""
    assert switch(text, words, "", (), 0.2, random.Random(0)) == ""


@pytest.mark.train
def test_a_run_trains_its_student_on_more_text(tiny_world, tmp_path):
    import json

    from ftx_edge.distillation import distill

    recipe = Recipe().override(
        {
            **tiny_world.changes,
            "step1.learning_rate": 1e-3,
            "step2.learning_rate": 1e-2,
            "step1.max_steps": 2,
            "step2.max_steps": 2,
            "student.architecture": "static",
            "student.embedding_size": 16,
            "augment.share": 0.5,
        }
    )
    distill(recipe, tmp_path / "run")
    stages = json.loads((tmp_path / "run" / "run.json").read_text())["stages"]
    assert stages["students/pt"]["texts"] > 1.3 * stages["mplm"]["texts"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"augment.share": -1.0}, "augment.share, augment.english and augment.sample must not"),
        ({"augment.english": -1.0}, "augment.share, augment.english and augment.sample must not"),
        ({"augment.methods": ("shuffle",)}, "unknown augment.methods 'shuffle'"),
        ({"augment.share": 1.0, "augment.methods": ()}, "augment.methods is empty"),
        ({"augment.share": 1.0, "augment.methods": ("round-trip",)}, "round-trip needs a translator of pt"),
        ({"augment.share": 1.0, "augment.methods": ("paraphrase",)}, "paraphrase needs .* in augment.within"),
        ({"translation.beams": 0}, "translation.beams and translation.max_length must be at least 1"),
        ({"augment.share": 1.0, "augment.methods": ("switch",)}, "switch needs .* in augment.there"),
        ({"augment.share": 1.0, "augment.methods": ("translate",)}, "translate needs .* in augment.back"),
    ],
)
def test_what_cannot_be_made_is_refused(changes, says):
    recipe = Recipe().override(
        {"teacher.label": "hf:x", "data.source": "en.txt", "data.targets": {"pt": "pt.txt"}}
    )
    with pytest.raises(UsageError, match=says):
        recipe.override(changes).check()
