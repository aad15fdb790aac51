"""`ftx-edge evaluate`: how well a package, a run or a teacher does on labelled text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ftx_edge.cli.options import Json
from ftx_edge.cli.output import print_json, print_table
from ftx_edge.cli.progress import progress

if TYPE_CHECKING:
    from ftx_edge.evaluation import Evaluation
    from ftx_edge.metrics import LabelScore, Proportion, Score


def evaluate_cli(
    target: Annotated[
        str,
        typer.Argument(
            metavar="PACKAGE|RUN|TEACHER",
            help="A package, a run folder, or a teacher such as hf:PATH or run:RUN#mplm.",
        ),
    ],
    test: Annotated[Path, typer.Option(help="Labelled text: jsonl, csv, tsv, MASSIVE, MTOP, CoNLL.")],
    lang: Annotated[
        str | None, typer.Option(help="Language of the test set; which student of a run is meant.")
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(help="What to agree with; by default the mPLM of the package's run. none: nothing."),
    ] = None,
    partition: Annotated[
        str | None, typer.Option(help="train, dev or test of a MASSIVE file, which holds all.")
    ] = None,
    device: Annotated[Literal["cpu", "cuda", "mps"], typer.Option(help="Of torch models.")] = "cpu",
    worst: Annotated[int, typer.Option(min=0, help="How many confusions to list.")] = 10,
    json: Json = False,
) -> None:
    """Measure accuracy with its interval, span F1, agreement with the mPLM, and the worst confusions.

    Only this command, the benchmarks and train-source read labels.

    \b
    Examples:
        ftx-edge evaluate run/packages/pt --test pt.test.jsonl
        ftx-edge evaluate run:runs/demo#mplm --test pt.test.jsonl --lang pt
        ftx-edge evaluate hf:my-english-model --test en.test.jsonl --json
    """
    from ftx_edge import evaluate

    with progress() as shown:
        result = evaluate(
            target,
            test,
            reference=reference,
            language=lang,
            partition=partition,
            device=device,
            worst=worst,
            progress=shown,
        )
    if json:
        print_json(result.to_dict())
    else:
        _print(result)


def _print(result: Evaluation) -> None:
    print(f"{result.target} on {result.test}: {result.n:,} utterances")
    figures = {
        "accuracy": _share(result.accuracy),
        "macro F1": "" if result.macro_f1 is None else f"{100 * result.macro_f1:.1f}",
        f"agreement with {result.reference}": _share(result.agreement),
        "answered": _share(result.answered),
        "accuracy of the answered": _share(result.accuracy_of_answered),
        "calibration error": f"{100 * result.calibration.error:.1f} %" if result.calibration else "",
        "span F1": _f1(result.spans.micro if result.spans else None),
        "span F1, exact characters": _f1(result.spans_by_character),
        "spans that cut a word": f"{result.rounded:,}, taken to its edges" if result.rounded else "",
        f"span F1 against {result.reference}": _f1(result.span_agreement),
        "label and all spans right": _share(result.joint),
        "texts without a translation": "" if result.untranslated is None else f"{result.untranslated:,}",
        "labels that it does not know": ", ".join(result.unknown_labels),
    }
    shown = {name: figure for name, figure in figures.items() if figure}
    for name, figure in shown.items():
        print(f"  {name + ':':<{max(map(len, shown)) + 2}}{figure}")
    for title, scores in (("label", result.labels), ("span", result.spans.labels if result.spans else ())):
        if scores:
            print()
            print_table((title, "precision", "recall", "F1", "n"), [_row(score) for score in scores])
    if result.confusions:
        print()
        print_table(
            ("right", "taken for", "times", "of all"),
            [(c.gold, c.predicted, c.count, f"{100 * c.share:.0f} %") for c in result.confusions],
        )


def _share(share: Proportion | None) -> str:
    if share is None:
        return ""
    low, high = 100 * share.low, 100 * share.high
    return (
        f"{100 * share.value:.1f} % (95 % interval {low:.1f} to {high:.1f}; {share.count:,} of {share.n:,})"
    )


def _f1(score: Score | None) -> str:
    if score is None:
        return ""
    return f"{100 * score.f1:.1f} (precision {100 * score.precision:.1f}, recall {100 * score.recall:.1f})"


def _row(label: LabelScore) -> tuple[object, ...]:
    score = label.score
    return (
        label.label,
        f"{100 * score.precision:.1f}",
        f"{100 * score.recall:.1f}",
        f"{100 * score.f1:.1f}",
        score.gold,
    )
