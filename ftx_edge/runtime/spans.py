"""Tags of subwords become spans of characters."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ftx_edge.runtime.units import is_mark, units_of_tokens, units_of_words

LATER = 0.5
"""What the later subwords of a word count, together, beside the first.

The word bears the tag with the largest mean probability. The first subword means most (the paper hears it
alone, section 2.2.2), above all in languages that append endings; in compounds it needs the others.
"""
SAFE_EXPONENT = 600
"""Sums of e to this power, and to minus it, are numbers: a float reaches to e^709."""
SMALLEST = 1e-30
"""No tag is ruled out by one subword."""


@dataclass(frozen=True, slots=True)
class PredictedSpan:
    """A labelled stretch of a text.

    Args:
        label: what it is.
        start, end: character offsets into the text as given, end exclusive.
        text: ``text[start:end]``; empty where the text was not given to ``decode``.
        score: mean over its subwords of the probability of its label, between 0 and 1.
    """

    label: str
    start: int
    end: int
    text: str
    score: float

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "label": self.label,
            "start": self.start,
            "end": self.end,
            "text": self.text,
            "score": round(self.score, 6),
        }


def decode(
    token_offsets: NDArray[np.integer] | Sequence[tuple[int, int]],
    token_probs: NDArray[np.floating],
    tags: Sequence[str],
    text: str | None = None,
    *,
    boundaries: str = "token",
    begins: Sequence[bool] | None = None,
) -> list[PredictedSpan]:
    """The spans of the most probable tag sequence that is valid BIO: I-x follows only B-x or I-x.

    Args:
        token_offsets: (T, 2) character offsets; tokens that cover nothing, as special ones, are passed over.
        token_probs: (T, K) distribution over ``tags`` of each token.
        tags: BIO names, ``O`` first.
        text: what the offsets point into. With it, spans lose white space at their ends and never cut
            a character from its combining marks.
        boundaries: ``token``: a span begins and ends at any token; ``word``: never inside a word, for
            languages that put spaces between words. Needs ``text``.
        begins: (T,) whether a word begins at each token, if a model says so: spans begin there and end before
            there.

    Returns:
        Spans in order of their place; they do not overlap.

    Raises:
        ValueError: not one distribution, or not one of ``begins``, a token.
    """
    offsets = np.asarray(token_offsets).tolist()
    if len(offsets) != len(token_probs):
        raise ValueError(f"{len(token_probs)} tag distributions for {len(offsets)} tokens")
    if begins is not None and len(offsets) != len(begins):
        raise ValueError(f"{len(begins)} beginnings of words for {len(offsets)} tokens")
    logits = np.log(np.maximum(np.asarray(token_probs, dtype=np.float32), np.finfo(np.float32).tiny))
    decoder = SpanDecoder.of(tuple(tags))
    return decoder(offsets, logits, text, whole_words=boundaries == "word", begins=begins)


class SpanDecoder:
    """``decode`` with what depends on the tags alone computed once."""

    def __init__(self, tags: tuple[str, ...]) -> None:
        index = {tag: i for i, tag in enumerate(tags)}
        self.labels = ["" if tag == "O" else tag[2:] for tag in tags]
        self._inside = [tag.startswith("I-") for tag in tags]
        # What the next subword of the same word bears: B-x and I-x go on as I-x, O as O.
        self._onward = [index.get(f"I-{tag[2:]}", i) if tag != "O" else i for i, tag in enumerate(tags)]
        self._onward_columns = np.array(self._onward)
        self._family = {
            label: [index[t] for t in (f"B-{label}", f"I-{label}") if t in index] for label in self.labels
        }
        # Tags that may follow any other.
        self._outright = [i for i, tag in enumerate(tags) if not tag.startswith("I-")]
        # What an I-x that nothing precedes can become at once; 0, which is O, where there is no B-x.
        self._begin = [index.get(f"B-{label}", 0) for label in self.labels]

    @staticmethod
    @lru_cache(maxsize=16)
    def of(tags: tuple[str, ...]) -> SpanDecoder:
        """The decoder of these tags, kept."""
        return SpanDecoder(tags)

    def __call__(
        self,
        offsets: list[tuple[int, int]],
        logits: NDArray[np.floating],
        text: str | None,
        *,
        whole_words: bool,
        words: Sequence[tuple[int, int]] | None = None,
        first_subword: bool = False,
        begins: Sequence[bool] | None = None,
    ) -> list[PredictedSpan]:
        """See ``decode``.

        Args:
            offsets: of the tokens.
            logits: (T, K); a constant added to a row changes nothing.
            text: what the offsets point into.
            whole_words: spans may not begin or end inside a word.
            words: the words, in order, if a segmenter said so; spans begin and end with them.
            first_subword: only the first subword of each word was trained; the others are not heard.
            begins: where words begin, if the model said so; not looked at where a segmenter did.
        """
        best: list[int] = logits.argmax(1).tolist()
        # O is column 0. Most texts of most corpora end here.
        if not any(best):
            return []
        if words is not None:
            units, places = units_of_words(offsets, words, first_subword)
        else:
            units, places = units_of_tokens(offsets, text, whole_words, begins), None
        if not units:
            return []
        if first_subword:
            # One row a unit is left, in the place of the unit.
            offsets = places or [(offsets[u[0]][0], max(offsets[t][1] for t in u)) for u in units]
            kept = [unit[0] for unit in units]
            logits, best = logits[kept], [best[token] for token in kept]
            units = [[number] for number in range(len(units))]
        path = self._best_path(units, logits, best)
        spans: list[PredictedSpan] = []
        at, least = 0, 0
        while at < len(units):
            label = self.labels[path[at]]
            last = at + 1
            if label:
                while last < len(units) and self._inside[path[last]]:
                    last += 1
                tokens = [token for unit in units[at:last] for token in unit]
                if places is not None:
                    start, end = places[at][0], places[last - 1][1]
                else:
                    start, end = offsets[tokens[0]][0], max([offsets[token][1] for token in tokens])
                start, end = _trim(start, end, least, text)
                if start < end:
                    covered = "" if text is None else text[start:end]
                    score = self._score(logits, best, label, tokens)
                    spans.append(PredictedSpan(label, start, end, covered, score))
                    least = end
            at = last
        return spans

    def _score(self, logits: NDArray[np.floating], best: list[int], label: str, tokens: list[int]) -> float:
        """The mean over the tokens of a span of the probability of B-label or I-label."""
        family, score = self._family[label], 0.0
        for token in tokens:
            row = logits[token].tolist()
            highest = row[best[token]]
            # Subtracting it changes no probability; only exponentials beyond a float need that.
            if not -SAFE_EXPONENT < highest < SAFE_EXPONENT:
                row = [logit - highest for logit in row]
            score += sum([math.exp(row[tag]) for tag in family]) / sum(map(math.exp, row))
        return min(score / len(tokens), 1.0)

    def _best_path(self, units: list[list[int]], logits: NDArray[np.floating], best: list[int]) -> list[int]:
        """The tag of each unit's first token, on the best path on which I-x follows only B-x or I-x.

        Args:
            units: tokens that are decided together.
            logits: (T, K).
            best: the best tag of each token.
        """
        # Plain numbers: for the few rows that are looked at, arrays this small cost more than they compute.
        rows: dict[int, list[float]] = {}
        path: list[int] = []
        for number, unit in enumerate(units):
            tag = best[unit[0]]
            if len(unit) > 1:
                onward = self._onward[tag]
                # Where its tokens agree, the tag of the first is the best of the means too.
                for token in unit[1:]:
                    if best[token] != onward:
                        row = rows[number] = self._row(unit, logits)
                        tag = row.index(max(row))
                        break
            path.append(tag)
        wrong = self._wrong(path)
        if not wrong:
            return path

        def row_of(number: int) -> list[float]:
            if number not in rows:
                rows[number] = self._row(units[number], logits)
            return rows[number]

        return self._repaired(path, wrong, row_of)

    def _row(self, unit: list[int], logits: NDArray[np.floating]) -> list[float]:
        """(K,) of a unit, if its first token bears the tag of the column; of several tokens see ``LATER``."""
        if len(unit) == 1:
            return logits[unit[0]].tolist()
        rows = logits[unit].astype(np.float64)
        probs = np.exp(rows - rows.max(axis=1, keepdims=True))
        probs /= probs.sum(axis=1, keepdims=True)
        later = probs[1:].sum(axis=0).take(self._onward_columns)
        return np.log(np.maximum(probs[0] + LATER / (len(unit) - 1) * later, SMALLEST)).tolist()

    def _wrong(self, path: list[int]) -> list[int]:
        """Where an I-x stands that neither B-x nor I-x precedes."""
        wrong = []
        before = ""
        for number, tag in enumerate(path):
            label = self.labels[tag]
            if label != before and self._inside[tag]:
                wrong.append(number)
            before = label
        return wrong

    def _repaired(self, path: list[int], wrong: list[int], row_of: Callable[[int], list[float]]) -> list[int]:
        """The best valid path.

        One is at hand, with a simple repair of each wrong I-x. It lies some loss below ``path``, so a tag
        that alone lies further below the best of its row is on no better one. Rows with one tag left are
        settled; what lies between settled rows is decided by itself, and only where something is wrong.

        Args:
            path: the best tag of each row.
            wrong: of ``_wrong``.
            row_of: the (K,) scores of a row.
        """
        # A little more, as sums round.
        loss = 1e-6 + sum(self._loss(path, number, row_of) for number in wrong)

        def candidates(number: int) -> list[tuple[int, float]]:
            row = row_of(number)
            least = row[path[number]] - loss
            return [(tag, score) for tag, score in enumerate(row) if score >= least]

        path = list(path)
        done = 0
        for number in wrong:
            if number < done:
                continue
            steps = [candidates(number)]
            start = number
            while start > done and len(step := candidates(start - 1)) > 1:
                steps.insert(0, step)
                start -= 1
            done = number + 1
            while done < len(path) and (len(step := candidates(done)) > 1 or self._inside[path[done]]):
                steps.append(step)
                done += 1
            path[start:done] = self._viterbi(steps, path[start - 1] if start else -1)
        return path

    def _loss(self, path: list[int], number: int, row_of: Callable[[int], list[float]]) -> float:
        """What the cheapest simple repair of a wrong I-x costs, at most; the repairs of all go together."""
        tag, row = path[number], row_of(number)
        begin, losses = self._begin[tag], [math.inf]
        if begin:
            losses.append(row[tag] - row[begin])
            if number:
                before = row_of(number - 1)
                losses.append(before[path[number - 1]] - before[begin])
        if number + 1 == len(path) or not self._inside[path[number + 1]]:
            losses.append(row[tag] - max([row[other] for other in self._outright]))
            if number and (onward := self._onward[path[number - 1]]):
                losses.append(row[tag] - row[onward])
        return min(losses)

    def _viterbi(self, steps: list[list[tuple[int, float]]], first: int) -> list[int]:
        """The best valid path over tags and scores of each row, after the tag ``first``; -1 is the start."""
        before = {first: 0.0}
        back: list[dict[int, int]] = []
        for step in steps:
            best = max(before, key=before.__getitem__)
            reached: dict[int, float] = {}
            came: dict[int, int] = {}
            for tag, score in step:
                source = best
                if self._inside[tag]:
                    sources = [t for t in self._family[self.labels[tag]] if t in before]
                    if not sources:
                        continue
                    source = max(sources, key=before.__getitem__)
                reached[tag] = before[source] + score
                came[tag] = source
            back.append(came)
            before = reached
        tag = max(before, key=before.__getitem__)
        found = []
        for came in reversed(back):
            found.append(tag)
            tag = came[tag]
        return found[::-1]


def _trim(start: int, end: int, least: int, text: str | None) -> tuple[int, int]:
    """Without white space at the ends, with the marks of the last character, not before ``least``."""
    start = max(start, least)
    if text is None:
        return start, end
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    while start < end < len(text) and not text[end].isascii() and is_mark(text[end]):
        end += 1
    return start, end
