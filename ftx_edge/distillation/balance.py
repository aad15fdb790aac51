"""What step 1 trains on besides English: target text with soft labels, equal weight a language.

- ``neighbours``: unlabelled target text; see ``neighbours.py``.
- ``translations``: English text translated, with the English soft labels (FreeTransfer-X, section 2.3.1).
  Tags go from the English words to those of the translation by their closeness in the untouched mPLM: a soft
  word alignment (Jalili Sabet et al. 2020, SimAlign; Dou and Neubig 2021).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ftx_edge.batches import TrainingSet
from ftx_edge.distillation.labelled import Labelled
from ftx_edge.distillation.progress import Progress
from ftx_edge.distillation.word_tags import tags_of_words
from ftx_edge.errors import FtxError
from ftx_edge.mplm.space import Space
from ftx_edge.soft_labels import SoftTags, WordSpans
from ftx_edge.tokenization import Encoded
from ftx_edge.translation import Status, TranslationCache, Translator, translate_texts
from ftx_edge.vectors import centred

Cut = Callable[[str], Sequence[tuple[int, int]]]


@dataclass(frozen=True)
class Translated:
    """English text in another language; ``left_out`` texts had no translation."""

    labelled: Labelled
    left_out: int


def translated(
    source: Labelled,
    lang: str,
    translator: Translator,
    *,
    cache: TranslationCache,
    cut: Cut | None,
    space: Space | None,
    temperature: float,
    progress: Progress,
) -> Translated:
    """Translate labelled English text; a text without a translation, or with one seen before, is left out.

    Args:
        source: English text; with tags, also its words.
        lang: the language that ``translator`` translates into.
        translator: of English.
        cache: translations made before.
        cut: segmenter of the language, where words are needed.
        space: the untouched mPLM; needed for tags alone.
        temperature: of the alignment of words, for tags.
        progress: is told of the translation.

    Raises:
        FtxError: nothing could be translated; with the first reason.
    """
    found = translate_texts(source.texts, translator, cache=cache, progress=progress)
    first: dict[str, int] = {}
    for row, translation in enumerate(found):
        if translation.status is Status.OK:
            first.setdefault(translation.translation, row)
    if not first:
        reason = next((t.error for t in found if t.error), "every translation is empty")
        raise FtxError(f"{translator.name}: nothing could be translated into {lang}: {reason}")
    texts, rows = tuple(first), np.asarray(list(first.values()), dtype=np.int64)
    words = tuple(tuple(cut(text)) for text in texts) if cut else None
    tags = None
    if source.tags is not None:
        assert words is not None
        assert space is not None
        assert source.words is not None
        tags = aligned_tags(
            space,
            [source.texts[row] for row in rows],
            [source.words[row] for row in rows],
            source.tags.take(rows),
            texts,
            words,
            temperature=temperature,
        )
    labels = source.labels.take(rows) if source.labels else None
    return Translated(Labelled(lang, texts, words, labels, tags), left_out=len(found) - len(texts))


def aligned_tags(
    space: Space,
    source_texts: Sequence[str],
    source_words: Sequence[WordSpans],
    source_tags: SoftTags,
    texts: Sequence[str],
    words: Sequence[WordSpans],
    *,
    temperature: float,
) -> SoftTags:
    """Each word of a translation with the tags of the words of its original, averaged by closeness.

    Args:
        space: the untouched mPLM.
        source_texts, source_words, source_tags: N originals.
        texts, words: their N translations.
        temperature: of the softmax over the cosines with the original's words.

    Returns:
        A unit for each word that the mPLM saw, if it saw one of the original's too.
    """
    ours, theirs = space.words(texts, words), space.words(source_texts, source_words)
    queries = centred(ours.vectors, ours.vectors.mean(axis=0))
    keys = centred(theirs.vectors, theirs.vectors.mean(axis=0))
    probs, weight = tags_of_words(source_tags, source_words)
    probs, told = probs[theirs.seen], weight[theirs.seen] > 0
    units = []
    for row in range(len(texts)):
        own = slice(int(ours.splits[row]), int(ours.splits[row + 1]))
        other = np.arange(theirs.splits[row], theirs.splits[row + 1])
        other = other[told[other]]
        if not len(other):
            units.append((np.zeros((0, 2), np.int32), np.zeros((0, probs.shape[1]), np.float32)))
            continue
        closeness = queries[own] @ keys[other].T / temperature
        shares = np.exp(closeness - closeness.max(axis=1, keepdims=True, initial=-np.inf))
        shares /= shares.sum(axis=1, keepdims=True)
        units.append((ours.offsets[own], shares @ probs[other]))
    return SoftTags.join(source_tags.tags, units)


def join_sets(sets: Sequence[tuple[str, TrainingSet]]) -> TrainingSet:
    """One training set of several, in which every language weighs the same.

    Args:
        sets: language and training set; a language may occur more than once.

    Returns:
        Their texts one after the other. Weights of labels have the mean 1; weights of tags are scaled so that
        the words of all languages weigh the same.
    """
    encoded = _join_encoded([part.encoded for _, part in sets])
    labels = _concatenate([part.label_targets for _, part in sets])
    targets = _concatenate([part.tag_targets for _, part in sets])
    weights = _concatenate([part.tag_weights for _, part in sets])
    starts = _concatenate([part.word_starts for _, part in sets])
    label_weights = None
    if labels is not None:
        label_weights = _language_weights(sets, [np.ones(len(part), np.float32) for _, part in sets])
    if weights is not None:
        parts = [part.tag_weights for _, part in sets]
        weights = weights * _language_weights(sets, [p for p in parts if p is not None])
    return TrainingSet(encoded, labels, targets, weights, label_weights, word_starts=starts)


def _language_weights(
    sets: Sequence[tuple[str, TrainingSet]], masses: Sequence[NDArray[np.float32]]
) -> NDArray[np.float32]:
    """For every row the factor that makes the masses of all languages equal, and their sum what it was."""
    totals: dict[str, float] = {}
    for (lang, _), mass in zip(sets, masses, strict=True):
        totals[lang] = totals.get(lang, 0.0) + float(mass.sum())
    fair = sum(totals.values()) / len(totals)
    factors = [fair / max(totals[lang], 1e-6) for lang, _ in sets]
    return np.concatenate(
        [np.full(len(mass), factor, np.float32) for mass, factor in zip(masses, factors, strict=True)]
    )


def _join_encoded(parts: Sequence[Encoded]) -> Encoded:
    starts = np.cumsum([0, *(len(part.ids) for part in parts)])
    splits = [part.splits[1:] + start for part, start in zip(parts, starts, strict=False)]
    return Encoded(
        np.concatenate([part.ids for part in parts]),
        np.concatenate([part.offsets for part in parts]),
        np.concatenate([np.zeros(1, np.int64), *splits]),
    )


def _concatenate(parts: Sequence[NDArray[np.float32] | None]) -> NDArray[np.float32] | None:
    there = [part for part in parts if part is not None]
    return np.concatenate(there) if len(there) == len(parts) else None
