"""``benchmark_accuracy``: a suite from its file to its tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ftx_edge.benchmarks.accuracy import METRICS
from ftx_edge.benchmarks.machine import this_machine
from ftx_edge.benchmarks.matrix_plot import plot_matrix
from ftx_edge.benchmarks.suite import Cell, Suite
from ftx_edge.benchmarks.suite_figures import Figures, current
from ftx_edge.benchmarks.suite_file import read_suite
from ftx_edge.benchmarks.suite_measure import Work
from ftx_edge.benchmarks.suite_run import begin, states, work
from ftx_edge.benchmarks.suite_tables import matrices, matrix_name, suite_markdown
from ftx_edge.benchmarks.tables import ENVIRONMENT, Measurement, MeasurementStore
from ftx_edge.errors import FtxError, UsageError
from ftx_edge.files import write_atomically
from ftx_edge.processes import more_processes
from ftx_edge.runs import versions

if TYPE_CHECKING:
    from ftx_edge.distillation.progress import Progress

KEYS = ("source", "mplm", "method", "student", "seed", "language")


@dataclass(frozen=True)
class CellState:
    """A cell and whether it is ``done``, ``failed`` (and why), ``taken`` by another process, or ``left``."""

    cell: Cell
    state: str
    reason: str | None = None


@dataclass(frozen=True)
class AccuracyReport:
    """What a suite has, and where: ``written`` are tables and pictures, made from ``records`` alone."""

    name: str
    cells: tuple[CellState, ...]
    records: Path
    written: tuple[Path, ...] = ()

    def count(self, state: str) -> int:
        """How many cells are in that state."""
        return sum(cell.state == state for cell in self.cells)


def benchmark_accuracy(
    suite: Path | str,
    *,
    only: Sequence[str] = (),
    quick: bool = False,
    dry_run: bool = False,
    tables: Literal["too", "only", "none"] = "too",
    jobs: int = 1,
    progress: Progress | None = None,
) -> AccuracyReport:
    """Measure what is left of a suite, and make its tables and pictures from all that was measured.

    What is done is not done again, and a process that was killed goes on. Any number of processes may be at
    the same suite.

    Args:
        suite: a TOML file, or the name of a suite that comes with FTX-Edge.
        only: filters such as ``method=naive,student=cnn``; a cell must pass one of them. ``a|b`` allows both.
        quick: the small grid that ``[quick]`` describes, into records of its own.
        dry_run: list the cells; nothing is computed or written.
        tables: make tables and pictures from the records too, or do only that, or leave them as they are.
        jobs: processes to share the work among.
        progress: is told of every stage of this process.

    Raises:
        DataError: the suite, or a file that it names, cannot be used.
        UsageError: a filter that no cell passes.
        FtxError: another process of this suite failed; says where its log is. Tables alone, and no records.
    """
    from ftx_edge.distillation.progress import Silent

    if jobs < 1:
        raise UsageError(f"jobs must be at least 1, not {jobs}")
    read = read_suite(suite, quick=quick)
    cells = chosen(read, only)
    progress = progress or Silent()
    if not dry_run and tables != "only":
        store = MeasurementStore(read.out)
        _note_environment(read, store)
        arguments = ["benchmark", "accuracy", read.given, "--no-tables", *(["--quick"] * quick)]
        arguments += [x for filter_ in only for x in ("--only", filter_)]
        job = Work(read, store, progress)
        if jobs > 1:
            begin(job, cells, processes=jobs)
        with more_processes(jobs - 1, arguments, logs=read.runs / "logs", progress=progress) as failed:
            work(job, cells)
        if failed:
            raise FtxError(f"another process of this suite failed: {failed[0]}")
    if tables == "only" and not dry_run:
        # From the records alone: the models and the text that they were measured with may be gone.
        if not (written := write_tables(read.name, read.out)):
            raise FtxError(f"{read.out}: nothing has been measured yet: leave --tables out")
        return AccuracyReport(read.name, (), read.out, written)
    found = [CellState(cell, *state) for cell, state in zip(cells, states(read, cells), strict=True)]
    written = write_tables(read.name, read.out) if tables != "none" and not dry_run else ()
    return AccuracyReport(read.name, tuple(found), read.out, written)


def write_tables(name: str, records: Path) -> tuple[Path, ...]:
    """Write the tables beside the records, and a picture for each matrix of sources and students.

    The same records give the same bytes. Without records nothing is written.
    """
    found = MeasurementStore(records).read()
    if not found:
        return ()
    last = current(found)
    pictures = {}
    for metric, title in METRICS.items():
        for (mplm, method), rows in matrices(Figures.of(last, metric)).items():
            key = matrix_name(metric, mplm, method)
            path = records.with_name(f"{records.stem}-{key}.png")
            note = f"{title}, mean over the target languages, %; int8; {method}, {mplm}"
            pictures[key] = plot_matrix(rows, path, title="Any source, any student", note=note)
    text = suite_markdown(found, name, {key: path.name for key, path in pictures.items()})
    with write_atomically(records.with_suffix(".md")) as aside:
        aside.write_text(text, encoding="utf-8")
    return (records.with_suffix(".md"), *pictures.values())


def chosen(suite: Suite, only: Sequence[str]) -> list[Cell]:
    """The cells that pass one of the filters; all of them where there is none.

    ``language=`` makes a run of fewer languages where step 1 learns from English alone, else it takes the
    cells that have the language.

    Raises:
        UsageError: a filter that cannot be read, or that no cell passes.
    """
    cells = suite.cells()
    if not only:
        return cells
    found: dict[Cell, None] = {}
    for filter_ in only:
        wanted = _wanted(filter_)
        passed = [narrowed for cell in cells if (narrowed := _pass(suite, cell, wanted)) is not None]
        if not passed:
            raise UsageError(f"--only {filter_}: no cell of {suite.given} passes; --dry-run lists them")
        found |= dict.fromkeys(passed)
    return list(found)


def _wanted(filter_: str) -> dict[str, set[str]]:
    wanted = {}
    for part in filter_.split(","):
        key, equals, values = part.strip().partition("=")
        if key not in KEYS or not equals or not values:
            raise UsageError(f"--only {part!r}: expected KEY=VALUE with one of the keys {', '.join(KEYS)}")
        wanted[key] = set(values.split("|"))
    return wanted


def _pass(suite: Suite, cell: Cell, wanted: dict[str, set[str]]) -> Cell | None:
    for key, values in wanted.items():
        if key != "language" and str(getattr(cell, key)) not in values:
            return None
    languages = wanted.get("language", set(cell.languages))
    kept = tuple(lang for lang in cell.languages if lang in languages)
    if not kept:
        return None
    alone = cell.student is None or suite.recipe_of(cell, label="any").balance.method == "none"
    return replace(cell, languages=kept) if alone else cell


def _note_environment(suite: Suite, store: MeasurementStore) -> None:
    """Say once in the records on what they were made."""
    said = ", ".join(f"{name} {version}" for name, version in versions().items())
    note = f"{this_machine()}; {said}"
    if any(record.metric == ENVIRONMENT and record.note == note for record in store.read()):
        return
    command = f"ftx-edge benchmark accuracy {suite.given}" + (" --quick" if suite.quick else "")
    store.add([Measurement(ENVIRONMENT, ENVIRONMENT, 0.0, "", "", command, note=note)])
