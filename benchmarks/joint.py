"""What one joint package saves beside a classifier and a tagger that are run one after the other.

``python -m ftx_edge.benchmarks.joint JOINT CLASSIFIER TAGGER --test FILE --out docs/results/joint-pt.json``
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import typer

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
from ftx_edge.data import Utterance, read_utterances
from ftx_edge.errors import DataError, UsageError
from ftx_edge.evaluation import evaluate
from ftx_edge.runtime import Package, Prediction, load

JOINT, PAIR = "joint package", "classifier, then tagger"
TASKS = ("joint", "classification", "tagging")


@dataclass(frozen=True)
class Setting:
    """One of the two ways.

    Attributes:
        name: ``joint package`` or ``classifier, then tagger``.
        accuracy: of the label, between 0 and 1.
        span_f1: micro F1 over words, between 0 and 1.
        exact: share of texts with the label and every span right, character by character.
        latency: text to label and spans, tokenizers included, in the steady state.
        size: bytes of all files.
    """

    name: str
    accuracy: float
    span_f1: float
    exact: float
    latency: Latency
    size: int

    def to_row(self) -> dict[str, Any]:
        """A line of the table."""
        return {
            "on the device": self.name,
            "accuracy": as_percent(self.accuracy),
            "span F1": as_percent(self.span_f1),
            "all right": as_percent(self.exact),
            "p50": f"{self.latency.p50:.3f} ms",
            "p95": f"{self.latency.p95:.3f} ms",
            "size": f"{self.size / 1e6:.1f} MB",
        }


@dataclass(frozen=True)
class JointReport:
    """Both ways, and what they were measured on."""

    packages: tuple[str, str, str]
    language: str
    architectures: tuple[str, str, str]
    test: str
    test_sha256: str
    n_test: int
    texts: int
    rounds: int
    threads: int
    settings: tuple[Setting, Setting]
    command: str
    machine: Machine = field(default_factory=this_machine)

    @property
    def latency_share(self) -> float:
        """Median of the joint package as a share of the pair's."""
        joint, pair = self.settings
        return joint.latency.p50 / pair.latency.p50

    @property
    def size_share(self) -> float:
        """Bytes of the joint package as a share of the pair's."""
        joint, pair = self.settings
        return joint.size / pair.size

    def to_dict(self) -> dict[str, Any]:
        """For JSON: plain values."""
        return {**asdict(self), "latency_share": self.latency_share, "size_share": self.size_share}

    def to_markdown(self) -> str:
        """The table, with what it says and where it comes from."""
        threads = f"{self.threads} thread{'s' if self.threads > 1 else ''}"
        what = (
            f"{', '.join(dict.fromkeys(self.architectures))}, int8 packages; {self.n_test} test utterances, "
            f"latency over {self.texts} of them in turns, {self.rounds} rounds, {threads}, {self.machine}. "
            f"The joint package takes {self.latency_share:.0%} of the time of the two and "
            f"{self.size_share:.0%} of their bytes."
        )
        rows = markdown_table([setting.to_row() for setting in self.settings])
        title = f"# {self.language}: one joint package beside a classifier and a tagger"
        return f"{title}\n\n{what}\n\n{rows}\nMade by `{self.command}`.\n"


def benchmark_joint(
    joint: Path | str,
    classifier: Path | str,
    tagger: Path | str,
    test: Path | str,
    *,
    partition: str | None = None,
    limit: int = 200,
    rounds: int = 5,
    warmup: int = 20,
    threads: int = 1,
    command: str = "",
) -> JointReport:
    """Score a joint package and a pair of single ones on the same texts, and time them in turns.

    Args:
        joint, classifier, tagger: packages of one language.
        test: utterances with labels and spans.
        partition: of a MASSIVE file: ``dev`` or ``test``.
        limit: most texts of which latency is measured, evenly spaced.
        rounds: how often each is answered both ways.
        warmup: calls of each way before the first that counts.
        threads: of ONNX Runtime.
        command: what made the report, for the report.

    Raises:
        UsageError: packages of other tasks or of several languages.
        DataError: the test set has no labels or no spans, or cannot be read.
    """
    if min(limit, rounds, threads) < 1 or warmup < 0:
        raise UsageError("texts, rounds and threads must be at least 1")
    paths = (str(joint), str(classifier), str(tagger))
    whole, labels, spans = packages = [load(path, intra_op_num_threads=threads) for path in paths]
    _check(packages, paths)
    texts = texts_to_time(test, partition, limit)

    def pair(text: str) -> Prediction:
        said = labels.predict(text)
        return replace(said, spans=spans.predict(text).spans)

    latencies = take_turns({JOINT: whole.predict, PAIR: pair}, texts, rounds=rounds, warmup=warmup)
    evaluations = [
        evaluate(path, test, reference="none", language=whole.manifest.language, partition=partition)
        for path in paths
    ]
    settings = []
    gold = read_utterances(Path(test), partition)
    for name, answer, label_row, span_row, files in (
        (JOINT, whole.predict, 0, 0, paths[:1]),
        (PAIR, pair, 1, 2, paths[1:]),
    ):
        accuracy, span_scores = evaluations[label_row].accuracy, evaluations[span_row].spans
        if accuracy is None or span_scores is None:
            raise DataError("a joint package needs labels and spans to be compared", path=test)
        settings.append(
            Setting(
                name=name,
                accuracy=accuracy.value,
                span_f1=span_scores.micro.f1,
                exact=_exact(answer, gold),
                latency=latencies[name],
                size=sum(package_size(Path(path)) for path in files),
            )
        )
    manifests = [package.manifest for package in packages]
    return JointReport(
        packages=paths,
        language=manifests[0].language,
        architectures=(manifests[0].architecture, manifests[1].architecture, manifests[2].architecture),
        test=str(test),
        test_sha256=evaluations[0].test_sha256,
        n_test=evaluations[0].n,
        texts=len(texts),
        rounds=rounds,
        threads=threads,
        settings=(settings[0], settings[1]),
        command=command,
    )


def _check(packages: Sequence[Package], paths: Sequence[str]) -> None:
    languages = {package.manifest.language for package in packages}
    if len(languages) > 1:
        raise UsageError(f"packages of one language are compared, not of {', '.join(sorted(languages))}")
    for package, path, task in zip(packages, paths, TASKS, strict=True):
        if package.manifest.task != task:
            raise UsageError(f"{path} is a package for {package.manifest.task}, not for {task}")


def _exact(answer: Callable[[str], Prediction], gold: Sequence[Utterance]) -> float:
    """Share of texts with the label and every span right."""
    right = 0
    for utterance in gold:
        said = answer(utterance.text)
        found = {(span.start, span.end, span.label) for span in said.spans or ()}
        true = {(span.start, span.end, span.label) for span in utterance.spans or ()}
        right += said.label == utterance.label and found == true
    return right / len(gold)


app = typer.Typer(help=__doc__)


@app.command()
def _joint(
    joint: Annotated[Path, typer.Argument(help="Package with label and spans.")],
    classifier: Annotated[Path, typer.Argument(help="Package with the label alone.")],
    tagger: Annotated[Path, typer.Argument(help="Package with the spans alone.")],
    test: Annotated[Path, typer.Option(help="Utterances with labels and spans.")],
    out: OutOption = None,
    partition: PartitionOption = None,
    limit: LimitOption = 200,
    rounds: RoundsOption = 5,
    threads: ThreadsOption = 1,
) -> None:
    """Measure a joint package beside a classifier and a tagger, in one run."""
    check_out(out)
    report = benchmark_joint(
        joint,
        classifier,
        tagger,
        test,
        partition=partition,
        limit=limit,
        rounds=rounds,
        threads=threads,
        command=" ".join(["python -m ftx_edge.benchmarks.joint", *sys.argv[1:]]),
    )
    if out is not None:
        write_report(report, out)
    typer.echo(report.to_markdown())


if __name__ == "__main__":
    run_program(app)
