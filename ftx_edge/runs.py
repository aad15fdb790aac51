"""A run folder: where things lie, what it was made from, what is done."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftx_edge.data import write_jsonl
from ftx_edge.errors import FtxError, UsageError
from ftx_edge.files import remove, write_atomically
from ftx_edge.locks import one_at_a_time
from ftx_edge.recipe import Recipe
from ftx_edge.utterance import Utterance

if TYPE_CHECKING:
    from ftx_edge.soft_labels import SoftLabels

OTHER_MPLM = "mPLM of"
"""How the inputs of a run begin that step 2 alone reads."""
_VERSIONED = ("ftx-edge", "torch", "transformers", "tokenizers", "accelerate", "numpy", "onnx", "onnxruntime")


@dataclass(frozen=True)
class RunLayout:
    """The files of a run, below ``root``."""

    root: Path

    @property
    def recipe(self) -> Path:
        """The effective recipe, every default written out."""
        return self.root / "recipe.toml"

    @property
    def record(self) -> Path:
        """Versions, seed, hashes of inputs, and what was measured at each stage (JSON)."""
        return self.root / "run.json"

    @property
    def metrics(self) -> Path:
        """A JSON object for each evaluation of each stage."""
        return self.root / "metrics.jsonl"

    @property
    def curve(self) -> Path:
        """The learning curves, as a picture."""
        return self.root / "curve.png"

    @property
    def cache(self) -> Path:
        """Soft labels, translations, states of the mPLM, by what they depend on."""
        return self.root / "cache"

    @property
    def checkpoints(self) -> Path:
        """What a killed fit resumes from."""
        return self.root / "checkpoints"

    @property
    def locks(self) -> Path:
        """What tells the processes that are at this run of each other."""
        return self.root / "locks"

    @property
    def logs(self) -> Path:
        """What the processes print that another one started."""
        return self.root / "logs"

    @property
    def mplm(self) -> Path:
        """The mPLM after step 1: a Hugging Face folder with our heads beside it."""
        return self.root / "mplm"

    def mplm_of(self, stage: str) -> Path:
        """The mPLM after a stage of a balanced step 1: ``mplm-naive``, ``mplm-round1``, ..., ``mplm``."""
        return self.root / stage

    def center(self, lang: str, stage: str = "mplm") -> Path:
        """The mean state of a language's texts in the mPLM after a stage of step 1."""
        return (
            self.root / "centers" / f"{lang}.safetensors"
            if stage == "mplm"
            else (self.root / "centers" / stage / f"{lang}.safetensors")
        )

    def student(self, lang: str) -> Path:
        """The student of a language."""
        return self.root / "students" / lang

    def held_out(self, lang: str) -> Path:
        """Texts that the student did not train on, with its teacher's labels: for the export."""
        return self.student(lang) / "heldout.jsonl"

    def package(self, lang: str) -> Path:
        """The exported package of a language; with ``.ftx`` appended, the same as one file."""
        return self.root / "packages" / lang

    def languages(self) -> list[str]:
        """Languages whose student is finished."""
        stages = self.read_record()["stages"] if self.record.is_file() else {}
        return sorted(k.removeprefix("students/") for k in stages if k.startswith("students/"))

    def finished(self, stage: str, *, needed: bool = True) -> dict[str, Any] | None:
        """What was measured at a stage; None where it is not done, or its model is gone and needed."""
        figures = self.read_record()["stages"].get(stage)
        return figures if not needed or (self.root / stage / "model.safetensors").is_file() else None

    def read_record(self) -> dict[str, Any]:
        """``run.json``; raises FtxError where the folder is no run."""
        try:
            record = json.loads(self.record.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            raise FtxError(f"{self.root} is not a run: it has no {self.record.name}") from None
        except ValueError as error:
            raise FtxError(f"{self.record} is damaged: {error}") from error
        stages = record.get("stages") if isinstance(record, dict) else None
        if not isinstance(stages, dict) or not all(isinstance(stage, dict) for stage in stages.values()):
            raise FtxError(f"{self.record} is damaged: it does not say which stages are done")
        return record

    def changing(self) -> AbstractContextManager[None]:
        """Let no other process change ``run.json`` or the metrics meanwhile."""
        return one_at_a_time(self.locks / "record.lock")

    def write_record(self, record: Mapping[str, Any]) -> None:
        """Replace ``run.json``."""
        with write_atomically(self.record) as aside:
            aside.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def open_run(
    root: Path, recipe: Recipe, inputs: Mapping[str, str], *, method: str = "distillation"
) -> RunLayout:
    """Start a run folder, or go on with one that the same recipe and the same inputs started.

    Target languages that are new to the run are added to it.

    Args:
        root: the folder.
        recipe: the effective recipe.
        inputs: hash of each input by its name.
        method: what the run is: ``distillation``, ``supervised``, or the name of a baseline.

    Raises:
        FtxError: as `check_run`.
    """
    layout = RunLayout(root)
    if check_run(root, recipe, inputs, method=method) is not None:
        with layout.changing():
            record = layout.read_record()
            targets = Recipe.read(layout.recipe).data.targets
            recipe.override({"data.targets": {**targets, **recipe.data.targets}}).write(layout.recipe)
            layout.write_record({**record, "inputs": {**record["inputs"], **inputs}})
        return layout
    root.mkdir(parents=True, exist_ok=True)
    recipe.write(layout.recipe)
    record = {
        "format": 1,
        "method": method,
        "recipe": recipe.fingerprint,
        "seed": recipe.seed,
        "inputs": dict(inputs),
        "versions": versions(),
        "machine": {"python": platform.python_version(), "system": platform.platform(terse=True)},
        "stages": {},
    }
    layout.write_record(record)
    return layout


def check_run(
    root: Path, recipe: Recipe, inputs: Mapping[str, str], *, method: str = "distillation"
) -> dict[str, Any] | None:
    """The record of the run that `open_run` would go on with; None where it would start one.

    Before a stage is done, an input may still change.

    Raises:
        FtxError: the folder belongs to something else, to another recipe or method, or an input has changed.
    """
    layout = RunLayout(root)
    if not layout.record.is_file():
        if root.exists() and (not root.is_dir() or any(root.iterdir())):
            raise FtxError(f"{root} exists and is not a run: choose another --out")
        return None
    record = layout.read_record()
    if (theirs := record.get("method", "distillation")) != method:
        raise FtxError(f"{root} is a run of {theirs}, not of {method}: choose another --out")
    if record.get("recipe") != recipe.fingerprint:
        what = _difference(layout.recipe, recipe)
        raise FtxError(f"{root} belongs to another recipe{what}: choose another --out, or remove the folder")
    changed = sorted(k for k, v in inputs.items() if record["inputs"].get(k, v) != v)
    if changed and record["stages"]:
        raise FtxError(
            f"{', '.join(changed)} changed since {root} was started: choose another --out, "
            "or remove the folder"
        )
    return record


def take_over_step1(other: RunLayout, layout: RunLayout) -> None:
    """Link the mPLM and the soft labels of ``other`` into a run that would make the same.

    A run that balances by neighbours takes the naive mPLM from one that balances otherwise, or, if it wants
    the ``whole`` of it, the mPLM of one that does not balance. A run of more rounds takes the rounds of one
    that made fewer and is the same otherwise.

    Raises:
        UsageError: step 1 of ``other`` is not done, or had another recipe or other inputs.
    """
    record, theirs = layout.read_record(), other.read_record()
    if record["stages"]:
        return
    if other.finished("mplm") is None:
        raise UsageError(f"{other.root}: step 1 is not done")
    mine, other_recipe = Recipe.read(layout.recipe), Recipe.read(other.recipe)
    same = ["teacher", "mplm", "step1", "seed", "precision", "alignment"]
    inputs = {"source text", "teacher"}
    stages = {"mplm": "mplm"}
    same_text = mine.balance.method == "none" or _step1_inputs(record) == _step1_inputs(theirs)
    if same_text and (rounds := _rounds(mine, other_recipe)):
        stages = {stage: stage for stage in theirs["stages"] if stage.startswith("mplm-")} | rounds
    elif not _balanced_alike(mine, other_recipe) or not same_text:
        stages = _naive_stage(mine, other_recipe)
        if not stages:
            same.append("balance")
            inputs |= _step1_inputs(record).keys() | _step1_inputs(theirs).keys()
    if mine.balance.method == "none" or set(stages.values()) == {"mplm-naive"}:
        # It has learned from English alone: languages are turned when it is asked.
        other_recipe = other_recipe.override({"mplm.turns": mine.mplm.turns})
    differing = [name for name in same if mine.fingerprint_of(name) != other_recipe.fingerprint_of(name)]
    differing += sorted(k for k in inputs if theirs["inputs"].get(k) != record["inputs"].get(k))
    if differing:
        raise UsageError(f"{other.root} did another step 1: {', '.join(differing)} differ")
    _link(other.cache, layout.cache)
    for theirs_stage, stage in stages.items():
        _link(other.mplm_of(theirs_stage), layout.mplm_of(stage))
        finish_stage(layout, stage, theirs["stages"][theirs_stage])


def _step1_inputs(record: Mapping[str, Any]) -> dict[str, str]:
    return {k: v for k, v in record["inputs"].items() if not k.startswith(OTHER_MPLM)}


def _balanced_alike(mine: Recipe, other: Recipe) -> bool:
    turned_alike = mine.balance.method == "none" or mine.mplm.turns == other.mplm.turns
    return turned_alike and mine.fingerprint_of("balance") == other.fingerprint_of("balance")


def _rounds(mine: Recipe, other: Recipe) -> dict[str, str]:
    """Which of my rounds the other run ends with; empty if its last one is none of mine but the last."""
    fewer = other.balance.rounds
    alike = mine.override({"balance.rounds": fewer}).fingerprint_of("balance")
    if fewer >= mine.balance.rounds or alike != other.fingerprint_of("balance"):
        return {}
    return {"mplm": f"mplm-round{fewer}"}


def _naive_stage(mine: Recipe, other: Recipe) -> dict[str, str]:
    """Which mPLM of the other run is the one that mine starts to balance from; empty if none is."""
    ours, theirs = mine.balance, other.balance
    if ours.method != "neighbours" or mine.naive == "none" or ours.translators:
        return {}
    if theirs.method == "none":
        return {"mplm": "mplm-naive"} if ours.naive == "whole" else {}
    shared = theirs.method == "neighbours" and other.naive == mine.naive and not theirs.translators
    return {"mplm-naive": "mplm-naive"} if shared else {}


def _link(source: Path, target: Path) -> None:
    """The same files at another place, without their bytes a second time where the disk can.

    The other run may still be at work: what it is writing is left out, and a database, which grows in place,
    is copied.
    """

    def link(one: str, two: str) -> None:
        if one.endswith(".sqlite"):
            with closing(sqlite3.connect(one)) as whole, closing(sqlite3.connect(two)) as copy:
                whole.backup(copy)
            return
        try:
            os.link(one, two)
        except OSError:
            shutil.copyfile(one, two)

    remove(target)
    unfinished = shutil.ignore_patterns(".*.tmp", "*.sqlite-*")
    shutil.copytree(source, target, copy_function=link, ignore=unfinished)


def finish_stage(layout: RunLayout, stage: str, figures: Mapping[str, Any]) -> None:
    """Note in ``run.json`` that ``stage`` is done, and what was measured."""
    with layout.changing():
        record = layout.read_record()
        record["stages"][stage] = dict(figures)
        layout.write_record(record)


def kept_evaluation(figures: Mapping[str, Any]) -> dict[str, float]:
    """The evaluation at the step whose weights a stage kept, by its record; empty where that has none."""
    rows = (row for row in figures.get("history", ()) if row["step"] == figures.get("best_step"))
    return next(rows, {})


def write_metrics(layout: RunLayout, stage: str, history: Iterable[Mapping[str, float]]) -> None:
    """Put the evaluations of ``stage`` into ``metrics.jsonl``, in place of what it held of that stage."""
    with layout.changing():
        lines = []
        if layout.metrics.is_file():
            lines = [row for row in layout.metrics.read_text(encoding="utf-8").splitlines() if row.strip()]
        lines = [row for row in lines if json.loads(row)["stage"] != stage]
        lines += [json.dumps({"stage": stage, **row}) for row in history]
        with write_atomically(layout.metrics) as aside:
            aside.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_held_out(layout: RunLayout, lang: str, texts: Sequence[str], labels: SoftLabels | None) -> None:
    """Keep held-out texts beside their student, each with its teacher's most likely label.

    Args:
        layout: of the run.
        lang: language of the student.
        texts: N texts.
        labels: the teacher's distributions of them; None without a label head.
    """
    names: list[str | None] = [None] * len(texts)
    if labels is not None:
        names = [labels.labels[column] for column in labels.probs.argmax(axis=1)]
    rows = [Utterance(text, label) for text, label in zip(texts, names, strict=True)]
    write_jsonl(layout.held_out(lang), rows)


def versions() -> dict[str, str]:
    """Versions of what decides a run, as far as installed."""
    found = {}
    for name in _VERSIONED:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _difference(path: Path, recipe: Recipe) -> str:
    """The first line in which the recipe in the folder differs from this one."""
    if not path.is_file():
        return ""
    there = path.read_text(encoding="utf-8").splitlines()
    here = recipe.to_toml().splitlines()
    for old, new in zip(there, here, strict=False):
        if old != new:
            return f" ({old!r} there, {new!r} here)"
    return ""
