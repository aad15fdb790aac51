"""`ftx-edge data check`: what is in some files, before a long run is started on them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ftx_edge.cli.options import Json
from ftx_edge.cli.output import print_json, print_table
from ftx_edge.errors import DataError

if TYPE_CHECKING:
    from ftx_edge.data_check import DataReport, FileReport

_SHOWN = 10

data_app = typer.Typer(no_args_is_help=True)


@data_app.callback()
def data_cli() -> None:
    """Look at text before a long run."""


@data_app.command("check")
def check_cli(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Utterances, labelled or not.")],
    max_characters: Annotated[int, typer.Option(min=1, help="Longer texts are listed.")] = 400,
    max_words: Annotated[int, typer.Option(min=1, help="Texts of more words are listed.")] = 64,
    strict: Annotated[
        bool, typer.Option("--strict", help="End with code 1 if anything looks wrong.")
    ] = False,
    json: Json = False,
) -> None:
    """Report what files hold: counts, labels, languages, repeats, overlaps between files, suspicious lines.

    Lines that cannot be used are all listed, and end it with code 1: other commands stop at the first.

    \b
    Examples:
        ftx-edge data check en.jsonl pt.txt pt.test.jsonl
        ftx-edge data check corpus.txt --strict
    """
    from ftx_edge import check_data

    report = check_data(files, max_characters=max_characters, max_words=max_words)
    if json:
        print_json({"files": report.files, "overlaps": report.overlaps, "clean": report.clean})
    else:
        _print(report)
    if report.unusable:
        first = report.unusable[0]
        raise DataError(
            f"lines that cannot be used: {len(report.unusable):,}, the first {first.path}:{first.line}"
        )
    if strict and not report.clean:
        raise typer.Exit(1)


def _print(report: DataReport) -> None:
    print_table(
        ("file", "texts", "distinct", "labels", "spans", "script", "characters", "words"),
        [_row(file) for file in report.files],
    )
    print("characters and words: median / 99 % / longest")
    for file in report.files:
        _print_some(f"{file.path}: labels", [f"{name} {count:,}" for name, count in file.labels.items()])
        _print_some(f"{file.path}: span labels", [f"{name} {n:,}" for name, n in file.span_labels.items()])
        ambiguous = [repeat for repeat in file.repeats if len(repeat.labels) > 1]
        _print_some(
            f"{file.path}: the same text with different labels",
            [f"{r.text!r} on lines {_numbers(r.lines)}: {', '.join(r.labels)}" for r in ambiguous],
        )
        _print_some(
            f"{file.path}: texts that repeat",
            [f"{r.text!r} on lines {_numbers(r.lines)}" for r in file.repeats if len(r.labels) <= 1],
        )
    _print_some(
        "texts that two files share",
        [
            f"{o.first} and {o.second}: {o.texts:,} ({100 * o.share:.1f} % of the smaller), "
            f"such as line {o.lines[0][0]} and line {o.lines[0][1]}"
            for o in report.overlaps
        ],
    )
    _print_some("suspicious lines", [str(finding) for finding in report.findings])
    _print_some("lines that cannot be used", [f"{f.path}:{f.line}: {f.detail}" for f in report.unusable])
    if report.clean:
        print("nothing suspicious")


def _row(file: FileReport) -> tuple[object, ...]:
    return (
        file.path,
        f"{file.utterances:,}",
        f"{file.distinct:,}",
        len(file.labels),
        len(file.span_labels),
        file.language or "/".join(name.lower() for name in list(file.scripts)[:2]),
        " / ".join(map(str, file.characters)),
        " / ".join(map(str, file.words)),
    )


def _print_some(title: str, lines: Sequence[str]) -> None:
    if not lines:
        return
    print(f"\n{title} ({len(lines):,}):")
    for line in lines[:_SHOWN]:
        print(f"  {line}")
    if len(lines) > _SHOWN:
        print(f"  ... and {len(lines) - _SHOWN:,} more (all with --json)")


def _numbers(lines: Sequence[int]) -> str:
    return ", ".join(map(str, lines[:5])) + (" ..." if len(lines) > 5 else "")
