"""A suite: a grid sources x mPLMs x methods x students x seeds over a data set, its cells and their recipes.

``suite_file`` reads one, ``suite_run`` does what is left of it, ``suite_tables`` shows it.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ftx_edge import toml
from ftx_edge.errors import DataError, UsageError
from ftx_edge.recipe import Recipe
from ftx_edge.students.config import ARCHITECTURES

TASKS = ("classification", "tagging", "joint")
SOURCE, TRANSLATE_TEST = "source", "translate-test"
GOLD, TRANSLATED = "gold-supervised", "translate-train-pseudo"
BESIDES = (SOURCE, TRANSLATE_TEST, GOLD, TRANSLATED)
"""Methods that are no distillation in two steps; a suite cannot call its own so."""
TFIDF = "tfidf"
"""Stands in the place of a student; likewise."""

Table = Mapping[str, Any]


@dataclass(frozen=True)
class SuiteData:
    """Files of each language; ``{lang}`` and ``{demo}`` (the demo corpus) are filled in.

    Args:
        source: unlabelled English; target: unlabelled text of a target language.
        test: labelled utterances, English among them, read by ``evaluate`` alone.
        gold: the target text with its labels, for the gold-supervised reference alone.
    """

    source: str = ""
    target: str = ""
    test: str = ""
    gold: str = ""

    def file(self, what: str, lang: str) -> str:
        """``source``, ``target``, ``test`` or ``gold`` of a language."""
        return filled(getattr(self, what), lang)


@dataclass(frozen=True)
class TrainSource:
    """A source model that the suite trains from labels, as ``train-source`` does."""

    labelled: str = ""
    architecture: str = "transformer"
    epochs: float = 30.0
    seed: int = 0


@dataclass(frozen=True)
class SuiteSource:
    """An English source model: teachers that exist, or how to train them.

    Args:
        label, tag: teachers as in a recipe.
        train: from labels; ``task`` says which heads: classification, tagging or joint (both).
    """

    label: str = ""
    tag: str = ""
    task: str = "classification"
    train: TrainSource = field(default_factory=TrainSource)

    @property
    def heads(self) -> tuple[str, ...]:
        """``classification``, ``tagging`` or both."""
        if self.train.labelled:
            return TASKS[:2] if self.task == "joint" else (self.task,)
        return tuple(name for name, spec in zip(TASKS, (self.label, self.tag), strict=False) if spec)


@dataclass(frozen=True)
class SuiteBaselines:
    """What is measured beside the grid.

    Args:
        tfidf: methods with whose mPLM's labels it is trained.
        translate_test: translator into English by language; translate_train_pseudo: out of it.
        gold_supervised: students of ``data.gold``, which reads labels.
    """

    tfidf: tuple[str, ...] = ()
    translate_test: dict[str, str] = field(default_factory=dict)
    translate_train_pseudo: dict[str, str] = field(default_factory=dict)
    gold_supervised: bool = False


@dataclass(frozen=True)
class Cell:
    """One piece of work: a run with a student (several languages), or something that is only scored.

    ``mplm``, ``student`` and ``seed`` are None where the method has none; ``alone``: the language has a cell
    of its own.
    """

    source: str
    method: str
    languages: tuple[str, ...]
    mplm: str | None = None
    student: str | None = None
    seed: int | None = None
    alone: bool = False

    @property
    def place(self) -> str:
        """Its folder below the suite's, and its name in messages."""
        parts = [self.source, self.mplm, self.method, self.student]
        if self.seed is not None:
            parts.append(f"seed{self.seed}")
        if self.alone:
            parts.append(self.languages[0])
        return "/".join(part for part in parts if part)


@dataclass(frozen=True, eq=False)
class Suite:
    """A suite as its file says; see ``docs/benchmarks.md``.

    Args:
        path: of the file; given: how it was asked for.
        languages: targets; English is always measured for source and mPLM.
        out: the records; tables and pictures go beside it.
        runs: folder of the runs.
        recipe: the base of every cell, as the table of a recipe; ``last`` goes over everything.
        methods, students: changes of the whole recipe by name; mplms: changes of its ``[mplm]``.
        max_drop: of the export's gate.
    """

    path: Path
    given: str
    name: str
    languages: tuple[str, ...]
    seeds: tuple[int, ...]
    out: Path
    runs: Path
    data: SuiteData
    sources: Mapping[str, SuiteSource]
    methods: Mapping[str, Table]
    mplms: Mapping[str, Table]
    students: Mapping[str, Table]
    recipe: Table = field(default_factory=dict)
    baselines: SuiteBaselines = field(default_factory=SuiteBaselines)
    last: Table = field(default_factory=dict)
    max_drop: float = 0.01
    quick: bool = False

    def cells(self) -> list[Cell]:
        """All cells: sources and baselines, which take little, then the grid, seed by seed."""
        found = []
        for name, source in self.sources.items():
            found.append(Cell(name, SOURCE, ("en",)))
            if "classification" in source.heads:
                translated = self._with(self.baselines.translate_test)
                found += [Cell(name, TRANSLATE_TEST, (lang,), alone=True) for lang in translated]
        for seed in self.seeds:
            for name in self.sources:
                found += self._grid(name, seed)
            found += self._supervised(seed)
        return found

    def _grid(self, source: str, seed: int) -> Iterator[Cell]:
        for mplm, method in itertools.product(self.mplms, self.methods):
            alone = self.methods[method].get("per_language", False)
            groups = [(lang,) for lang in self.languages] if alone else [self.languages]
            students = list(self.students)
            if method in self.baselines.tfidf and "classification" in self.sources[source].heads:
                students.append(TFIDF)
            for student, group in itertools.product(students, groups):
                yield Cell(source, method, group, mplm, student, seed, alone)
        translated = self._with(self.baselines.translate_train_pseudo)
        for student, lang in itertools.product(self.students, translated):
            yield Cell(source, TRANSLATED, (lang,), None, student, seed, alone=True)

    def _supervised(self, seed: int) -> Iterator[Cell]:
        """The gold-supervised reference knows no source: one for each set of heads."""
        if self.baselines.gold_supervised:
            by_task = {source.heads: name for name, source in reversed(list(self.sources.items()))}
            for name, student, lang in itertools.product(by_task.values(), self.students, self.languages):
                yield Cell(name, GOLD, (lang,), None, student, seed, alone=True)

    def _with(self, translators: Mapping[str, str]) -> list[str]:
        return [lang for lang in self.languages if lang in translators]

    def recipe_of(self, cell: Cell, label: str = "", tag: str = "") -> Recipe:
        """The recipe of a cell with a seed; ``label`` and ``tag`` are the teachers.

        Where a cell has no mPLM or no student of the suite, the first ones stand in it.

        Translators (``[balance.translators]`` and those of ``[augment]``) of languages that are not the
        cell's are left out.
        """
        assert cell.seed is not None
        method = {k: v for k, v in self.methods.get(cell.method, {}).items() if k != "per_language"}
        student = str(cell.student) if cell.student in self.students else next(iter(self.students))
        mplm = cell.mplm or next(iter(self.mplms))
        tables = {
            "recipe": self.recipe,
            f"mplms.{mplm}": {"mplm": self.mplms[mplm]},
            f"methods.{cell.method}": method,
            f"students.{student}": _with_architecture(student, self.students[student]),
            "quick.recipe": self.last,
        }
        recipe = Recipe()
        for where, table in tables.items():
            try:
                recipe = toml.replaced(recipe, table)
            except UsageError as error:
                raise DataError(f"[{where}]: {error}", path=self.path) from None

        def own(translators: Mapping[str, str]) -> dict[str, str]:
            return {lang: spec for lang, spec in translators.items() if lang in cell.languages}

        balance = dataclasses.replace(recipe.balance, translators=own(recipe.balance.translators))
        texts = recipe.augment
        augment = dataclasses.replace(
            texts, there=own(texts.there), back=own(texts.back), within=own(texts.within)
        )
        return dataclasses.replace(recipe, balance=balance, augment=augment, seed=cell.seed).override(
            {
                "teacher.label": label,
                "teacher.tag": tag,
                "data.source": self.data.file("source", "en"),
                "data.targets": {lang: self.data.file("target", lang) for lang in cell.languages},
            }
        )

    def task(self, cell: Cell) -> str:
        """What the models of a cell do."""
        heads = self.sources[cell.source].heads
        return "joint" if len(heads) == 2 else heads[0]


def filled(text: str, lang: str) -> str:
    """``{lang}`` and ``{demo}`` filled in."""
    if "{demo}" in text:
        from ftx_edge.demo import path

        text = text.replace("{demo}", str(path("en.test").parent))
    return text.replace("{lang}", lang)


def _with_architecture(name: str, table: Table) -> Table:
    """``[students.cnn]`` need not say that its architecture is ``cnn``."""
    if name in ARCHITECTURES:
        return {**table, "student": {"architecture": name, **table.get("student", {})}}
    return table
