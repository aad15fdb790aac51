"""Words that a corpus does not hold: what takes the place of what."""

from __future__ import annotations

import random

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from ftx_edge.distillation.augment import augment
from ftx_edge.distillation.corpus import Corpus
from ftx_edge.distillation.replacements import Replacements
from ftx_edge.mplm.model import MultilingualTokenizer
from ftx_edge.recipe_tables import AugmentRecipe
from ftx_edge.words import segmenter

cut = segmenter("pt")
USED = ["▁acenda", "▁apague", "▁a", "▁o", "▁luz", "▁rádio", "▁da", "▁sala", "s", "▁7"]
NEAR = {"▁lâmpada": "▁luz", "▁quarto": "▁sala", "▁cozinha": "▁sala", "▁ligue": "▁acenda", "es": "s"}
FAR = ["▁жук", "▁Quarto", "▁x2", "▁voiture", "▁haus"]
FULL = len(USED) + len(NEAR)
TEXTS = ("acenda a luz da sala", "apague o rádio", "apague as luzs da sala", "acenda a luz 7")


@pytest.fixture(scope="module")
def mplm() -> tuple[MultilingualTokenizer, np.ndarray]:
    """A tokenizer, and embeddings in which the pieces of ``NEAR`` lie at those that they are near to."""
    pieces = ["<unk>", *USED, *NEAR, *FAR, *"abcdefghijlmnopqrstuvxzáâ", "▁"]
    scores = [(piece, -1.0 if len(piece) > 1 else -9.0) for piece in pieces]
    backend = Tokenizer(models.Unigram(scores, unk_id=0))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(len(pieces), 32)).astype(np.float32)
    row = {piece: number for number, piece in enumerate(pieces)}
    ours = np.zeros(32, np.float32)
    ours[0] = 6.0
    for piece in USED:
        vectors[row[piece]] += ours
    for new, old in NEAR.items():
        vectors[row[new]] = vectors[row[old]] + 0.1 * vectors[row[new]]
    for piece in pieces:
        if piece not in USED and piece not in NEAR:
            vectors[row[piece]] -= ours
    return MultilingualTokenizer(backend), vectors


def made(mplm, *, vocab_size=FULL, neighbours=1) -> Replacements:
    tokenizer, embeddings = mplm
    words = [cut(text) for text in TEXTS]
    return Replacements(tokenizer, embeddings, TEXTS, words, vocab_size=vocab_size, neighbours=neighbours)


def replaced(replacements, text, *, rate=1.0, seed=0):
    return replacements(text, cut(text), rate, random.Random(seed))


def test_a_piece_gives_way_to_the_new_one_that_is_nearest(mplm):
    new = replaced(made(mplm), "acenda a luz da sala").split()
    assert new[0] == "ligue"
    assert new[2] == "lâmpada"
    assert new[4] in ("quarto", "cozinha")


def test_pieces_within_words_give_way_to_such_pieces(mplm):
    assert replaced(made(mplm), "luzs").endswith("es")


def test_what_no_text_of_the_language_could_hold_takes_no_place(mplm):
    replacements = made(mplm, vocab_size=1000, neighbours=1000)
    words = {word for seed in range(200) for word in replaced(replacements, TEXTS[0], seed=seed).split()}
    assert {"voiture", "quarto"} <= words  # there is room for all that can be written
    assert not words & {"жук", "Quarto", "x2"}


def test_the_vocabulary_has_room_for_those_most_like_its_own(mplm):
    replacements = made(mplm, neighbours=1000)
    words = {word for seed in range(200) for word in replaced(replacements, TEXTS[0], seed=seed).split()}
    assert words <= {piece.strip("▁") for piece in NEAR}


def test_one_piece_at_least_and_others_by_the_rate(mplm):
    text = "acenda a luz da sala"
    kept = [
        w
        for w, new in zip(text.split(), replaced(made(mplm), text, rate=1e-9).split(), strict=True)
        if w == new
    ]
    assert len(kept) == 4


def test_digits_stay_and_texts_without_anything_to_replace_give_none(mplm):
    assert replaced(made(mplm), "luz 7").endswith(" 7")
    assert replaced(made(mplm), "7") == ""
    assert replaced(made(mplm, vocab_size=3), "acenda a luz") == ""


def test_a_corpus_gains_texts_with_new_words_whose_words_are_cut(mplm):
    words = tuple(tuple(cut(text)) for text in TEXTS)
    corpus = Corpus("pt", TEXTS, ("apague tudo",), 0, words, ((),), "whitespace")
    recipe = AugmentRecipe(share=2.0, methods=("replace",), rate=0.3)
    found = augment(corpus, recipe, seed=0, cut=cut, replacements=made(mplm))
    again = augment(corpus, recipe, seed=0, cut=cut, replacements=made(mplm))
    assert found == again
    new = found.train[len(TEXTS) :]
    assert len(TEXTS) < len(found.train) <= 3 * len(TEXTS)
    assert all(set(text.split()) - {w for t in TEXTS for w in t.split()} for text in new)
    assert found.train_words[len(TEXTS) :] == tuple(tuple(cut(text)) for text in new)
