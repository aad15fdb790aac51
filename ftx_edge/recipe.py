"""A recipe: everything that decides a run, as one dataclass tree and one TOML file."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ftx_edge import toml
from ftx_edge.errors import UsageError
from ftx_edge.files import sha256_of_text, write_atomically
from ftx_edge.recipe_tables import (
    AugmentRecipe,
    BalanceRecipe,
    DataRecipe,
    EnsembleRecipe,
    MplmRecipe,
    StepRecipe,
    StudentRecipe,
    TeacherRecipe,
    TranslationRecipe,
    one_of,
)

ALIGNMENTS = ("character-bridge", "first-subword")
DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")
_NOT_USED = (
    "context = 0.0",
    "english = 0.0",
    "function_words = 0.0",
    "hint_weight = 0.0",
    "learned = 0.0",
    "priors = 0.0",
    "sample = 0.0",
    'similarity = "cosine"',
    "spare_pieces = 0",
    "tag_priors = 0.5",
    "tag_propagation = 0.5",
    "tag_weight = 0.4",
    "transitions = 0.0",
    "turns = 0",
    "word_starts = false",
)
"""Fields that are younger than runs which go on without them."""
_WITHOUT_NEIGHBOURS: dict[str, Any] = {
    "naive": "heads",
    "neighbours": 16,
    "similarity": "cosine",
    "learned": 0.0,
    "priors": 0.0,
}
"""What stands for the fields of ``balance`` that nothing reads where no neighbours are asked."""
_WITHOUT_TAGS: dict[str, Any] = {
    "context": 0.0,
    "function_words": 0.0,
    "tag_priors": 0.5,
    "tag_propagation": 0.5,
    "tag_weight": 0.4,
    "transitions": 0.0,
}
"""The same for those that are read for tags alone."""
_OF_ONE_HEAD: dict[str, Any] = {"label_weight": 1.0, "tag_weight": 1.0}
"""What stands for the weights of the losses where there is one."""


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a run. The same recipe, files and versions give the same students.

    Args:
        seed: everything random depends on it.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        precision: ``auto``, ``fp32``, ``bf16`` or ``fp16`` (autocast); ``auto`` takes bf16 where the
            device computes it faster.
        alignment: of tags between tokenizers: ``character-bridge``, or ``first-subword`` (the paper).
    """

    teacher: TeacherRecipe = field(default_factory=TeacherRecipe)
    data: DataRecipe = field(default_factory=DataRecipe)
    mplm: MplmRecipe = field(default_factory=MplmRecipe)
    step1: StepRecipe = field(default_factory=lambda: StepRecipe(epochs=5.0, tag_weight=3.0))
    step2: StepRecipe = field(
        default_factory=lambda: StepRecipe(epochs=8.0, tag_weight=3.0, hint_weight=3.0, patience=8)
    )
    student: StudentRecipe = field(default_factory=StudentRecipe)
    balance: BalanceRecipe = field(default_factory=BalanceRecipe)
    augment: AugmentRecipe = field(default_factory=AugmentRecipe)
    ensemble: EnsembleRecipe = field(default_factory=EnsembleRecipe)
    translation: TranslationRecipe = field(default_factory=TranslationRecipe)
    seed: int = 0
    device: str = "auto"
    precision: str = "auto"
    alignment: str = "character-bridge"

    @property
    def naive(self) -> str:
        """What ``balance.naive`` comes to: ``heads`` where step 1 trains nothing else."""
        alone = self.balance.naive == "whole" and self.mplm.train_layers == 0
        return "heads" if alone else self.balance.naive

    def trains_heads_alone(self, stage: str) -> bool:
        """Whether a stage of step 1 leaves the mPLM's encoder as it is."""
        return self.mplm.train_layers == 0 or (stage == "mplm-naive" and self.naive == "heads")

    @classmethod
    def read(cls, path: Path | str) -> Recipe:
        """Read a TOML file; raises DataError for what is no TOML and for unknown or ill-typed fields."""
        return toml.read(Path(path), base=cls(), what="recipe")

    def override(self, changes: Mapping[str, Any]) -> Recipe:
        """A copy with fields replaced, named by their place: ``{"step1.epochs": 3, "data.targets": {...}}``.

        None leaves a field as it is.
        """
        recipe = self
        for name, value in changes.items():
            if value is None:
                continue
            table: dict[str, Any] = {}
            inner = table
            *parents, last = name.split(".")
            for parent in parents:
                inner = inner.setdefault(parent, {})
            inner[last] = value
            recipe = toml.replaced(recipe, table)
        return recipe

    def write(self, path: Path) -> None:
        """Write the TOML that reads back as this recipe."""
        with write_atomically(path) as aside:
            aside.write_text(self.to_toml(), encoding="utf-8")

    def to_toml(self) -> str:
        """Every field, defaults included."""
        return toml.dumps(self)

    def check(self) -> None:
        """Raise UsageError for what cannot work, before anything is read or computed."""
        if not (self.teacher.label or self.teacher.tag):
            raise UsageError("no teacher: set teacher.label or teacher.tag (--teacher, --tag-teacher)")
        self.data.check()
        self.student.check()
        self.mplm.check()
        one_of("device", self.device, DEVICES)
        one_of("precision", self.precision, PRECISIONS)
        one_of("alignment", self.alignment, ALIGNMENTS)
        self.step1.check("step1")
        self.step2.check("step2")
        self.balance.check()
        self.augment.check(self.data.targets)
        self.translation.check()
        self.ensemble.check(self.teacher)

    @property
    def fingerprint(self) -> str:
        """Changes when a student may change. The device is no part of it, nor are tables and later fields
        that ask for nothing, nor, unless step 1 learns from their text, the target languages: a run may be
        given more of them later.
        """
        return self.fingerprint_of(*(f.name for f in dataclasses.fields(self)))

    def fingerprint_of(self, *names: str) -> str:
        """The same of those fields and tables alone, whatever the others are."""
        balanced = self.balance.method == "neighbours"
        targets = {lang: "" for lang in sorted(self.data.targets)} if balanced else {}
        data = dataclasses.replace(self.data, targets=targets)
        idle = ["balance"] * (self.balance.method == "none")
        idle += ["augment"] * (self.augment.share == 0 and self.augment.english == 0)
        idle += ["ensemble"] * (self.ensemble == EnsembleRecipe())
        idle += ["translation"] * (self.translation == TranslationRecipe())
        read = {"naive": self.naive} if balanced else _WITHOUT_NEIGHBOURS
        if self.naive != "whole":
            read = {**read, "learned": 0.0}  # its encoder is the untouched one
        read = read if balanced and self.teacher.tag else {**read, **_WITHOUT_TAGS}
        balance = dataclasses.replace(self.balance, **read)
        recipe = dataclasses.replace(self, device="auto", data=data, balance=balance)
        if not self.teacher.tag:
            step2 = dataclasses.replace(self.step2, hint_weight=0.0)
            student = dataclasses.replace(self.student, word_starts=False)
            recipe = dataclasses.replace(recipe, step2=step2, student=student)
        if not (self.teacher.label and self.teacher.tag):
            step1 = dataclasses.replace(recipe.step1, **_OF_ONE_HEAD)
            step2 = dataclasses.replace(recipe.step2, **_OF_ONE_HEAD)
            recipe = dataclasses.replace(recipe, step1=step1, step2=step2)
        blocks = []
        for block in recipe.to_toml().split("\n\n"):
            lines = block.strip("\n").splitlines()
            table = lines[0].strip("[]").partition(".")[0] if block.startswith("[") else ""
            used = [line for line in lines if (table or line.partition(" ")[0]) in names]
            if table not in idle and used:
                blocks.append("\n".join(line for line in used if line not in _NOT_USED))
        return sha256_of_text("\n\n".join(blocks) + "\n")
