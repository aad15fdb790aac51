"""The English text that target text is compared with, and where its texts and words lie."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from ftx_edge.distillation.word_tags import tags_of_words
from ftx_edge.files import sha256_of_text
from ftx_edge.mplm.space import Space, WordVectors
from ftx_edge.soft_labels import SoftLabels, SoftTags, WordSpans
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
