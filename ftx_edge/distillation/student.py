"""A student before its first update: its tokenizer, its sizes, its random weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tokenizers import Tokenizer

from ftx_edge.distillation.first_layers import with_layers_of
from ftx_edge.mplm.model import (
    MultilingualTokenizer,
    default_prefix,
    load_config,
    load_encoder,
    load_tokenizer,
    longest_input,
    piece_embeddings,
)
from ftx_edge.recipe import Recipe
from ftx_edge.recipe_tables import TRIMMED, MplmRecipe
from ftx_edge.soft_labels import WordSpans
from ftx_edge.students.config import StudentConfig
from ftx_edge.students.model import Student, build_student
from ftx_edge.tokenization import UNSPACED, train_tokenizer
from ftx_edge.trimming import trimmed_tokenizer
from ftx_edge.words import segmenter


def mplm_tokenizer(recipe: MplmRecipe) -> MultilingualTokenizer:
    """The tokenizer of the recipe's mPLM, with its prefix and longest input."""
    prefix = default_prefix(recipe.name) if recipe.prefix == "auto" else recipe.prefix
    longest = min(recipe.max_length, longest_input(load_config(recipe.name)) or recipe.max_length)
    return load_tokenizer(recipe.name, prefix=prefix, max_length=longest)


def student_tokenizer(
    recipe: Recipe,
    texts: Sequence[str],
    *,
    lang: str,
    words: Sequence[WordSpans] | None,
    own: int | None = None,
) -> Tokenizer:
    """A BPE of its own, or the mPLM's pieces that the texts use, as ``student.init`` says.

    Args:
        recipe: of the run.
        texts: training texts.
        lang: their language.
        words: their words; read where the language puts no spaces between them.
        own: so many of the texts are the language's own, those after them were made; None: all.
    """
    student = recipe.student
    words = words if lang in UNSPACED else None
    sizes = {"vocab_size": student.vocab_size, "max_length": student.max_length}
    if student.init in TRIMMED:
        backend, spare = mplm_tokenizer(recipe.mplm).backend, student.spare_pieces
        return trimmed_tokenizer(
            backend,
            texts,
            lang=lang,
            words=words,
            own=own,
            cut=segmenter(lang, recipe.data.segmenters.get(lang)) if words is not None and own else None,
            spare_pieces=spare,
            embeddings=piece_embeddings(load_encoder(recipe.mplm.name)) if spare else None,
            **sizes,
        )
    return train_tokenizer(texts, lang=lang, words=words, **sizes)


def student_config(
    recipe: Recipe, *, lang: str, vocab_size: int, labels: tuple[str, ...], tags: tuple[str, ...]
) -> StudentConfig:
    """What a student of a language is made of, with so many subwords and these heads."""
    config = recipe.student.config(vocab_size=vocab_size, labels=labels, tags=tags)
    if recipe.student.word_starts and tags and lang in UNSPACED and recipe.alignment == "character-bridge":
        config = replace(config, word_starts=True)
    if recipe.student.init != "mplm-layers":
        return config
    return with_layers_of(config, load_config(recipe.mplm.name))


def new_student(
    recipe: Recipe, tokenizer: Tokenizer, *, lang: str, labels: tuple[str, ...], tags: tuple[str, ...]
) -> Student:
    """A student of the recipe's sizes for this language, tokenizer and heads, with random weights."""
    vocab_size = tokenizer.get_vocab_size()
    config = student_config(recipe, lang=lang, vocab_size=vocab_size, labels=labels, tags=tags)
    return build_student(config, seed=recipe.seed)
