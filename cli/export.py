"""`ftx-edge export`: the students of a run become packages."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ftx_edge.cli.options import Json, Run
from ftx_edge.cli.output import megabytes, print_json, print_table

if TYPE_CHECKING:
    from ftx_edge.exporters import Abstention, Agreement


def export_cli(
    run: Run,
    lang: Annotated[
        list[str] | None, typer.Option(help="Only this language; repeat for more. All by default.")
    ] = None,
    int8: Annotated[bool, typer.Option(help="Quantise to int8.")] = True,
    fp32: Annotated[bool, typer.Option("--fp32", help="Put the fp32 graph in the package too.")] = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the packages; by default packages/ in the run.")
    ] = None,
    max_drop: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="Largest share of held-out texts that may be answered differently after export.",
        ),
    ] = 0.01,
    max_size: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Largest package, all files, such as 6MB or 900kB.")
    ] = None,
    archive: Annotated[bool, typer.Option(help="Write the one-file package (.ftx) too.")] = True,
    segmenter: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Run behind a word segmenter on the device, such as jieba, though the student needs none; "
            "to compare.",
        ),
    ] = None,
    calibrate: Annotated[
        bool,
        typer.Option(
            "--calibrate",
            help="Make scores say how likely the teacher gives the same label.",
        ),
    ] = False,
    min_score: Annotated[
        float | None, typer.Option(min=0, max=1, help="The package withholds labels below this score.")
    ] = None,
    min_agreement: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Choose that score: the lowest that keeps agreement with the teacher at this share.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Export students as int8 ONNX packages, each checked against its student before it is written.

    \b
    Examples:
        ftx-edge export runs/demo --int8
        ftx-edge export runs/demo --lang pt --max-size 6MB --max-drop 0.005
        ftx-edge export runs/demo --calibrate --min-agreement 0.9
    """
    from ftx_edge import export

    results = export(
        run,
        lang or None,
        int8=int8,
        fp32=fp32,
        out=out,
        max_drop=max_drop,
        max_size=max_size,
        archive=archive,
        segmenter=segmenter,
        calibrate=calibrate,
        min_score=min_score,
        min_agreement=min_agreement,
    )
    if json:
        print_json([result.to_dict() for result in results])
        return
    print_table(
        ("language", "package", "size", "int8 against student", "fp32 against student", "ms a text"),
        [
            (
                result.language,
                result.folder,
                megabytes(result.size),
                "not written" if result.int8 is None else _loss(result.int8),
                _loss(result.fp32),
                f"{result.latency_ms:.2f}",
            )
            for result in results
        ],
    )
    for result in results:
        if result.kept_float:
            kept = f"{len(result.kept_float)} of {result.products} products left in float32"
            print(f"{result.language}: {kept}, to stay within --max-drop")
        if result.abstention is not None:
            print(f"{result.language}: {_withheld(result.abstention)}")
    for result in results:
        print(f"next: ftx-edge predict {result.archive or result.folder} TEXT")


def _withheld(abstention: Abstention) -> str:
    said = f"withholds labels below {abstention.min_score:g}; answers {abstention.answered:.1%} of texts"
    if not abstention.answered:
        return said
    return f"{said}, {abstention.agreement:.1%} of these as its teacher ({abstention.at_least:.1%} or more)"


def _loss(agreement: Agreement) -> str:
    parts = []
    if agreement.label_agreement is not None:
        parts.append(f"{100 * agreement.label_agreement:.2f} % same label")
    if agreement.span_f1 is not None:
        parts.append(f"{100 * agreement.span_f1:.2f} span F1")
    return ", ".join(parts)
