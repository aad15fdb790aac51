"""Write the result table of README.md from the figures in docs/results/, or check that it is current.

Usage: python tools/readme_results.py [--write]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from statistics import fmean

from ftx_edge.benchmarks.suite_figures import Figures, current
from ftx_edge.benchmarks.tables import Measurement, MeasurementStore, markdown_table

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "docs" / "results"
STUDENTS = ("transformer", "cnn", "static")
INTENTS = {
    ("source", None, "fp32"): "English model, on English",
    ("neighbours", None, "fp32"): "multilingual LM after step 1",
    ("neighbours", "tfidf", "fp32"): "TF-IDF on its labels",
    ("neighbours", "cnn-narrow", "int8"): "**cnn student, int8**",
}
SLOTS = {
    ("source", None, "fp32"): "English model, on English",
    ("neighbours", None, "fp32"): "multilingual LM after step 1",
    ("neighbours", "cnn-narrow", "int8"): "**the same cnn student, int8**",
}
"""Method, student and precision in the suite nine, its joint source, and what the README calls them."""
START, END = "<!-- results:start -->", "<!-- results:end -->"


def block() -> str:
    """What stands between the markers."""
    records = MeasurementStore(RESULTS / "massive-pt.json").latest()
    latency = {
        student: json.loads((RESULTS / f"latency-{student}.json").read_text(encoding="utf-8"))
        for student in STUDENTS
        if (RESULTS / f"latency-{student}.json").is_file()
    }
    (first, *_) = latency.values()
    rows = [
        _row("English model, on English", _accuracy(records, "source", "en")),
        _row("multilingual LM after step 1", _accuracy(records, "mplm", "pt")),
        _row(
            "translate to English, then classify",
            _accuracy(records, "translate-test", "pt"),
            first["translate_test"]["p50"],
        ),
    ]
    for student, report in latency.items():
        rows.append(
            _row(
                f"**{student} student, int8**",
                _accuracy(records, "student", "pt", student),
                report["student"]["p50"],
                report["ratio"],
                report["size"],
            )
        )
    machine = first["machine"]
    pytorch = json.loads((RESULTS / "latency-cnn-pytorch.json").read_text(encoding="utf-8"))["ratio"]
    return (
        f"{START}\n60 intents of MASSIVE, trained without a Portuguese label or parallel text, one seed, "
        f"{records[0].n_test:,} Portuguese test utterances; one thread of "
        f"{machine['processor']}, tokenizer included:\n\n{markdown_table(rows)}\n"
        "Each student was timed in turns with the baseline, in a run of its own; the first of them is shown. "
        "The baseline's English model is an int8 ONNX package too; beside the PyTorch model that taught, "
        f"the cnn student is {pytorch:.0f} times faster.\n\n"
        f"{_with_a_translator()}"
        f"![Latency of the CNN student beside translate-test](docs/results/latency-cnn.png)\n\n"
        f"Made by the commands in [examples/massive-pt](examples/massive-pt/README.md).\n{_nine()}{END}"
    )


def _with_a_translator() -> str:
    """What a translator while distilling is worth, mean over the seeds."""
    figures = Figures.of(current(MeasurementStore(RESULTS / "portuguese.json").read()), "accuracy")
    (cnn,) = (
        figures.mean(model)
        for model in figures.values
        if (model.method, model.student, model.precision)
        == ("neighbours-whole-and-translations", "cnn", "int8")
    )
    return (
        "With a translator at hand while distilling, by [recipes/best.toml](recipes/best.toml), the cnn "
        f"student reaches {100 * fmean(cnn):.1f} % (mean of {len(cnn)} seeds; "
        "[table](docs/results/portuguese.md)).\n\n"
    )


def _nine() -> str:
    """One student of intents and slots in nine languages, beside its teacher and what it has to beat."""
    return (
        "\nOne student for intents and slots in each of nine languages, step 1 on all at once, without a "
        "translator or a label of theirs. The intents:\n\n"
        f"{_table('accuracy', 'accuracy', INTENTS)}\n"
        "And the slots of MASSIVE, 55 kinds of spans:\n\n"
        f"{_table('span_f1', 'span F1', SLOTS)}\n"
        "Made by the commands in [examples/massive](examples/massive/README.md); all tables are in "
        "[docs/results](docs/results/).\n"
    )


def _table(metric: str, title: str, chosen: dict[tuple[str, str | None, str], str]) -> str:
    """A line for each that is chosen, with its mean over the target languages."""
    figures = Figures.of(current(MeasurementStore(RESULTS / "nine.json").read()), metric)
    rows = []
    for subject, name in chosen.items():
        for model, seeds in figures.values.items():
            if model.source != "joint" or (model.method, model.student, model.precision) != subject:
                continue
            found = next(iter(seeds.values()))
            mean = figures.mean(model) if len(found) > 1 else [found["en"]]
            rows.append(
                {title: name, "mean": f"{100 * mean[0]:.1f}"}
                | {lang: f"{100 * found[lang]:.1f}" if lang in found else None for lang in figures.languages}
            )
    return markdown_table(rows)


def _row(
    name: str, accuracy: float, p50: float | None = None, ratio: float | None = None, size: int | None = None
) -> dict[str, str | None]:
    return {
        "Portuguese": name,
        "accuracy": f"{100 * accuracy:.1f} %",
        "median latency": None if p50 is None else f"{p50:.2f} ms",
        "times faster": None if ratio is None else f"{ratio:.0f}",
        "package": None if size is None else f"{size / 1e6:.1f} MB",
    }


def _accuracy(records: list[Measurement], method: str, language: str, student: str | None = None) -> float:
    precision = "int8" if student else "fp32"
    for record in records:
        subject = (record.method, record.metric, record.language, record.student, record.precision)
        if subject == (method, "accuracy", language, student, precision):
            return record.value
    raise SystemExit(f"massive-pt.json has no accuracy of {method} {student or ''} on {language}")


def main() -> None:
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    before, rest = text.split(START)
    current = before + block() + rest.split(END)[1]
    if "--write" in sys.argv:
        readme.write_text(current, encoding="utf-8")
    elif current != text:
        raise SystemExit("README.md: the results are not those of docs/results: run with --write")


if __name__ == "__main__":
    main()
