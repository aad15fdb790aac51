"""The command line: one file a command. Each parses, calls one public function of the library, and prints."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Annotated, NoReturn, TextIO

import typer

import ftx_edge
from ftx_edge.cli.benchmark import benchmark_app
from ftx_edge.cli.data import data_app
from ftx_edge.cli.distill import distill_cli
from ftx_edge.cli.evaluate import evaluate_cli
from ftx_edge.cli.export import export_cli
from ftx_edge.cli.init import init_cli
from ftx_edge.cli.inspect import inspect_cli
from ftx_edge.cli.predict import predict_cli
from ftx_edge.cli.train_source import train_source_cli
from ftx_edge.cli.translate import translate_cli
from ftx_edge.errors import FtxError
from ftx_edge.extras import missing_extra

app = typer.Typer(
    name="ftx-edge",
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        print(f"ftx-edge {ftx_edge.__version__}")
        raise typer.Exit


@app.callback()
def ftx_edge_cli(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """An English text classifier becomes small on-device models for other languages, without labels.

    \b
    On your own model:
        ftx-edge distill --teacher hf:my-model --source en.txt --target pt=pt.txt --out run
        ftx-edge export run --int8
        ftx-edge predict run/packages/pt "acenda a luz da cozinha"
    """


_MAKE, _USE = "Make a package", "Use and judge it"
app.command("init", rich_help_panel=_MAKE)(init_cli)
app.command("distill", rich_help_panel=_MAKE)(distill_cli)
app.command("export", rich_help_panel=_MAKE)(export_cli)
app.command("train-source", rich_help_panel=_MAKE)(train_source_cli)
app.command("translate", rich_help_panel=_MAKE)(translate_cli)
app.add_typer(data_app, name="data", rich_help_panel=_MAKE)
app.command("predict", rich_help_panel=_USE)(predict_cli)
app.command("inspect", rich_help_panel=_USE)(inspect_cli)
app.command("evaluate", rich_help_panel=_USE)(evaluate_cli)
app.add_typer(benchmark_app, name="benchmark", rich_help_panel=_USE)


def main() -> NoReturn:
    """Run the command line and exit: 0 done, 1 it could not be done, 2 it was asked wrongly, 130 interrupted.

    Whatever a person can cure is one line on stderr. A traceback is a bug; FTX_EDGE_DEBUG=1 shows one always.
    141 is for a reader that has left, as `head` does: what a shell says of a command that a closed pipe ends.
    """
    # Python has None for a stream that the shell has closed: results need a place, the others do without.
    sys.stdin, sys.stderr = sys.stdin or io.StringIO(), sys.stderr or io.StringIO()
    if sys.stdout is None:
        print("error: standard output is closed: there is no place for results", file=sys.stderr)
        sys.exit(1)
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        _use_utf8(stream)
    try:
        code = app(prog_name="ftx-edge", standalone_mode=False)
        sys.stdout.flush()
    except SystemExit:
        code = _reader_left()  # Typer's way to take a closed pipe
    except Exception as error:
        if os.environ.get("FTX_EDGE_DEBUG"):
            raise
        code = _report(error)
    if code == 130:
        print("interrupted", file=sys.stderr)
    sys.exit(code or 0)


def _report(error: Exception) -> int:
    """Say on stderr what went wrong; the exit code. Raises what nobody but a programmer can cure."""
    if isinstance(error, typer.Abort):
        return 130
    if isinstance(error, BrokenPipeError):
        return _reader_left()
    if isinstance(error, ModuleNotFoundError):
        error = missing_extra(error) or error
    if isinstance(error, FtxError):
        message, code = str(error), error.exit_code
    elif isinstance(error, OSError):
        message, code = _about_files(error), 1
    elif "(os error 28)" in str(error):  # libraries written in Rust
        message, code = f"{os.strerror(errno.ENOSPC)}: free some and run the same command again", 1
    elif hasattr(error, "format_message"):  # what Typer found wrong with the arguments
        message, code = error.format_message(), int(getattr(error, "exit_code", 2))
        if not message:
            return code
    else:
        raise error
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    return code


def _reader_left() -> int:
    """Python would complain once more when it ends, and flushes."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return 141


def _about_files(error: OSError) -> str:
    what = error.strerror or str(error)
    if error.errno == errno.ENOSPC:
        what += ": free some and run the same command again"
    return f"{error.filename}: {what}" if error.filename else what


def _use_utf8(stream: TextIO | None) -> None:
    """What goes through a pipe is UTF-8 whatever the locale; lone surrogates are shown, not died of."""
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(encoding="utf-8", errors="surrogateescape" if stream is sys.stdin else "backslashreplace")
