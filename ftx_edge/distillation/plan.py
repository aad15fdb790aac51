"""``--dry-run``: what a recipe would do, without doing it."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ftx_edge.batches import batch_rows
from ftx_edge.distillation.range_test import STEPS as RANGE_TEST_STEPS
from ftx_edge.recipe import Recipe
from ftx_edge.recipe_tables import StepRecipe
from ftx_edge.runs import RunLayout, check_run

_EFFICIENCY = 0.4
"""Share of a large matrix product's speed that training reaches, as measured on small models."""


@dataclass(frozen=True)
class PlannedStage:
    """One fit: how many utterances and updates, roughly how many seconds, and whether it is done already."""

    name: str
    utterances: int
    steps: int
    seconds: float
    done: bool = False


@dataclass(frozen=True)
class Plan:
    """All that ``distill`` would do."""

    teacher: str
    labels: int
    tags: int
    device: str
    precision: str
    stages: tuple[PlannedStage, ...]

    @property
    def seconds(self) -> float:
        """Rough duration of what is not done."""
        return sum(stage.seconds for stage in self.stages if not stage.done)


def plan(recipe: Recipe, out: Path | str | None = None) -> Plan:
    """Read the corpora, open the teacher, count; nothing is trained and nothing written.

    Args:
        recipe: what ``distill`` would be given.
        out: likewise; None where that is left open.

    Raises the errors that ``distill`` would raise before its first step.
    """
    from ftx_edge.distillation.fit import make_accelerator
    from ftx_edge.distillation.inputs import read_inputs
    from ftx_edge.distillation.precision import resolve_precision
    from ftx_edge.distillation.student import student_config
    from ftx_edge.mplm.model import load_encoder
    from ftx_edge.students.model import build_student, count_parameters

    device = make_accelerator(recipe.device, "fp32").device
    inputs = read_inputs(recipe, device=device.type)
    teachers = inputs.teachers
    run = None
    if out is not None and check_run(Path(out), recipe, inputs.fingerprints) is not None:
        run = RunLayout(Path(out))
    encoder = load_encoder(recipe.mplm.name)
    depth: int = encoder.config.num_hidden_layers  # type: ignore[union-attr, assignment]
    share = (recipe.mplm.layers or depth) / depth
    embeddings = encoder.get_input_embeddings().weight.numel()  # type: ignore[operator]
    mplm_size = share * (count_parameters(encoder) - embeddings)
    lang = next(iter(inputs.targets))
    config = student_config(recipe, lang=lang, vocab_size=1, labels=teachers.labels, tags=teachers.tags)
    student_size = count_parameters(build_student(config))
    speed = _EFFICIENCY * _multiplications_per_second(device)
    english = inputs.source.train
    targets = tuple(text for corpus in inputs.targets.values() for text in corpus.train)
    stages = []
    for name, step, count, mixed in _step1_stages(recipe):
        settings = replace(step, epochs=0.0) if recipe.trains_heads_alone(name) else step
        stages.append(_stage(name, settings, english * count + (targets if mixed else ()), mplm_size, speed))
    passes = 1 + len(recipe.ensemble.mplms)
    for lang, corpus in inputs.targets.items():
        train = corpus.train
        whole, part = divmod(recipe.augment.share, 1)
        read = english[: round(recipe.augment.english * len(train))]
        train = train * (1 + int(whole)) + train[: round(part * len(train))] + read
        labelling = passes * 2 * mplm_size * sum(_lengths(train)) / speed
        stage = _stage(f"students/{lang}", recipe.step2, train, student_size, speed)
        stages.append(PlannedStage(stage.name, stage.utterances, stage.steps, stage.seconds + labelling))
    if run is not None:
        stages = [replace(stage, done=run.finished(stage.name) is not None) for stage in stages]
    more = recipe.ensemble
    names = [s for s in (recipe.teacher.label, *more.labels, recipe.teacher.tag, *more.tags) if s]
    precision = resolve_precision(recipe.precision, device)
    return Plan(
        " + ".join(names), len(teachers.labels), len(teachers.tags), device.type, precision, tuple(stages)
    )


def _step1_stages(recipe: Recipe) -> list[tuple[str, StepRecipe, int, bool]]:
    """Name, settings, how often the English text counts in it, and whether target text comes on top.

    Translations are taken to be as long as what they translate.
    """
    balance, english = recipe.balance, 1 + len(recipe.balance.translators)
    balanced = replace(recipe.step1, epochs=balance.epochs or recipe.step1.epochs)
    if balance.method == "none":
        return [("mplm", recipe.step1, 1, False)]
    if balance.method == "translations":
        return [("mplm", balanced, english, False)]
    rounds = [f"mplm-round{number}" for number in range(1, balance.rounds)]
    first = balanced if english > 1 else recipe.step1
    naive = [("mplm-naive", first, english, False)] * (recipe.naive != "none")
    return [*naive, *((name, balanced, english, True) for name in (*rounds, "mplm"))]


def _stage(name: str, step: StepRecipe, texts: tuple[str, ...], size: float, speed: float) -> PlannedStage:
    lengths = _lengths(texts)
    rng = np.random.default_rng(0)
    batches = batch_rows(lengths, batch_size=step.batch_size, batch_tokens=step.batch_tokens, rng=rng)
    steps = math.ceil(step.epochs * len(batches))
    steps = min(steps, step.max_steps) if step.max_steps else steps
    # Two operations a weight and token forward, four backward; heads alone are fitted to one pass forward.
    per_pass = 2 * size * lengths.sum() / speed
    per_step = 3 * per_pass / len(batches) + 24 * size / speed
    tried = RANGE_TEST_STEPS if steps and isinstance(step.learning_rate, str) else 0
    return PlannedStage(name, len(texts), steps, (steps + tried) * per_step if steps else per_pass)


def _lengths(texts: tuple[str, ...]) -> np.ndarray:
    """Subwords of each text, guessed: four characters each, and the special ones."""
    return np.asarray([3 + math.ceil(len(text) / 4) for text in texts], dtype=np.int64)


def _multiplications_per_second(device) -> float:  # type: ignore[no-untyped-def]
    """Floating-point operations a second of a matrix product of a batch's size."""
    import torch

    a, b = torch.randn(512, 384, device=device), torch.randn(384, 1536, device=device)
    (a @ b).sum().item()
    since, count = time.perf_counter(), 0
    while time.perf_counter() - since < 0.2:
        (a @ b).sum().item()
        count += 1
    return 2 * 512 * 384 * 1536 * count / (time.perf_counter() - since)
