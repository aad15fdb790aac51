"""Do what is left of a suite and keep what was measured.

Several processes may be at it: a cell, a step 1 and a source model are each made by one of them.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from ftx_edge.benchmarks.suite import GOLD, SOURCE, TFIDF, TRANSLATE_TEST, TRANSLATED, Cell, Suite
from ftx_edge.benchmarks.suite_keys import (
    earlier_keys,
    fingerprint,
    recipe_of,
    run_folder,
    source_folder,
    step1_key,
    teachers_of,
)
from ftx_edge.benchmarks.suite_measure import Work, measure_mplm, measure_student, scores
from ftx_edge.benchmarks.tables import FAILURE, MeasurementStore
from ftx_edge.errors import DataError, FtxError, MissingExtraError, UsageError
from ftx_edge.files import write_atomically
from ftx_edge.locks import try_lock
from ftx_edge.runs import RunLayout

DONE, FAILED, TAKEN, LEFT = "done", "failed", "taken", "left"
WORKED, WAITS = "worked", "waits"
POLL = 2.0
"""Seconds between looks at what another process is making."""


def work(job: Work, cells: Sequence[Cell]) -> None:
    """Do what no other process does, until there is no more of it.

    What waits for another process is looked at again, and another's students that it has not begun are done
    for it; what is wholly another's is left to it.
    """
    while True:
        states = {_try(job, cell, f"{number} of {len(cells)}") for number, cell in enumerate(cells, start=1)}
        if not states & {WAITS, WORKED}:
            return
        if WORKED not in states:
            time.sleep(POLL)


def begin(job: Work, cells: Sequence[Cell], *, processes: int) -> None:
    """Make every step 1 that cells are without, if there are fewer of them than processes to come.

    Each is made by one process, and done sooner by this one with all cores than with its share of them while
    others wait.
    """
    without = _without_step1(job, cells)
    if len(without) >= processes:
        return
    for cell in without:
        with try_lock(job.suite.runs / "locks", cell.place) as mine:
            if not mine:
                continue
            with contextlib.suppress(FtxError):  # when the cell's turn comes it says so again
                _distilled(job, cell, f"{cells.index(cell) + 1} of {len(cells)}, step 1", whole=False)


def states(suite: Suite, cells: Sequence[Cell]) -> list[tuple[str, str | None]]:
    """Of each cell: done, failed (and why), taken by a process, or left."""
    kept = {record.fingerprint: record for record in MeasurementStore(suite.out).read()}
    found: list[tuple[str, str | None]] = []
    for cell in cells:
        records = [kept.get(fingerprint(suite, cell, lang)) for lang in cell.languages]
        failed = [record.note for record in records if record and record.metric == FAILURE]
        if all(records):
            found.append((FAILED, failed[0]) if failed else (DONE, None))
            continue
        with try_lock(suite.runs / "locks", cell.place) as free:
            found.append((LEFT if free else TAKEN, None))
    return found


def _missing(job: Work, cell: Cell) -> list[str]:
    """Languages in which a cell has not been measured."""
    kept = {record.fingerprint for record in job.store.read()}
    return [lang for lang in cell.languages if fingerprint(job.suite, cell, lang) not in kept]


def _try(job: Work, cell: Cell, number: str) -> str:
    if not _missing(job, cell):
        return DONE
    with try_lock(job.suite.runs / "locks", cell.place) as mine:
        if not mine:
            return _help(job, cell)
        missing = _missing(job, cell)  # another process may just have ended with it
        if not missing:
            return DONE
        try:
            do = _DO.get(cell.student) or _DO.get(cell.method) or _distil
            return do(job, cell, missing, number)
        except (UsageError, DataError, MissingExtraError):
            raise  # so would the next cell
        except FtxError as error:
            _fail(job, cell, missing, error)
            return WORKED


def _help(job: Work, cell: Cell) -> str:
    """Distil students of a cell that another process is at: those that it has not begun."""
    from ftx_edge.distillation import distill

    if len(cell.languages) == 1 or {cell.student, cell.method} & _DO.keys():
        return TAKEN
    run = run_folder(job.suite, cell)
    if not _has_step1(run):
        return WAITS
    layout = RunLayout(run)
    if not any(_is_free(layout, f"students/{lang}") for lang in cell.languages):
        return TAKEN
    job.progress.note(f"students of {cell.place}, at which another process is")
    try:
        distill(recipe_of(job.suite, cell), run, cache=job.suite.runs, progress=job.progress)
    except FtxError as error:
        job.progress.note(f"{error}: left to the other process")  # whose cell it is
        return TAKEN
    return WORKED


def _is_free(layout: RunLayout, stage: str) -> bool:
    """Whether a stage is not done, and nobody is at it."""
    with try_lock(layout.locks, stage) as free:
        return free and layout.finished(stage, needed=False) is None


def _fail(job: Work, cell: Cell, languages: Sequence[str], error: FtxError) -> None:
    job.progress.note(f"{cell.place} failed: {error}")
    job.store.add(
        job.record(cell, lang, FAILURE, 1.0, note=str(error), fingerprint=fingerprint(job.suite, cell, lang))
        for lang in languages
    )


def _source(job: Work, cell: Cell, missing: Sequence[str], number: str) -> str:
    """The English source model on the English test set."""
    if not _teachers_are_there(job, cell.source):
        return WAITS
    job.progress.note(f"cell {number}: {cell.place}")
    records = []
    for spec in filter(None, teachers_of(job.suite, cell.source)):
        records += scores(job, cell, "en", spec)
    job.store.add(records)
    return WORKED


def _translate_test(job: Work, cell: Cell, missing: Sequence[str], number: str) -> str:
    """The baseline that translates into English and asks the source model."""
    if not _teachers_are_there(job, cell.source):
        return WAITS
    job.progress.note(f"cell {number}: {cell.place}")
    label, _ = teachers_of(job.suite, cell.source)
    (lang,) = missing
    spec = f"translate-test:{job.suite.baselines.translate_test[lang]}+{label}"
    job.store.add(scores(job, cell, lang, spec))
    return WORKED


def _distil(job: Work, cell: Cell, missing: Sequence[str], number: str) -> str:
    """A cell of the grid: a run, and its figures."""
    if not _distilled(job, cell, number):
        return WAITS
    run = run_folder(job.suite, cell)
    measure_mplm(job, cell, run)
    for lang in missing:
        measure_student(job, cell, run, lang)
    return WORKED


def _distilled(job: Work, cell: Cell, number: str, *, whole: bool = True) -> bool:
    """Both steps, or the second alone where another run did the first; False while that is still made.

    Unless ``whole``, step 1 alone.
    """
    from ftx_edge.distillation import distill, distill_step1

    if not _teachers_are_there(job, cell.source):
        return False
    recipe, run = recipe_of(job.suite, cell), run_folder(job.suite, cell)
    with _step1(job, cell, run) as (may, reuse):
        if may:
            job.progress.note(f"cell {number}: {cell.place}")
            do = distill if whole else distill_step1
            do(recipe, run, reuse=reuse, cache=job.suite.runs, progress=job.progress)
        return may


def _without_step1(job: Work, cells: Sequence[Cell]) -> list[Cell]:
    """A cell for each step 1 that is needed and not there."""
    found: dict[str, Cell] = {}
    for cell in cells:
        if {cell.student, cell.method} & _DO.keys() or not _missing(job, cell):
            continue
        key = step1_key(job.suite, cell)
        if not _has_step1(run_folder(job.suite, cell)) and _maker(job.suite, key) is None:
            found.setdefault(key, cell)
    return list(found.values())


def _tfidf(job: Work, cell: Cell, missing: Sequence[str], number: str) -> str:
    """TF-IDF on the labels that a method's mPLM gives; of the run with the suite's first student."""
    from ftx_edge.benchmarks.baselines import tfidf_of

    first = replace(cell, student=next(iter(job.suite.students)))
    with try_lock(job.suite.runs / "locks", first.place) as mine:
        # Distilled already, as a rule: then this trains nothing.
        if not mine or not _distilled(job, first, number):
            return WAITS
    job.progress.note(f"cell {number}: {cell.place}")
    recipe, run = recipe_of(job.suite, first), run_folder(job.suite, first)
    for lang in missing:
        job.store.add(scores(job, cell, lang, tfidf_of(run, recipe, lang)))
    return WORKED


def _direct(job: Work, cell: Cell, missing: Sequence[str], number: str) -> str:
    """A student that no mPLM teaches: translate-train-pseudo, gold-supervised."""
    from ftx_edge.benchmarks.baselines import gold_supervised, translate_train_pseudo

    suite, (lang,) = job.suite, missing
    if cell.method == TRANSLATED and not _teachers_are_there(job, cell.source):
        return WAITS
    job.progress.note(f"cell {number}: {cell.place}")
    recipe, run = recipe_of(suite, cell), run_folder(suite, cell)
    if cell.method == GOLD:
        labelled, task = suite.data.file("gold", lang), suite.task(cell)
        gold_supervised(labelled, run, recipe, lang=lang, task=task, progress=job.progress)
    else:
        mt = suite.baselines.translate_train_pseudo[lang]
        translate_train_pseudo(run, recipe, lang=lang, mt=mt, cache=suite.runs, progress=job.progress)
    measure_student(job, cell, run, lang)
    return WORKED


_DO: dict[str | None, Callable[..., str]] = {
    SOURCE: _source,
    TRANSLATE_TEST: _translate_test,
    GOLD: _direct,
    TRANSLATED: _direct,
    TFIDF: _tfidf,
}
"""How a cell that is no distillation is done, by its method or student."""


def _teachers_are_there(job: Work, name: str) -> bool:
    """Train the source models that are not there; False while another process does."""
    from ftx_edge.source import train_source

    source = job.suite.sources[name]
    if not source.train.labelled:
        return True
    for task in source.heads:
        folder = source_folder(job.suite, name, task)
        if _is_trained(folder):
            continue
        with try_lock(job.suite.runs / "locks", str(folder)) as mine:
            if not mine:
                return False
            if not _is_trained(folder):
                job.progress.note(f"source model {name}, {task}")
                train_source(
                    source.train.labelled,
                    folder,
                    task=task,
                    architecture=source.train.architecture,
                    epochs=source.train.epochs,
                    seed=source.train.seed,
                    progress=job.progress,
                )
    return True


def _is_trained(folder: Path) -> bool:
    """Whether a source model is there: a run that has its student, or a Hugging Face folder."""
    layout = RunLayout(folder)
    if layout.record.is_file():
        return layout.finished("students/en") is not None
    return (folder / "config.json").is_file()


@contextlib.contextmanager
def _step1(job: Work, cell: Cell, run: Path) -> Iterator[tuple[bool, Path | None]]:
    """Whether this cell may be distilled now, and the run whose step 1 it takes over, if any.

    It may not while another process makes the step 1 that it would make.
    """
    key = step1_key(job.suite, cell)
    if _has_step1(run):
        yield True, None
    elif (found := _maker(job.suite, key)) is not None:
        yield True, found
    else:
        with try_lock(job.suite.runs / "locks", f"step 1 {key}") as mine:
            found = _maker(job.suite, key)  # it may just have ended
            if mine and found is None:
                with write_atomically(_marker(job.suite, key)) as aside:
                    aside.write_text(str(run), encoding="utf-8")
                makers = (_maker(job.suite, earlier) for earlier in earlier_keys(job.suite, cell))
                found = next((maker for maker in makers if maker is not None), None)
            yield mine or found is not None, found


def _marker(suite: Suite, key: str) -> Path:
    return suite.runs / "step1" / key[:16]


def _maker(suite: Suite, key: str) -> Path | None:
    """The run that did the step 1 with that key."""
    marker = _marker(suite, key)
    path = Path(marker.read_text(encoding="utf-8")) if marker.is_file() else None
    return path if path is not None and _has_step1(path) else None


def _has_step1(run: Path) -> bool:
    layout = RunLayout(run)
    return layout.record.is_file() and layout.finished("mplm") is not None
