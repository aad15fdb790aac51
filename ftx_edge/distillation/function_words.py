"""Words that lie outside all spans nearly everywhere are kept out of them: function words.

In a chain of tags (``transitions``) a date likes to go on, and so it swallows the particle that follows
it in Japanese (の), or the conjunction between two names. What is said of one such word in one place is
too weak against that. What is said of all places where it stands is not: a word form that lies outside
spans much more often than words do in general becomes so much less likely to lie inside here. Words that
name things are left as they are. No label is read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ftx_edge.distillation.corpus import rows_of
from ftx_edge.files import sha256_of_text
from ftx_edge.soft_labels import Said, SoftTags, Teacher, WordSpans

PSEUDO_WORDS = 5.0
"""As many places of each form are taken to be as words are in general: of rare forms little is known."""
SMALLEST = 1e-4
"""No form is surer than this to lie outside, or inside."""


def outside_factors(forms: Sequence[str], outside: NDArray[np.float32], share: float) -> dict[str, float]:
    """By how much being outside becomes likelier, of each form that is outside more often than the mean.

    Args:
        forms: of W words.
        outside: float32 (W,), how likely each lies outside all spans.
        share: exponent.

    Returns:
        For each such form the odds of its mean by those of the mean of all words, to the power ``share``.
    """
    if not forms:
        return {}
    places: defaultdict[str, list[int]] = defaultdict(list)
    for place, form in enumerate(forms):
        places[form].append(place)
    mean = float(outside.mean())
    usual = _odds(mean)
    found = {}
    for form, where in places.items():
        own = (float(outside[where].sum()) + PSEUDO_WORDS * mean) / (len(where) + PSEUDO_WORDS)
        if own > mean:
            found[form] = (_odds(own) / usual) ** share
    return found


def _odds(probability: float) -> float:
    probability = min(max(probability, SMALLEST), 1 - SMALLEST)
    return probability / (1 - probability)


class FunctionWordTeacher:
    """A teacher of target text that keeps function words out of spans; labels stay as they are.

    Args:
        teacher: to be corrected; it is asked about the corpus once.
        texts: the language's corpus.
        words: its words.
        share: exponent of the odds, from 0.
    """

    def __init__(
        self, teacher: Teacher, texts: Sequence[str], words: Sequence[WordSpans] | None, *, share: float
    ) -> None:
        self.teacher, self.share = teacher, share
        self.labels, self.tags = teacher.labels, teacher.tags
        self._texts, self._words = tuple(texts), words
        cut = (str(list(own)) for own in words or ())
        self.fingerprint = sha256_of_text(
            "function words", str(share), teacher.fingerprint, *self._texts, *cut
        )

    def ask(self, texts: Sequence[str], words: Sequence[WordSpans] | None = None) -> Said:
        """The units of the teacher."""
        if words is None:
            return self.teacher.ask(texts)
        rows = rows_of(texts, self._texts)
        labels, tags = self.teacher.ask(texts, words) if rows is None else self._corpus.take(rows)
        return Said(labels, None if tags is None else self._corrected(tags, texts))

    def _corrected(self, tags: SoftTags, texts: Sequence[str]) -> SoftTags:
        outside = self.tags.index("O")
        probs = tags.probs.copy()
        factors = self._factors
        probs[:, outside] *= np.array([factors.get(form, 1.0) for form in _forms(tags, texts)], np.float32)
        return replace(tags, probs=probs / probs.sum(axis=1, keepdims=True))

    @cached_property
    def _corpus(self) -> Said:
        return self.teacher.ask(self._texts, self._words)

    @cached_property
    def _factors(self) -> Mapping[str, float]:
        tags = self._corpus.tags
        assert tags is not None
        return outside_factors(_forms(tags, self._texts), tags.probs[:, self.tags.index("O")], self.share)


def _forms(tags: SoftTags, texts: Sequence[str]) -> list[str]:
    """What stands at each unit, in lower case."""
    return [
        text[start:end].lower()
        for row, text in enumerate(texts)
        for start, end in tags.of_text(row)[0].tolist()
    ]
