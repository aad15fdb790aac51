"""What a word segmenter on the device is worth: the same student on raw text, and behind its segmenter.

``python -m ftx_edge.benchmarks.segmenter RUN --lang ja --test FILE --out docs/results/segmenter-ja.json``
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer

from ftx_edge.benchmarks.cold_start import LIBRARY, ColdStart, cold_start
from ftx_edge.benchmarks.latency import Latency
from ftx_edge.benchmarks.machine import Machine, this_machine
from ftx_edge.benchmarks.program import (
    LimitOption,
    OutOption,
    PartitionOption,
    RoundsOption,
    ThreadsOption,
    check_out,
    run_program,
    write_report,
)
from ftx_edge.benchmarks.tables import as_percent, markdown_table
from ftx_edge.benchmarks.turns import package_size, take_turns, texts_to_time
from ftx_edge.errors import UsageError
from ftx_edge.evaluation import evaluate
from ftx_edge.runtime import load
from ftx_edge.words import segmenter as segmenter_of

WITHOUT, BEHIND = "raw text", "behind its segmenter"
DISTRIBUTIONS = {
    "jieba": ("jieba",),
    "fugashi": ("fugashi", "unidic-lite"),
    "pythainlp": ("pythainlp",),
}
"""What a device must install for a segmenter, dictionaries included."""


@dataclass(frozen=True)
class Setting:
    """One of the two packages.

    Attributes:
        name: ``raw text`` or ``behind its segmenter``.
        accuracy, span_f1: on the labelled test set, between 0 and 1; None without that head or those labels.
        latency: text to prediction, segmenter and tokenizer included, in the steady state.
        cold_start: of a process that imports the library, loads the package and answers once.
        package_size: bytes of all files of the package.
        segmenter_size: bytes that the segmenter's distributions take once installed.
    """

    name: str
    accuracy: float | None
    span_f1: float | None
    latency: Latency
    cold_start: ColdStart
    package_size: int
    segmenter_size: int

    @property
    def installed_size(self) -> int:
        """Bytes on the device beside what every package needs."""
        return self.package_size + self.segmenter_size

    def to_row(self) -> dict[str, Any]:
        """A line of the table."""
        memory = self.cold_start.peak_memory
        return {
            "student": self.name,
            "accuracy": as_percent(self.accuracy),
            "span F1": as_percent(self.span_f1),
            "p50": f"{self.latency.p50:.3f} ms",
            "p95": f"{self.latency.p95:.3f} ms",
            "cold start": f"{self.cold_start.seconds:.2f} s",
            "peak memory": None if memory is None else f"{memory / 1e6:.0f} MB",
            "installed": f"{self.installed_size / 1e6:.1f} MB",
        }


@dataclass(frozen=True)
class SegmenterReport:
    """Both packages, and what they were measured on."""

    run: str
    language: str
    architecture: str
    task: str
    segmenter: str
    segmenter_version: str
    test: str
    test_sha256: str
    n_test: int
    texts: int
    rounds: int
    threads: int
    settings: tuple[Setting, Setting]
    command: str
    machine: Machine = field(default_factory=this_machine)

    def to_dict(self) -> dict[str, Any]:
        """For JSON: plain values."""
        settings = [{**asdict(s), "installed_size": s.installed_size} for s in self.settings]
        return {**asdict(self), "settings": settings}

    def to_markdown(self) -> str:
        """The table, with what it says and where it comes from."""
        title = f"# {self.language}: the same student with and without a word segmenter on the device"
        threads = f"{self.threads} thread{'s' if self.threads > 1 else ''}"
        what = (
            f"{self.architecture} student, {self.task}, int8; {self.segmenter} {self.segmenter_version}; "
            f"{self.n_test} test utterances, latency over {self.texts} of them in turns, "
            f"{self.rounds} rounds, {threads}, {self.machine}. "
            "Installed: the package, and the segmenter with its dictionary."
        )
        rows = markdown_table([setting.to_row() for setting in self.settings])
        return f"{title}\n\n{what}\n\n{rows}\nMade by `{self.command}`.\n"


def benchmark_segmenter(
    run: Path | str,
    language: str,
    test: Path | str,
    *,
    segmenter: str | None = None,
    partition: str | None = None,
    limit: int = 200,
    rounds: int = 5,
    warmup: int = 20,
    cold_starts: int = 5,
    threads: int = 1,
    max_drop: float = 0.01,
    command: str = "",
) -> SegmenterReport:
    """Export a student both ways, and measure both packages in turns.

    Args:
        run: a run folder with a student of the language that learned by the character bridge, or a
            classifier; one of first subwords cannot do without its segmenter.
        language: of the student.
        test: labelled utterances.
        segmenter: as in ``words.segmenter``; None: the language's own.
        partition: of a MASSIVE file: ``dev`` or ``test``.
        limit: most texts of which latency is measured, evenly spaced.
        rounds: how often each is read by both.
        warmup: calls of each before the first that counts.
        cold_starts: processes to start for each package.
        threads: of ONNX Runtime.
        max_drop: of the export's gate.
        command: what made the report, for the report.

    Raises:
        UsageError: a student of first subwords; no such student or segmenter.
        GateError: a package that fails its gate.
        MissingExtraError: the segmenter is not installed.
    """
    if min(limit, rounds, cold_starts, threads) < 1 or warmup < 0:
        raise UsageError("texts, rounds, cold starts and threads must be at least 1")
    cut = segmenter_of(language, segmenter)
    texts = texts_to_time(test, partition, limit)
    with tempfile.TemporaryDirectory() as folder:
        paths = {
            name: _export(run, language, Path(folder) / str(number), chosen, max_drop)
            for number, (name, chosen) in enumerate(((WITHOUT, None), (BEHIND, cut.name)))
        }
        packages = {name: load(path, intra_op_num_threads=threads) for name, path in paths.items()}
        if packages[WITHOUT].manifest.segmenter:
            raise UsageError(
                f"{run}: its students learned first subwords and always need their segmenter: "
                "measure a run with alignment = 'character-bridge'"
            )
        latencies = take_turns(
            {name: package.predict for name, package in packages.items()}, texts, rounds=rounds, warmup=warmup
        )
        environment = {"OMP_NUM_THREADS": str(threads)}
        settings = []
        for name, path in paths.items():
            evaluation = evaluate(str(path), test, reference="none", language=language, partition=partition)
            settings.append(
                Setting(
                    name=name,
                    accuracy=evaluation.accuracy.value if evaluation.accuracy else None,
                    span_f1=evaluation.spans.micro.f1 if evaluation.spans else None,
                    latency=latencies[name],
                    cold_start=cold_start(
                        ["-c", LIBRARY, str(path), texts[0]],
                        repeats=cold_starts,
                        environment=environment,
                        reports=True,
                    ),
                    package_size=package_size(path),
                    segmenter_size=installed_size(cut.name) if name == BEHIND else 0,
                )
            )
    manifest = packages[WITHOUT].manifest
    return SegmenterReport(
        run=str(run),
        language=language,
        architecture=manifest.architecture,
        task=manifest.task,
        segmenter=cut.name,
        segmenter_version=cut.version,
        test=str(test),
        test_sha256=evaluation.test_sha256,
        n_test=evaluation.n,
        texts=len(texts),
        rounds=rounds,
        threads=threads,
        settings=(settings[0], settings[1]),
        command=command,
    )


def installed_size(name: str) -> int:
    """Bytes of a segmenter's distributions and dictionaries, without compiled Python; 0 if it needs none."""
    total = 0
    for distribution in DISTRIBUTIONS.get(name, ()):
        for file in metadata.files(distribution) or ():
            path = Path(str(file.locate()))
            if path.suffix != ".pyc" and path.is_file():
                total += path.stat().st_size
    return total


def _export(run: Path | str, language: str, out: Path, segmenter: str | None, max_drop: float) -> Path:
    from ftx_edge.exporters import export

    (result,) = export(run, [language], out=out, segmenter=segmenter, max_drop=max_drop, archive=False)
    return result.folder


app = typer.Typer(help=__doc__)


@app.command()
def _segmenter(
    run: Annotated[Path, typer.Argument(help="Run folder with a student of the language.")],
    lang: Annotated[str, typer.Option(help="Language, such as ja.")],
    test: Annotated[Path, typer.Option(help="Labelled utterances.")],
    out: OutOption = None,
    segmenter: Annotated[str | None, typer.Option(help="Another segmenter than the language's own.")] = None,
    partition: PartitionOption = None,
    limit: LimitOption = 200,
    rounds: RoundsOption = 5,
    cold_starts: Annotated[int, typer.Option(min=1, help="Processes to start for each package.")] = 5,
    threads: ThreadsOption = 1,
    max_drop: Annotated[float, typer.Option(min=0, max=1, help="Of the export's gate.")] = 0.01,
) -> None:
    """Measure a student on raw text and behind its segmenter, in one run."""
    check_out(out)
    report = benchmark_segmenter(
        run,
        lang,
        test,
        segmenter=segmenter,
        partition=partition,
        limit=limit,
        rounds=rounds,
        cold_starts=cold_starts,
        threads=threads,
        max_drop=max_drop,
        command=" ".join(["python -m ftx_edge.benchmarks.segmenter", *sys.argv[1:]]),
    )
    if out is not None:
        write_report(report, out)
    typer.echo(report.to_markdown())


if __name__ == "__main__":
    run_program(app)
