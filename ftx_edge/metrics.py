"""What is measured of predictions: accuracy, agreement, span F1, calibration.

Nothing here knows of models or files. Every function takes what was predicted first and what is right second.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ftx_edge.spans import bio_to_spans
from ftx_edge.utterance import Span

Z_95 = 1.959963984540054
"""The 97.5 % point of the normal distribution."""


@dataclass(frozen=True)
class Proportion:
    """A share of cases, with its 95 % interval (Wilson 1927: sensible for few cases, and near 0 and 1).

    Args:
        value: ``count / n``; nan if there are no cases.
        low, high: the interval, 0 and 1 if there are no cases.
        count: cases that have it.
        n: all cases.
    """

    value: float
    low: float
    high: float
    count: int
    n: int

    @classmethod
    def of(cls, count: int, n: int) -> Proportion:
        """The share ``count / n``. Raises ValueError unless ``0 <= count <= n``."""
        if not 0 <= count <= n:
            raise ValueError(f"{count} of {n} is not a share")
        if n == 0:
            return cls(math.nan, 0.0, 1.0, 0, 0)
        share, z2 = count / n, Z_95**2
        middle = (share + z2 / (2 * n)) / (1 + z2 / n)
        half = Z_95 / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
        # The ends that are exactly 0 and 1 in theory are not in floating point.
        low = 0.0 if count == 0 else max(0.0, middle - half)
        return cls(share, low, 1.0 if count == n else min(1.0, middle + half), count, n)


@dataclass(frozen=True)
class Score:
    """Precision, recall and F1, with the counts that they come from; 0 where a count is 0.

    Args:
        precision, recall, f1: between 0 and 1.
        correct: predicted and right.
        predicted: all that was predicted.
        gold: all that is right.
    """

    precision: float
    recall: float
    f1: float
    correct: int
    predicted: int
    gold: int

    @classmethod
    def of(cls, correct: int, predicted: int, gold: int) -> Score:
        """The score of these counts."""
        return cls(
            correct / predicted if predicted else 0.0,
            correct / gold if gold else 0.0,
            2 * correct / (predicted + gold) if predicted + gold else 0.0,
            correct,
            predicted,
            gold,
        )


@dataclass(frozen=True)
class LabelScore:
    """The score of one label."""

    label: str
    score: Score


@dataclass(frozen=True)
class Confusion:
    """How often one label was taken for another.

    Args:
        gold: what is right.
        predicted: what was predicted instead.
        count: how often.
        share: of all cases of ``gold``.
    """

    gold: str
    predicted: str
    count: int
    share: float


@dataclass(frozen=True)
class SpanScore:
    """Micro-averaged score of spans, and that of each label, sorted by label."""

    micro: Score
    labels: tuple[LabelScore, ...]


@dataclass(frozen=True)
class CalibrationBin:
    """The predictions of similar confidence: how many, how sure on average, how often right."""

    low: float
    high: float
    n: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Calibration:
    """Expected calibration error, and the bins that it comes from (empty ones left out)."""

    error: float
    bins: tuple[CalibrationBin, ...]


def accuracy(predicted: Sequence[str], gold: Sequence[str]) -> Proportion:
    """The share of right labels. Raises ValueError if the lengths differ."""
    _same_length(predicted, gold)
    return Proportion.of(sum(p == g for p, g in zip(predicted, gold, strict=True)), len(gold))


def label_table(predicted: Sequence[str], gold: Sequence[str]) -> tuple[LabelScore, ...]:
    """The score of each label that occurs on either side, sorted by label."""
    _same_length(predicted, gold)
    right = Counter(g for p, g in zip(predicted, gold, strict=True) if p == g)
    return _by_label(right, Counter(predicted), Counter(gold))


def confusions(predicted: Sequence[str], gold: Sequence[str], most: int = 10) -> tuple[Confusion, ...]:
    """The pairs of labels that were confused most often, worst first, ties by name."""
    _same_length(predicted, gold)
    cases = Counter(gold)
    pairs = Counter((g, p) for p, g in zip(predicted, gold, strict=True) if p != g)
    worst = sorted(pairs.items(), key=lambda item: (-item[1], item[0]))[:most]
    return tuple(Confusion(g, p, count, count / cases[g]) for (g, p), count in worst)


def span_score(predicted: Sequence[Iterable[Span]], gold: Sequence[Iterable[Span]]) -> SpanScore:
    """Micro-averaged span F1: a span counts if its start, end and label are all right.

    Args:
        predicted, gold: the spans of each text. For a figure to set beside published ones both must begin and
            end with words: pass them through ``spans_to_bio`` and ``bio_to_spans``, or use ``bio_score``.

    Raises:
        ValueError: another number of texts on either side.
    """
    _same_length(predicted, gold)
    right: Counter[str] = Counter()
    said: Counter[str] = Counter()
    true: Counter[str] = Counter()
    for mine, theirs in zip(predicted, gold, strict=True):
        mine, theirs = set(mine), set(theirs)
        right.update(span.label for span in mine & theirs)
        said.update(span.label for span in mine)
        true.update(span.label for span in theirs)
    micro = Score.of(right.total(), said.total(), true.total())
    return SpanScore(micro, _by_label(right, said, true))


def bio_score(predicted: Sequence[Sequence[str]], gold: Sequence[Sequence[str]]) -> SpanScore:
    """Span F1 of BIO tags, one a word: what ``seqeval`` calls it.

    On sequences that are well-formed, that is seqeval in any mode, strict ones too. An ``I-x`` that continues
    nothing is read as ``B-x`` (see ``bio_to_spans``), as seqeval does by default.

    Raises:
        ValueError: another number of texts, or of tags of a text, on either side.
    """
    _same_length(predicted, gold)
    for index, (mine, theirs) in enumerate(zip(predicted, gold, strict=True)):
        if len(mine) != len(theirs):
            raise ValueError(f"text {index}: {len(mine)} tags predicted, {len(theirs)} right")
    return span_score([_word_spans(tags) for tags in predicted], [_word_spans(tags) for tags in gold])


def joint_exact_match(
    predicted_labels: Sequence[str],
    predicted_spans: Sequence[Iterable[Span]],
    gold_labels: Sequence[str],
    gold_spans: Sequence[Iterable[Span]],
) -> Proportion:
    """The share of texts with the label and every span right, and no span too many."""
    _same_length(predicted_labels, gold_labels)
    _same_length(predicted_spans, gold_spans)
    _same_length(predicted_labels, predicted_spans)
    cases = zip(predicted_labels, predicted_spans, gold_labels, gold_spans, strict=True)
    return Proportion.of(sum(p == g and set(ps) == set(gs) for p, ps, g, gs in cases), len(gold_labels))


def calibration(confidences: ArrayLike, correct: ArrayLike, bins: int = 15) -> Calibration:
    """Expected calibration error (Naeini et al. 2015; Guo et al. 2017): mean gap of confidence and accuracy.

    Args:
        confidences: float (N,), the probability of the predicted class.
        correct: bool (N,), whether it was right.
        bins: how many of equal width between 0 and 1.

    Raises:
        ValueError: shapes that differ, confidences outside 0 to 1, or no bins.
    """
    sure, right = np.asarray(confidences, dtype=np.float64), np.asarray(correct, dtype=bool)
    if sure.shape != right.shape or sure.ndim != 1:
        raise ValueError(f"shapes {sure.shape} and {right.shape}: both must be (N,)")
    if bins < 1:
        raise ValueError(f"{bins} bins: at least one is needed")
    # A float32 softmax may exceed 1 in its last digit.
    if not np.all((sure >= 0) & (sure <= 1 + 1e-6)):
        raise ValueError("a confidence is not between 0 and 1")
    which = np.minimum((sure * bins).astype(np.int64), bins - 1)
    rows = []
    for index in range(bins):
        inside = which == index
        if inside.any():
            mean, share = float(sure[inside].mean()), float(right[inside].mean())
            rows.append(CalibrationBin(index / bins, (index + 1) / bins, int(inside.sum()), mean, share))
    error = (
        sum(row.n * abs(row.confidence - row.accuracy) for row in rows) / len(sure) if len(sure) else math.nan
    )
    return Calibration(error, tuple(rows))


def _by_label(right: Counter[str], said: Counter[str], true: Counter[str]) -> tuple[LabelScore, ...]:
    labels = sorted(said.keys() | true.keys())
    return tuple(LabelScore(label, Score.of(right[label], said[label], true[label])) for label in labels)


def _word_spans(tags: Sequence[str]) -> tuple[Span, ...]:
    return bio_to_spans(tags, [(at, at + 1) for at in range(len(tags))])


def _same_length(first: Sequence[object], second: Sequence[object]) -> None:
    if len(first) != len(second):
        raise ValueError(f"{len(first)} and {len(second)}: both sides must have the same length")
