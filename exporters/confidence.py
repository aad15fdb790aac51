"""How sure a package is, and when it had better say nothing: from held-out text, without a gold label.

Both are measured against the labels that the student learned from, which its run keeps for held-out texts.
A score then says how likely its teacher gives the same label; whether the teacher is right is not known.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ftx_edge.errors import GateError, UsageError
from ftx_edge.metrics import Proportion
from ftx_edge.students import Student

LOWEST, HIGHEST = 0.1, 10.0
"""Temperatures. A student that agrees on every text has no best one."""


@dataclass(frozen=True, slots=True)
class Abstention:
    """What a package answers with a minimal score.

    Args:
        min_score: below it the label is withheld.
        answered: share of the held-out texts with a label.
        agreement: share of these whose label is the teacher's.
        at_least: the lower end of that share's 95 % interval.
        texts: how many were held out.
    """

    min_score: float
    answered: float
    agreement: float
    at_least: float
    texts: int

    def to_dict(self) -> dict[str, Any]:
        """For JSON, without what no text allows to say."""
        return {k: round(v, 6) for k, v in asdict(self).items() if math.isfinite(v)}


def columns_of(names: Sequence[str | None], labels: tuple[str, ...]) -> NDArray[np.int64]:
    """The teacher's labels as columns (N,) of the student's; raises UsageError where they are not known."""
    if not labels:
        raise UsageError("a tagger has no label: nothing to calibrate, and none to withhold")
    column = {name: i for i, name in enumerate(labels)}
    if not names or any(name not in column for name in names):
        raise UsageError(
            "the run does not say what the teacher makes of its held-out texts, as runs of earlier versions: "
            "distil it again, or set --min-score by hand"
        )
    return np.array([column[str(name)] for name in names], dtype=np.int64)


def fit_temperature(probs: NDArray[np.floating], answers: NDArray[np.int64]) -> float:
    """The temperature at which ``probs`` (N, C) give ``answers`` (N,) the most likelihood (Guo et al. 2017).

    Rounded to three digits, so that machines which differ in the last bits agree.
    """
    logits = np.log(np.maximum(probs.astype(np.float64), 1e-12))

    def loss(inverse: float) -> float:
        scaled = logits * inverse
        scaled -= scaled.max(axis=1, keepdims=True)
        picked = scaled[np.arange(len(answers)), answers]
        return float((np.log(np.exp(scaled).sum(axis=1)) - picked).mean())

    # Convex in the inverse of the temperature.
    low, high = 1 / HIGHEST, 1 / LOWEST
    for _ in range(80):
        left, right = low + (high - low) / 3, high - (high - low) / 3
        low, high = (low, right) if loss(left) < loss(right) else (left, high)
    return round(2 / (low + high), 3)


def scale_labels(student: Student, temperature: float) -> None:
    """Divide the student's label logits by ``temperature``, in its weights: a device pays nothing for it."""
    assert student.label_head is not None
    with torch.no_grad():
        student.label_head.weight.div_(temperature)
        student.label_head.bias.div_(temperature)


def abstain(probs: NDArray[np.floating], answers: NDArray[np.int64], min_score: float) -> Abstention:
    """What is answered, and how often as the teacher answers, with that minimal score."""
    answered = probs.max(axis=1) >= min_score
    same = Proportion.of(int((probs.argmax(axis=1) == answers)[answered].sum()), int(answered.sum()))
    return Abstention(min_score, float(answered.mean()), same.value, same.low, len(answers))


def lowest_score(probs: NDArray[np.floating], answers: NDArray[np.int64], min_agreement: float) -> Abstention:
    """The lowest score that keeps agreement among the answered at ``min_agreement``, to 95 % confidence.

    It is the lower end of the interval that has to reach it: a threshold that was chosen on the texts on
    which it is measured looks better there than it is.

    Args:
        probs: (N, C) of the graph that runs.
        answers: (N,) the teacher's labels, as columns.
        min_agreement: between 0 and 1.

    Raises:
        GateError: no score reaches it; says what is reached at best.
    """
    scores = np.unique(np.floor(probs.max(axis=1) * 1000) / 1000)
    found = [abstain(probs, answers, float(score)) for score in (0.0, *scores)]
    for candidate in found:
        if candidate.at_least >= min_agreement:
            return candidate
    best = max(found, key=lambda candidate: candidate.at_least)
    raise GateError(
        f"no score keeps agreement at {min_agreement:.1%}: {best.at_least:.1%} is certain at best "
        f"on {len(answers)} held-out texts (score {best.min_score:g}, {best.answered:.0%} answered): "
        "nothing was written; ask for less, or distil on more text"
    )
