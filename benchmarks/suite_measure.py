"""What a cell of a suite is worth: its mPLM, its student, its package, as records."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ftx_edge.benchmarks.accuracy import figures
from ftx_edge.benchmarks.suite import GOLD, Cell, Suite
from ftx_edge.benchmarks.suite_keys import fingerprint, mplm_fingerprint, recipe_of
from ftx_edge.benchmarks.tables import FAILURE, Measurement, MeasurementStore
from ftx_edge.errors import GateError
from ftx_edge.runs import RunLayout

if TYPE_CHECKING:
    from ftx_edge.distillation.progress import Progress
    from ftx_edge.soft_labels import Teacher


@dataclass(frozen=True)
class Work:
    """What doing a cell needs besides the cell."""

    suite: Suite
    store: MeasurementStore
    progress: Progress

    def command(self, cell: Cell) -> str:
        """What measures a cell again."""
        chosen = {"source": cell.source, "mplm": cell.mplm, "method": cell.method, "student": cell.student}
        only = ",".join(
            f"{key}={value}" for key, value in {**chosen, "seed": cell.seed}.items() if value is not None
        )
        quick = " --quick" if self.suite.quick else ""
        return f"ftx-edge benchmark accuracy {self.suite.given}{quick} --only {only}"

    def record(self, cell: Cell, lang: str, metric: str, value: float, **known: object) -> Measurement:
        """A figure of a cell."""
        task = self.suite.task(cell)
        alignment = None
        if cell.student is not None and task != "classification":
            alignment = recipe_of(self.suite, cell).alignment
        values = {
            "source": cell.source,
            "method": cell.method,
            "mplm": cell.mplm,
            "student": cell.student,
            "seed": cell.seed,
            "alignment": alignment,
            "language": lang,
            "task": task,
            "metric": metric,
            "value": value,
            "command": self.command(cell),
            **known,
        }
        if cell.method == GOLD:  # one for all sources
            values["source"] = None
        return Measurement(**values)  # type: ignore[arg-type]


def measure_mplm(job: Work, cell: Cell, run: Path) -> None:
    """What teaches the students, in English and in the cell's languages: the mPLM, or several on average.

    What a cell with the same teacher found is taken.
    """
    for lang in ("en", *cell.languages):
        mine = mplm_fingerprint(job.suite, cell, lang)
        kept = job.store.read()
        if any(record.fingerprint == mine for record in kept):
            continue
        same = {mplm_fingerprint(job.suite, cell, lang, method): method for method in job.suite.methods}
        found = [record for record in kept if record.fingerprint in same]
        if found:
            first = found[0].fingerprint
            records = [
                replace(record, method=cell.method, fingerprint=mine, command=job.command(cell))
                for record in found
                if record.fingerprint == first
            ]
        else:
            records = scores(job, cell, lang, _mplm(job, cell, run, lang), student=None, fingerprint=mine)
        job.store.add(records)


def _mplm(job: Work, cell: Cell, run: Path, lang: str) -> str | Teacher:
    """An encoder that no cell trains is asked of each test set once for all of them."""
    import torch

    from ftx_edge.distillation.mplm_teacher import teacher_of_finished
    from ftx_edge.teachers.run import open_run

    name = f"{run}#mplm" + ("" if lang == "en" else f"@{lang}")
    recipe = recipe_of(job.suite, cell)
    if recipe.ensemble.mplms:
        return teacher_of_finished(run, lang, device=torch.device(_device(job, cell)))
    if not recipe.trains_heads_alone("mplm") or job.suite.task(cell) != "classification":
        return f"run:{name}"
    return open_run(name, device=torch.device(_device(job, cell)), kept=job.suite.runs)


def measure_student(job: Work, cell: Cell, run: Path, lang: str) -> None:
    """A student as it was distilled and as an int8 package; all of its records or none."""
    from ftx_edge.exporters import export

    records = scores(job, cell, lang, f"run:{run}#{lang}")
    mark = {"fingerprint": records[0].fingerprint}
    weights = (RunLayout(run).student(lang) / "model.safetensors").stat().st_size
    records.append(job.record(cell, lang, "size_bytes", weights, precision="fp32", **mark))
    try:
        (exported,) = export(run, [lang], max_drop=job.suite.max_drop, archive=False)
    except GateError as error:
        job.progress.note(f"{cell.place}, {lang}: {error}")
        records.append(job.record(cell, lang, FAILURE, 1.0, precision="int8", note=str(error), **mark))
    else:
        records += scores(job, cell, lang, str(exported.folder), precision="int8")
        records.append(job.record(cell, lang, "size_bytes", exported.size, precision="int8", **mark))
    job.store.add(records)


def scores(
    job: Work, cell: Cell, lang: str, target: str | Teacher, *, precision: str = "fp32", **known: object
) -> list[Measurement]:
    """A record for each figure that a target has on the test set of a language."""
    from ftx_edge.evaluation import evaluate

    of_a_model = known.get("student", cell.student) or "the mPLM"
    job.progress.note(f"  {target if isinstance(target, str) else of_a_model} on {lang}")
    evaluation = evaluate(
        target,
        job.suite.data.file("test", lang),
        reference="none",
        language=lang,
        device=_device(job, cell),
    )
    known = (
        {"fingerprint": fingerprint(job.suite, cell, lang), **known} if "fingerprint" not in known else known
    )
    return [
        job.record(cell, lang, metric, value, precision=precision, n_test=evaluation.n, **known)
        for metric, value in figures(evaluation).items()
    ]


def _device(job: Work, cell: Cell) -> str:
    """Where torch models are scored: where they are distilled."""
    import torch

    asked = recipe_of(job.suite, cell).device if cell.student is not None else "auto"
    if asked != "auto":
        return asked
    return "cuda" if torch.cuda.is_available() else "cpu"
