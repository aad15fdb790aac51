"""``distill``: a recipe in, a run folder with an mPLM and a student per language out."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ftx_edge.distillation.fit import FitResult
from ftx_edge.distillation.progress import Progress, Silent
from ftx_edge.distillation.run import Run
from ftx_edge.distillation.step1 import step1
from ftx_edge.distillation.step2 import step2
from ftx_edge.errors import UsageError
from ftx_edge.processes import more_processes
from ftx_edge.recipe import Recipe

POLL = 2.0
"""Seconds between looks at what another process is doing."""
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
    jobs: int = 1,
    progress: Progress | None = None,
) -> DistillResult:
    """Distil the source model into one student a target language; label-free throughout.

    What is finished in ``out`` is not done again; a killed run goes on at its last checkpoint and ends with
    the weights of one that was not killed. Any number of processes may be at one run: each stage is done by
    one of them, and the others wait for it or do another.

    Args:
        recipe: everything that decides the run.
        out: run folder; created, or resumed if the same recipe started it.
        reuse: another run, whose mPLM and soft labels are taken over where this recipe would make the same;
            so that several students are compared on one step 1.
        cache: folder for what runs may share, translations and states of the untouched mPLM; one in the run
            by default.
        jobs: processes to share the students among, once step 1 is done. They divide the cores among
            themselves, and use one and the same GPU.
        progress: is told of every stage of this process.

    Raises:
        UsageError: the recipe asks for what does not exist, or ``reuse`` did another step 1; several jobs
            under ``accelerate launch``, which has processes of its own.
        DataError: a corpus or a recorded teacher cannot be used; names file and line.
        FtxError: ``out`` belongs to another recipe; the device is not there.
    """
    if jobs < 1:
        raise UsageError(f"jobs must be at least 1, not {jobs}")
    run = _opened(recipe, out, reuse, cache, progress)
    if jobs > 1 and run.accelerator.num_processes > 1:
        raise UsageError("several jobs and accelerate launch exclude each other: leave --jobs out")
    since = time.monotonic()
    for corpus in (run.source, *run.targets.values()):
        if corpus.duplicates:
            run.progress.note(f"{corpus.lang}: {corpus.duplicates} duplicate utterances left out")
        if len(corpus.train) < FEW:
            run.progress.note(
                f"{corpus.lang}: {len(corpus.train)} utterances to learn from are few: expect little of it"
            )
    # Whoever deleted an mPLM when all its students were done does not want it again.
    left = [lang for lang in run.targets if run.layout.finished(f"students/{lang}") is None]
    mplm = run.finished("mplm", needed=bool(left)) or _all(run, {"mplm": lambda: step1(run)})["mplm"]
    count = min(jobs, len(left)) - 1
    arguments = ["distill", str(run.layout.recipe), "--out", str(run.layout.root), "--cache", str(run.shared)]
    # The folder's recipe may have more of them.
    arguments += [x for lang, file in recipe.data.targets.items() for x in ("--target", f"{lang}={file}")]
    with more_processes(count, arguments, logs=run.layout.logs, progress=run.progress) as failed:
        stages = {f"students/{lang}": partial(step2, run, corpus) for lang, corpus in run.targets.items()}
        done = _all(run, stages)
    for process in failed:
        run.progress.note(f"another process ended early, and this one did its work: {process}")
    students = {stage.removeprefix("students/"): result for stage, result in done.items()}
    return DistillResult(run.layout.root, mplm, students, time.monotonic() - since)


def distill_step1(
    recipe: Recipe,
    out: Path | str,
    *,
    reuse: Path | str | None = None,
    cache: Path | str | None = None,
    progress: Progress | None = None,
) -> FitResult:
    """The first step of ``distill`` alone, for that to go on from. Arguments and errors are those of it."""
    run = _opened(recipe, out, reuse, cache, progress)
    return _all(run, {"mplm": lambda: step1(run)})["mplm"]


def _opened(
    recipe: Recipe,
    out: Path | str,
    reuse: Path | str | None,
    cache: Path | str | None,
    progress: Progress | None,
) -> Run:
    recipe.check()
    return Run(
        recipe,
        Path(out),
        progress or Silent(),
        reuse=Path(reuse) if reuse else None,
        cache=Path(cache) if cache else None,
    )


def _all(run: Run, stages: Mapping[str, Callable[[], FitResult]]) -> dict[str, FitResult]:
    """How each stage ended, by this process or another; what another one is at is waited for."""
    before = {stage for stage in stages if run.layout.finished(stage) is not None}
    found: dict[str, FitResult] = {}
    waiting: list[str] = []
    while True:
        for stage, do in stages.items():
            if stage in found:
                continue
            with run.taking(stage) as mine:
                if mine:
                    by = "before" if stage in before else "by another process"
                    found[stage] = run.finished(stage, by=by) or do()
        left = [stage for stage in stages if stage not in found]
        if not left:
            return {stage: found[stage] for stage in stages}
        if left != waiting:
            run.progress.note(f"{', '.join(left)}: another process is at it")
            waiting = left
        time.sleep(POLL)
