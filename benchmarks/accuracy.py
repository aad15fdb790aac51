"""How good everything between the source model and the int8 package is, on labelled text.

``python -m ftx_edge.benchmarks.accuracy RUN ... --test en=FILE --test pt=FILE --out docs/results/NAME.json``
scores source model, mPLM, each student (fp32) and each exported package (int8) of the runs, and
translate-test beside them; it keeps the measurements as records and writes a table of them next to the JSON.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ftx_edge.benchmarks.program import run_program
from ftx_edge.benchmarks.tables import Measurement, MeasurementStore, markdown_table, pivot
from ftx_edge.errors import UsageError
from ftx_edge.evaluation import Evaluation, evaluate
from ftx_edge.files import write_atomically
from ftx_edge.recipe import Recipe
from ftx_edge.runs import RunLayout

if TYPE_CHECKING:
    from ftx_edge.distillation.progress import Progress

METRICS = {"accuracy": "label accuracy", "span_f1": "span F1", "joint": "label and spans right"}


@dataclass(frozen=True)
class Subject:
    """Something to score: its place in a record, and the target that ``evaluate`` understands."""

    method: str
    target: str
    language: str
    student: str | None = None
    precision: str | None = None


def subjects(run: Path, languages: Sequence[str], mt: Mapping[str, str]) -> Iterator[Subject]:
    """All that a run has to score in these languages; translators by language."""
    layout, recipe = RunLayout(run), Recipe.read(RunLayout(run).recipe)
    for language in languages:
        if language == "en":
            for spec in filter(None, (recipe.teacher.label, recipe.teacher.tag)):
                yield Subject("source", spec, "en", precision="fp32")
        yield Subject("mplm", f"run:{run}#mplm", language, precision="fp32")
    for language in layout.languages():
        if language not in languages:
            continue
        student = recipe.student.architecture
        yield Subject("student", f"run:{run}#{language}", language, student, "fp32")
        if (package := layout.package(language)).is_dir():
            yield Subject("student", str(package), language, student, "int8")
    for language, spec in mt.items():
        if recipe.teacher.label:
            target = f"translate-test:{spec}+{recipe.teacher.label}"
            yield Subject("translate-test", target, language, precision="fp32")


def measure(
    runs: Sequence[Path],
    tests: Mapping[str, Path],
    store: MeasurementStore,
    *,
    mt: Mapping[str, str] | None = None,
    command: str,
    progress: Progress | None = None,
) -> list[Measurement]:
    """Score what the runs have in the languages of ``tests``; each target once, and add it to ``store``.

    Raises:
        UsageError: a run without its recipe, a test set of an unknown language.
    """
    done: set[tuple[str, str]] = set()
    measured: list[Measurement] = []
    for run in runs:
        recipe = Recipe.read(RunLayout(run).recipe)
        for subject in subjects(run, list(tests), mt or {}):
            target = "mplm of one step 1" if subject.method == "mplm" and len(runs) > 1 else subject.target
            if (target, subject.language) in done:
                continue
            done.add((target, subject.language))
            if progress:
                progress.note(f"{subject.method} {subject.target} on {subject.language}")
            evaluation = evaluate(
                subject.target, tests[subject.language], reference="none", language=subject.language
            )
            measured += records(subject, evaluation, recipe, command)
    store.add(measured)
    return measured


def records(subject: Subject, evaluation: Evaluation, recipe: Recipe, command: str) -> Iterator[Measurement]:
    """A record for each figure that the target has."""
    for metric, value in figures(evaluation).items():
        if metric in METRICS:
            yield Measurement(
                method=subject.method,
                metric=metric,
                value=value,
                language=subject.language,
                task={"accuracy": "classification", "span_f1": "tagging", "joint": "joint"}[metric],
                command=command,
                source=recipe.teacher.label or recipe.teacher.tag,
                mplm=recipe.mplm.name,
                alignment=recipe.alignment if metric != "accuracy" else None,
                student=subject.student,
                precision=subject.precision,
                seed=recipe.seed,
                n_test=evaluation.n,
            )


def figures(evaluation: Evaluation) -> dict[str, float]:
    """Those of ``accuracy``, ``span_f1``, ``joint`` and ``ece`` (calibration error) that there are."""
    values = {
        "accuracy": evaluation.accuracy.value if evaluation.accuracy else None,
        "span_f1": evaluation.spans.micro.f1 if evaluation.spans else None,
        "joint": evaluation.joint.value if evaluation.joint else None,
        "ece": evaluation.calibration.error if evaluation.calibration else None,
    }
    return {metric: round(value, 5) for metric, value in values.items() if value is not None}


def table(measurements: Sequence[Measurement]) -> str:
    """Markdown: a block a metric, a line a model, a column a language; percent."""
    blocks = []
    for metric, title in METRICS.items():
        chosen = [m for m in measurements if m.metric == metric]
        if chosen:
            rows = pivot(chosen, rows=("method", "student", "precision"), columns="language")
            blocks.append(f"### {title}, %\n\n{markdown_table(rows)}")
    return "\n".join(blocks)


def pairs(values: Sequence[str], what: str) -> dict[str, str]:
    """``pt=FILE`` as a mapping; raises UsageError for anything else."""
    found = {}
    for value in values:
        language, equals, rest = value.partition("=")
        if not (language and equals and rest):
            raise UsageError(f"{what} {value!r}: expected LANG=..., as in pt={what.strip('-')}")
        found[language] = rest
    return found


def main(
    runs: Annotated[list[Path], typer.Argument(help="Runs of `ftx-edge distill`, exported or not.")],
    test: Annotated[list[str], typer.Option(metavar="LANG=FILE", help="Labelled utterances; repeat.")],
    out: Annotated[Path, typer.Option(help="Records (JSON); the table goes beside it (.md).")],
    mt: Annotated[
        list[str] | None, typer.Option(metavar="LANG=TRANSLATOR", help="For translate-test.")
    ] = None,
) -> None:
    """Score source model, mPLM, students, packages and translate-test on labelled text."""
    from ftx_edge.cli.progress import progress

    command = "python -m ftx_edge.benchmarks.accuracy " + shlex.join(sys.argv[1:])
    tests = {language: Path(file) for language, file in pairs(test, "--test").items()}
    with progress() as shown:
        found = measure(
            runs, tests, MeasurementStore(out), mt=pairs(mt or [], "--mt"), command=command, progress=shown
        )
    text = f"Made by `{command}`, {found[0].n_test:,} utterances a language.\n\n{table(found)}"
    with write_atomically(out.with_suffix(".md")) as aside:
        aside.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    run_program(lambda: typer.run(main))
