"""`ftx-edge predict`: what a package says about texts."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from ftx_edge.cli.options import Package
from ftx_edge.cli.output import print_json
from ftx_edge.errors import DataError

if TYPE_CHECKING:
    from ftx_edge.runtime import Prediction


def predict_cli(
    package: Package,
    texts: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TEXT",
            help="Texts; without any, standard input is read, one text a line. A blank one gets no label.",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    top_k: Annotated[int, typer.Option(min=0, help="Also the scores of the K best labels.")] = 0,
    min_score: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="Below this score, give no label rather than a doubtful one; 0 gives all."
        ),
    ] = None,
    threads: Annotated[
        int, typer.Option(min=1, help="Threads of the model; one is fastest for single texts.")
    ] = 1,
) -> None:
    """Label texts with a package, offline, without torch.

    \b
    Examples:
        ftx-edge predict runs/demo/packages/pt "acenda a luz da cozinha"
        ftx-edge predict pt.ftx --json --top-k 3 < utterances.txt
        tail -f queries.log | ftx-edge predict pt.ftx --min-score 0.6
    """
    from ftx_edge import load

    opened = load(package, intra_op_num_threads=threads)
    for text in texts if texts else _lines():
        prediction = opened.predict(text, top_k=top_k, min_score=min_score)
        if json:
            print_json(prediction.to_dict(), indent=None)
        else:
            print(_readable(prediction))
        sys.stdout.flush()


def _lines() -> Iterator[str]:
    """Standard input, line by line, as it comes."""
    if sys.stdin.isatty():
        print("One text a line; Ctrl-D ends.", file=sys.stderr)
    for number, line in enumerate(sys.stdin, 1):
        text = (line.removeprefix("\ufeff") if number == 1 else line).rstrip("\r\n")
        # Bytes that are not UTF-8 come in as lone surrogates.
        if any("\udc80" <= c <= "\udcff" for c in text):
            raise DataError(
                "not UTF-8: convert it, for example with iconv", path="standard input", line=number
            )
        yield text


def _readable(prediction: Prediction) -> str:
    if not prediction.text.strip():
        return ""
    parts = [prediction.text]
    if prediction.score is not None:
        parts.append(f"{prediction.label or 'not sure'} {prediction.score:.3f}")
    if prediction.scores is not None:
        parts.append(", ".join(f"{label} {score:.3f}" for label, score in prediction.scores.items()))
    if prediction.spans:
        parts.append(", ".join(f"{s.label}={prediction.text[s.start : s.end]!r}" for s in prediction.spans))
    return "\t".join(parts)
