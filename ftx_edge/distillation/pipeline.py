"""``distill``: a recipe in, a run folder with an mPLM and a student per language out."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ftx_edge.distillation.fit import FitResult
from ftx_edge.distillation.progress import Progress, Silent
from ftx_edge.distillation.run import Run
from ftx_edge.distillation.step1 import step1
from ftx_edge.distillation.step2 import step2
from ftx_edge.recipe import Recipe

FEW = 200
"""Utterances below which a run says that they are few: an epoch is then a handful of updates."""


@dataclass(frozen=True)
class DistillResult:
    """Where the run is and how each fit ended; ``students`` by language."""

    run: Path
    mplm: FitResult
    students: Mapping[str, FitResult]
    seconds: float


def distill(
    recipe: Recipe,
    out: Path | str,
    *,
    reuse: Path | str | None = None,
    cache: Path | str | None = None,
    progress: Progress | None = None,
) -> DistillResult:
    """Distil the source model into one student a target language; label-free throughout.

    What is finished in ``out`` is not done again; a killed run goes on at its last checkpoint and ends with
    the weights of one that was not killed.

    Args:
        recipe: everything that decides the run.
        out: run folder; created, or resumed if the same recipe started it.
        reuse: another run, whose mPLM and soft labels are taken over where this recipe would make the same;
            so that several students are compared on one step 1.
        cache: folder for what runs may share, translations and states of the untouched mPLM; one in the run
            by default.
        progress: is told of every stage.

    Raises:
        UsageError: the recipe asks for what does not exist, or ``reuse`` did another step 1.
        DataError: a corpus or a recorded teacher cannot be used; names file and line.
        FtxError: ``out`` belongs to another recipe; the device is not there.
    """
    recipe.check()
    run = Run(
        recipe,
        Path(out),
        progress or Silent(),
        reuse=Path(reuse) if reuse else None,
        cache=Path(cache) if cache else None,
    )
    since = time.monotonic()
    for corpus in (run.source, *run.targets.values()):
        if corpus.duplicates:
            run.progress.note(f"{corpus.lang}: {corpus.duplicates} duplicate utterances left out")
        if len(corpus.train) < FEW:
            run.progress.note(
                f"{corpus.lang}: {len(corpus.train)} utterances to learn from are few: expect little of it"
            )
    # Whoever deleted an mPLM when all its students were done does not want it again.
    needed = any(run.layout.finished(f"students/{lang}") is None for lang in run.targets)
    mplm = run.finished("mplm", needed=needed) or step1(run)
    students = {}
    for lang, corpus in run.targets.items():
        students[lang] = run.finished(f"students/{lang}") or step2(run, corpus)
    return DistillResult(run.layout.root, mplm, students, time.monotonic() - since)
