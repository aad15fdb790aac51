"""A published corpus cut as the paper's protocol needs it: plain files that a suite names.

``python -m ftx_edge.benchmarks.halves --train en=FILE --train de=FILE --test en=FILE ... --out FOLDER`` cuts
the English training text into two halves: the first, with labels, trains the source model; the second is the
unlabelled English of step 1. (MASSIVE has a program of its own, ``massive``.)
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from ftx_edge.benchmarks.accuracy import pairs
from ftx_edge.benchmarks.massive import CUT_SEED, cut
from ftx_edge.benchmarks.program import run_program
from ftx_edge.data import Utterance, read_utterances, write_jsonl
from ftx_edge.errors import UsageError
from ftx_edge.files import write_atomically


def write_halves(
    train: Mapping[str, Path],
    test: Mapping[str, Path],
    out: Path,
    *,
    gold: bool = False,
    seed: int = CUT_SEED,
) -> dict[str, int]:
    """Write ``en.labelled.jsonl``, ``<lang>.unlabelled.txt``, ``<lang>.test.jsonl``; rows by file name.

    Of a target language whose rows have the ids of English rows (MultiATIS++), those are taken that do not
    translate the unlabelled English; of another (MTOP) all. Their order is shuffled.

    Args:
        train, test: files by language, ``en`` among them.
        gold: also write ``<lang>.gold.jsonl``: the target text with its labels, for the gold-supervised
            reference alone.
        seed: of the cut and the orders.

    Raises:
        UsageError: no English.
        DataError: a file cannot be read.
    """
    if "en" not in train or "en" not in test:
        raise UsageError("no English: give --train en=FILE and --test en=FILE")
    english = read_utterances(train["en"])
    first, second = (
        [english[int(row)] for row in half] for half in cut(list(map(str, range(len(english)))), seed)
    )
    counts = {"en.labelled.jsonl": len(first)}
    write_jsonl(out / "en.labelled.jsonl", first)
    for language in train:
        rows = (
            second if language == "en" else _target(language, read_utterances(train[language]), second, seed)
        )
        counts[f"{language}.unlabelled.txt"] = len(rows)
        with write_atomically(out / f"{language}.unlabelled.txt") as aside:
            aside.write_text("".join(" ".join(row.text.split()) + "\n" for row in rows), encoding="utf-8")
        if gold and language != "en":
            counts[f"{language}.gold.jsonl"] = len(rows)
            write_jsonl(out / f"{language}.gold.jsonl", rows)
    for language, path in test.items():
        rows = read_utterances(path)
        counts[f"{language}.test.jsonl"] = len(rows)
        write_jsonl(out / f"{language}.test.jsonl", rows)
    return counts


def _target(
    language: str, rows: Sequence[Utterance], english: Sequence[Utterance], seed: int
) -> list[Utterance]:
    """Rows of a target language that do not translate the unlabelled English, in an order of their own."""
    seen = {row.id for row in english if row.id is not None}
    kept = [row for row in rows if row.id not in seen]
    random.Random(f"{seed}-{language}").shuffle(kept)
    return kept


def main(
    train: Annotated[list[str], typer.Option(metavar="LANG=FILE", help="Training file; repeat.")],
    test: Annotated[list[str], typer.Option(metavar="LANG=FILE", help="Test file; repeat.")],
    out: Annotated[Path, typer.Option(help="Folder to write the files to.")],
    gold: Annotated[bool, typer.Option("--gold", help="Also write target text with labels.")] = False,
) -> None:
    """Write the halves and the test sets as files that suites name."""
    files = [
        {language: Path(path) for language, path in pairs(given, what).items()}
        for given, what in ((train, "--train"), (test, "--test"))
    ]
    for name, count in write_halves(files[0], files[1], out, gold=gold).items():
        typer.echo(f"{count:6}  {out / name}")


if __name__ == "__main__":
    run_program(lambda: typer.run(main))
