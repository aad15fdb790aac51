"""How the programs of this folder are run, and leave their reports.

What a person can cure is one line on stderr.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Protocol

import typer

from ftx_edge.errors import FtxError, UsageError
from ftx_edge.files import write_atomically

OutOption = Annotated[
    Path | None, typer.Option(help="Write the report here (.json), and a table beside it (.md).")
]
PartitionOption = Annotated[str | None, typer.Option(help="Of a MASSIVE file: dev or test.")]
LimitOption = Annotated[int, typer.Option(min=1, help="Most texts to time.")]
RoundsOption = Annotated[int, typer.Option(min=1, help="How often each is timed.")]
ThreadsOption = Annotated[int, typer.Option(min=1, help="Threads of ONNX Runtime.")]


class Report(Protocol):
    """What a program measured."""

    def to_dict(self) -> dict[str, Any]:
        """For JSON: plain values."""

    def to_markdown(self) -> str:
        """The table, with what it says and where it comes from."""


def run_program(program: Callable[[], Any]) -> None:
    """Call a Typer program; an FtxError becomes ``error: ...`` and its exit code."""
    try:
        program()
    except FtxError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


def check_out(out: Path | None) -> None:
    """Raise UsageError, before anything is measured, where a report cannot be written as asked."""
    if out is not None and out.suffix != ".json":
        raise UsageError(f"{out}: the report is written as .json")


def write_report(report: Report, out: Path) -> None:
    """The report as JSON, and beside it as a Markdown table of the same name."""
    contents = {
        out: json.dumps(report.to_dict(), indent=2, ensure_ascii=False) + "\n",
        out.with_suffix(".md"): report.to_markdown(),
    }
    for path, content in contents.items():
        with write_atomically(path) as aside:
            aside.write_text(content, encoding="utf-8")
