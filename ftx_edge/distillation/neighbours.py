"""Balanced distillation without a translator: soft labels from the nearest English utterances, or words.

Step 1 on English alone leaves the mPLM much better in English than elsewhere. The paper's remedy
(section 2.3.1) is to translate the English text. Ours needs no translator: in the mPLM's space *before* step
1, the unlabelled English utterances that lie nearest to an unlabelled target utterance mean about the same,
and the source model has already said what they are. Their soft labels, averaged by closeness, are a
distribution for the target utterance; so are, a word at a time, those of the nearest English words in
context. Some English texts lie near to everything, and are heard the less for it (CSLS, Conneau et al. 2018).
A language does not lie quite as English does, and is turned onto it first (``turning``). What the task tells
apart, the naively distilled mPLM tells apart better than the untouched one: utterances are compared in both.
Within one language closeness is more reliable than across two, so the utterances then pass part of
what they were told on to their neighbours (label propagation, Zhou et al. 2004). What the naively distilled
mPLM itself says of the text errs otherwise, and the geometric mean of both is better than either.

Nearest neighbours with gold labels are known for intents (arXiv 2505.18241); here no
label is read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from ftx_edge.alignment import words_from_tokens
from ftx_edge.distillation.nearest import (
    SMALLEST,
    geometric_mean,
    hubness,
    nearest,
    neighbour_distributions,
    propagate,
)
from ftx_edge.distillation.turning import rotation
from ftx_edge.files import sha256_of_text
from ftx_edge.mplm.space import Space, WordVectors
from ftx_edge.soft_labels import Said, SoftLabels, SoftTags, Teacher, WordSpans
from ftx_edge.vectors import centred


@dataclass(frozen=True)
class LabelledSource:
    """The unlabelled English text and what the source model says of it.

    Args:
        space: the untouched mPLM.
        texts: the utterances.
        words: their words; needed for tags.
        labels: the source classifier's soft labels, or None.
        tags: the source tagger's, or None.
        context: share of their texts' closeness in that of words, 0 to 1.
        learned: the mPLM that has learned the task from English alone: in texts it tells apart what the task
            does.
        learned_share: of it in the closeness of texts, 0 to 1.
    """

    space: Space
    texts: tuple[str, ...]
    words: tuple[WordSpans, ...] | None
    labels: SoftLabels | None
    tags: SoftTags | None
    context: float = 0.0
    learned: Space | None = None
    learned_share: float = 0.0

    @cached_property
    def fingerprint(self) -> str:
        """Changes with the spaces, the texts, or what is said of them."""
        cut = (str(list(own)) for own in self.words or ())
        parts = [self.space.fingerprint, str(self.context), *self.texts, *cut]
        if self.learned is not None:
            parts += [self.learned.fingerprint, str(self.learned_share)]
        for found in (self.labels, self.tags):
            parts.append("" if found is None else sha256(found.probs.tobytes()).hexdigest())
        return sha256_of_text(*parts)

    def text_states(
        self, texts: Sequence[str], words: Sequence[WordSpans] | None
    ) -> list[NDArray[np.float32]]:
        """(N, H) in each of the spaces; in the learned one of the words, if there are any: so it learned."""
        found = [self.space.texts(texts)]
        return found if self.learned is None else [*found, self.learned.texts(texts, words)]

    def text_places(
        self, states: Sequence[NDArray[np.float32]], centres: Sequence[NDArray[np.float32]]
    ) -> NDArray[np.float32]:
        """Where texts lie among those of their language: rows (N, D) of length 1.

        Args:
            states: as of ``text_states``.
            centres: (H,), the language's mean in each of the spaces.
        """
        if len(states) == 1:
            return centred(states[0], centres[0])
        shares = (1 - self.learned_share, self.learned_share)
        parts = zip(states, centres, shares, strict=True)
        return np.hstack([np.float32(share**0.5) * centred(own, centre) for own, centre, share in parts])

    @cached_property
    def text_vectors(self) -> NDArray[np.float32]:
        """(N, D), centred, of length 1."""
        states = self.text_states(self.texts, self.words)
        return self.text_places(states, [own.mean(axis=0) for own in states])

    @cached_property
    def word_vectors(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Places as of ``word_places`` (M, D'), and the tag distributions (M, K) of those words."""
        assert self.words is not None
        assert self.tags is not None
        found = self.space.words(self.texts, self.words)
        probs, weight = tags_of_words(self.tags, self.words)
        told = weight[found.seen] > 0
        return self.word_places(found, lambda: self.text_vectors)[told], probs[found.seen][told]

    def word_places(
        self, words: WordVectors, texts: Callable[[], NDArray[np.float32]]
    ) -> NDArray[np.float32]:
        """Where the words of a corpus lie: rows (M, D') of length 1.

        Their products are those of the words' vectors, centred, and in part (``context``) those of the
        texts that they stand in: what a word is called depends on what the text asks for.

        Args:
            words: of N texts.
            texts: gives (N, D), the texts' places; asked where there is ``context``.
        """
        places = centred(words.vectors, words.vectors.mean(axis=0))
        if not self.context:
            return places
        around = np.repeat(texts(), np.diff(words.splits), axis=0)
        both = np.hstack([np.sqrt(1 - self.context) * places, np.sqrt(self.context) * around])
        return both.astype(np.float32)


class NeighbourTeacher:
    """What the nearest English utterances, or words, say of the texts of one language.

    Args:
        source: English text with soft labels.
        texts: the language's corpus: how it lies in the space is the language's own, and taken off.
        words: its words; needed for tags.
        neighbours: how many are asked.
        temperature: of the softmax over their cosines.
        propagation: share of the neighbours in the language itself, 0 to 1.
        tag_propagation: the same for words.
        similarity: what is near in English: ``cosine``, or ``csls``, which finds fewer hubs.
        turns: how often the language is turned onto English, after its mean is taken off.
    """

    def __init__(
        self,
        source: LabelledSource,
        texts: Sequence[str],
        words: Sequence[WordSpans] | None,
        *,
        neighbours: int,
        temperature: float,
        propagation: float = 0.0,
        tag_propagation: float = 0.0,
        similarity: str = "csls",
        turns: int = 0,
    ) -> None:
        self.source, self.neighbours, self.temperature = source, neighbours, temperature
        self.propagation, self.tag_propagation, self.similarity = propagation, tag_propagation, similarity
        self.turns = turns
        self.labels = source.labels.labels if source.labels else ()
        self.tags = source.tags.tags if source.tags else ()
        self._texts, self._words = tuple(texts), words
        settings = f"{neighbours} {temperature} {propagation} {tag_propagation} {similarity}"
        settings += f" {turns}" if turns else ""
        cut = (str(list(own)) for own in words or ())
        self.fingerprint = sha256_of_text("neighbours", source.fingerprint, settings, *self._texts, *cut)

    def ask(self, texts: Sequence[str], words: Sequence[WordSpans] | None = None) -> Said:
        """Labels of texts of the corpus, or of any others, which then hear the corpus too; a unit a word.

        Raises:
            ValueError: words of a text that is not of the corpus.
        """
        rows = rows_of(texts, self._texts)
        labels = self._labels_of(texts, words, rows) if self.labels else None
        return Said(labels, self._tags_of(rows) if self.tags and words is not None else None)

    def _labels_of(
        self, texts: Sequence[str], words: Sequence[WordSpans] | None, rows: NDArray[np.int64] | None
    ) -> NDArray[np.float32]:
        if rows is not None:
            return self._text_labels[rows]
        places = self._turned(self.source.text_places(self.source.text_states(texts, words), self._centres))
        said = self._from_source(places)
        if not self.propagation:
            return said
        heard = self._heard(places, self._text_places, self._text_labels)
        return (1 - self.propagation) * said + self.propagation * heard

    def _tags_of(self, rows: NDArray[np.int64] | None) -> SoftTags:
        if rows is None:
            raise ValueError("words have neighbours in the context of their corpus: the texts must be of it")
        found, probs = self._word_vectors, self._word_tags
        parts = [np.arange(found.splits[row], found.splits[row + 1]) for row in rows]
        chosen = found.take(rows)
        return SoftTags(
            self.tags,
            chosen.offsets,
            probs[np.concatenate([np.zeros(0, np.int64), *parts])],
            chosen.splits,
        )

    @cached_property
    def _text_labels(self) -> NDArray[np.float32]:
        places = self._text_places
        return self._propagated(places, self._from_source(places), self.propagation)

    @cached_property
    def _word_tags(self) -> NDArray[np.float32]:
        places = self.source.word_places(self._word_vectors, lambda: self._text_places)
        keys, tags = self.source.word_vectors
        if self.turns:
            # Of a word's place its own columns: the text's around it are turned already.
            own = [slice(0, self._word_vectors.vectors.shape[1])]
            places = places @ self._rotation(places, keys, own)
        said = self._heard(places, keys, tags, less=self._hubness(keys, places))
        return self._propagated(places, said, self.tag_propagation)

    def _from_source(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        assert self.source.labels is not None
        keys = self.source.text_vectors
        return self._heard(vectors, keys, self.source.labels.probs, less=self._text_hubness)

    def _heard(
        self,
        queries: NDArray[np.float32],
        keys: NDArray[np.float32],
        labels: NDArray[np.float32],
        *,
        less: NDArray[np.float32] | None = None,
    ) -> NDArray[np.float32]:
        """What the nearest of ``keys`` say."""
        found = nearest(queries, keys, self.neighbours, less=less, device=self.source.space.device)
        return neighbour_distributions(*found, labels, self.temperature)

    @cached_property
    def _text_hubness(self) -> NDArray[np.float32] | None:
        """Of the English texts among those of the corpus."""
        return self._hubness(self.source.text_vectors, self._text_places)

    def _hubness(self, keys: NDArray[np.float32], queries: NDArray[np.float32]) -> NDArray[np.float32] | None:
        return hubness(keys, queries, device=self.source.space.device) if self.similarity == "csls" else None

    def _propagated(
        self, vectors: NDArray[np.float32], labels: NDArray[np.float32], share: float
    ) -> NDArray[np.float32]:
        if not share:
            return labels
        found = nearest(vectors, vectors, self.neighbours + 1, device=self.source.space.device)
        return propagate(labels, *found, share=share, temperature=self.temperature)

    @cached_property
    def _text_states(self) -> list[NDArray[np.float32]]:
        return self.source.text_states(self._texts, self._words)

    @cached_property
    def _centres(self) -> list[NDArray[np.float32]]:
        return [own.mean(axis=0) for own in self._text_states]

    @cached_property
    def _text_places(self) -> NDArray[np.float32]:
        """(N, D), centred, turned, of length 1."""
        return self._turned(self.source.text_places(self._text_states, self._centres))

    def _turned(self, places: NDArray[np.float32]) -> NDArray[np.float32]:
        return places @ self._text_rotation if self.turns else places

    @cached_property
    def _text_rotation(self) -> NDArray[np.float32]:
        places, ends = self.source.text_places(self._text_states, self._centres), [0]
        for own in self._text_states:
            ends.append(ends[-1] + own.shape[1])
        return self._rotation(places, self.source.text_vectors, list(map(slice, ends, ends[1:])))

    def _rotation(
        self, places: NDArray[np.float32], keys: NDArray[np.float32], blocks: Sequence[slice]
    ) -> NDArray[np.float32]:
        return rotation(places, keys, passes=self.turns, blocks=blocks, device=self.source.space.device)

    @cached_property
    def _word_vectors(self) -> WordVectors:
        assert self._words is not None
        return self.source.space.words(self._texts, self._words)


class MixedTeacher:
    """The mean of what several teachers say; for tags, a word at a time.

    Args:
        teachers: with the same labels and tags.
        weights: how much each counts, 1 in all; None stands for all the same.
        tag_weights: the same for tags; None stands for ``weights``.
        mean: ``geometric`` or ``arithmetic``.
        alignment: how a word's distribution is read off units that are not words.

    Raises:
        ValueError: their labels or tags differ.
    """

    def __init__(
        self,
        teachers: Sequence[Teacher],
        *,
        weights: Sequence[float] | None = None,
        tag_weights: Sequence[float] | None = None,
        mean: str = "geometric",
        alignment: str = "character-bridge",
    ) -> None:
        self.teachers, self.mean, self.alignment = tuple(teachers), mean, alignment
        self.weights = tuple(weights or [1 / len(self.teachers)] * len(self.teachers))
        self.tag_weights = tuple(tag_weights or self.weights)
        first = self.teachers[0]
        if any((t.labels, t.tags) != (first.labels, first.tags) for t in self.teachers):
            raise ValueError("teachers that are mixed must have the same labels and tags")
        self.labels, self.tags = first.labels, first.tags
        fingerprints = (t.fingerprint for t in self.teachers)
        name = "mixed" if mean == "geometric" else "averaged"
        counts = f"{self.weights} {self.tag_weights}"
        self.fingerprint = sha256_of_text(f"{name} at once", alignment, counts, *fingerprints)

    def ask(self, texts: Sequence[str], words: Sequence[WordSpans] | None = None) -> Said:
        """A unit for each word of which any teacher knows; the mean is over those that do."""
        said = [teacher.ask(texts, words) for teacher in self.teachers]
        labels = [one.labels for one in said if one.labels is not None]
        tags = [one.tags for one in said if one.tags is not None]
        return Said(
            self._mean_labels(labels) if labels else None,
            self._mean_tags(tags, words) if tags and words is not None else None,
        )

    def _mean_labels(self, said: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        if self.mean == "geometric":
            return geometric_mean(said, self.weights)
        return np.average(said, axis=0, weights=self.weights).astype(np.float32)

    def _mean_tags(self, said: list[SoftTags], words: Sequence[WordSpans]) -> SoftTags:
        geometric = self.mean == "geometric"
        sums, counts = np.zeros((0, 0), np.float32), np.zeros(0, np.float32)
        for tags, share in zip(said, self.tag_weights, strict=True):
            probs, weight = tags_of_words(tags, words, mode=self.alignment)
            weight = weight * np.float32(share)
            if not len(counts):
                sums, counts = np.zeros_like(probs), np.zeros_like(weight)
            sums += weight[:, None] * (np.log(np.maximum(probs, SMALLEST)) if geometric else probs)
            counts += weight
        sums /= np.where(counts > 0, counts, 1)[:, None]
        mixed = np.exp(sums - sums.max(axis=1, keepdims=True, initial=-np.inf)) if geometric else sums
        mixed = mixed / mixed.sum(axis=1, keepdims=True).clip(SMALLEST)
        return of_words(self.tags, words, mixed.astype(np.float32), counts > 0)


def rows_of(texts: Sequence[str], corpus: Sequence[str]) -> NDArray[np.int64] | None:
    """Where ``texts`` stand in the corpus, or None if one does not."""
    place = {text: row for row, text in enumerate(corpus)}
    rows = [place.get(text, -1) for text in texts]
    return None if -1 in rows else np.asarray(rows, dtype=np.int64)


def tags_of_words(
    tags: SoftTags, words: Sequence[WordSpans], *, mode: str = "character-bridge"
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A distribution for each word of all texts (W, K) and its weight (W,), 0 where no unit overlaps it."""
    probs, weights = [np.zeros((0, len(tags.tags)), np.float32)], [np.zeros(0, np.float32)]
    for row, own in enumerate(words):
        offsets, told = tags.of_text(row)
        spans = np.asarray(own, dtype=np.int64).reshape(-1, 2)
        found = words_from_tokens(offsets, told, spans, mode, tags.tags)
        probs.append(found[0])
        weights.append(found[1])
    return np.concatenate(probs), np.concatenate(weights)


def of_words(
    tags: tuple[str, ...],
    words: Sequence[WordSpans],
    probs: NDArray[np.float32],
    told: NDArray[np.bool_],
) -> SoftTags:
    """The inverse of ``tags_of_words``: a unit for each word (W,) of all texts of which something is told."""
    spans = [np.zeros((0, 2), np.int32), *(np.asarray(own, dtype=np.int32).reshape(-1, 2) for own in words)]
    starts = np.cumsum([len(own) for own in spans])
    splits = np.concatenate([[0], np.cumsum(told)])[starts].astype(np.int64)
    return SoftTags(tags, np.concatenate(spans)[told], probs[told], splits)
