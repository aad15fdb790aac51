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

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ftx_edge.distillation.corpus import rows_of
from ftx_edge.distillation.labelled_source import LabelledSource
from ftx_edge.distillation.nearest import hubness, nearest, neighbour_distributions, propagate
from ftx_edge.distillation.turning import rotation
from ftx_edge.files import sha256_of_text
from ftx_edge.mplm.space import WordVectors
from ftx_edge.soft_labels import Said, SoftTags, WordSpans


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
