"""The figures of a suite by model, seed and language, from its records."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ftx_edge.benchmarks.suite import SOURCE
from ftx_edge.benchmarks.tables import FAILURE, Measurement

COMPACT = "int8"
"""The precision of students in summaries: what a device runs."""


@dataclass(frozen=True)
class Model:
    """What a line of a table is about; None for what the model has not."""

    source: str | None
    mplm: str | None
    method: str
    alignment: str | None
    student: str | None
    precision: str | None

    @property
    def name(self) -> str:
        """``source``, ``mPLM``, a baseline or a student."""
        return self.student or ("mPLM" if self.mplm else self.method)

    @property
    def place(self) -> tuple[Any, ...]:
        """What a student shares with its mPLM."""
        return self.source, self.mplm, self.method, self.alignment


@dataclass(frozen=True)
class Figures:
    """One metric of all models: ``values[model][seed][language]``, shares of 1.

    ``languages`` are the targets, in the order in which they came.
    """

    metric: str
    values: Mapping[Model, Mapping[int | None, Mapping[str, float]]]
    languages: tuple[str, ...]

    @classmethod
    def of(cls, records: Iterable[Measurement], metric: str) -> Figures:
        """The figures of a metric among the records."""
        values: dict[Model, dict[int | None, dict[str, float]]] = {}
        languages: dict[str, None] = {}
        for r in records:
            if r.metric == metric:
                model = Model(r.source, r.mplm, r.method, r.alignment, r.student, r.precision)
                values.setdefault(model, {}).setdefault(r.seed, {})[r.language] = r.value
                languages |= {r.language: None} if r.language != "en" else {}
        return cls(metric, values, tuple(languages))

    def mean(self, model: Model, of: Callable[[float], float] = float) -> list[float]:
        """The mean over target languages for each seed that has all of them."""
        return [
            statistics.fmean(of(found[lang]) for lang in self.languages)
            for found in self.values[model].values()
            if all(lang in found for lang in self.languages)
        ]

    def ratio(self, model: Model) -> list[float]:
        """For each seed, the mean over languages of the figure as a share of the English source's."""
        english = [
            found["en"]
            for other, seeds in self.values.items()
            if (other.source, other.method) == (model.source, SOURCE)
            for found in seeds.values()
        ]
        return self.mean(model, lambda value: value / english[0]) if english and english[0] else []

    def above(self, model: Model, other: Model | None) -> list[float]:
        """For each seed of both, how much higher the mean over languages is than another model's."""
        if other is None or other not in self.values:
            return []
        found = []
        for seed in self.values[model]:
            both = [self.values[one].get(seed, {}) for one in (model, other)]
            if all(lang in values for values in both for lang in self.languages):
                found.append(statistics.fmean(both[0][lang] - both[1][lang] for lang in self.languages))
        return found

    def mplm_of(self, model: Model) -> Model | None:
        """The mPLM that a student learned from."""
        if model.student is None or model.mplm is None:
            return None
        return replace(model, student=None, precision="fp32")

    def fp32_of(self, model: Model) -> Model | None:
        """The same student before it was quantised."""
        return replace(model, precision="fp32") if model.precision == COMPACT else None


def current(records: Iterable[Measurement]) -> list[Measurement]:
    """The last record of each subject; a student that failed to be exported, or that no longer does, counts
    as the last time says.
    """
    found: dict[tuple[Any, ...], Measurement] = {}
    for record in records:
        for subject in [subject for subject, old in found.items() if _is_over(old, record)]:
            del found[subject]
        found[record.subject] = record
    return list(found.values())


def _is_over(old: Measurement, new: Measurement) -> bool:
    """Whether a failure takes an old figure away, or a package an old failure."""
    if (new.metric == FAILURE) == (old.metric == FAILURE) or place_of(old) != place_of(new):
        return False
    if new.metric == FAILURE:
        return new.precision in (None, old.precision)
    return new.precision == COMPACT or not new.student


def place_of(r: Measurement) -> tuple[Any, ...]:
    """The student or the mPLM that a record is about, whatever was measured of it."""
    return r.source, r.mplm, r.method, r.student, r.seed, r.language
