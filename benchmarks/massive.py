"""MASSIVE cut as the paper's protocol needs it: plain files that a recipe names.

The English training rows are cut into two halves. The first, with labels, trains the off-the-shelf English
model; the second is the unlabelled English of step 1. A target language gives one unlabelled half: by default
the one whose rows are *not* translations of the unlabelled English, in an order of its own: nothing is
parallel.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

from ftx_edge.benchmarks.program import run_program
from ftx_edge.data import Utterance, read_utterances, write_jsonl
from ftx_edge.errors import DataError, UsageError
from ftx_edge.files import sha256_of, write_atomically

LOCALES = {
    "en": "en-US",
    "de": "de-DE",
    "es": "es-ES",
    "fr": "fr-FR",
    "hi": "hi-IN",
    "ja": "ja-JP",
    "pt": "pt-PT",
    "th": "th-TH",
    "tr": "tr-TR",
    "zh": "zh-CN",
}
TARGETS = tuple(language for language in LOCALES if language != "en")
HALVES = ("other", "parallel")
CUT_SEED = 42


@dataclass(frozen=True, slots=True)
class Prepared:
    """What `prepare` wrote; also the content of its ``prepared.json``.

    Attributes:
        half: ``other`` if no target text translates the unlabelled English, ``parallel`` if all of it does.
        rows: file name -> number of utterances.
        sha256: file name -> hash of the file.
    """

    out: str
    half: str
    cut_seed: int
    order_seed: int
    languages: tuple[str, ...]
    rows: dict[str, int]
    sha256: dict[str, str]


def cut(ids: Sequence[str], seed: int = CUT_SEED) -> tuple[list[str], list[str]]:
    """The two halves of the English training rows: indices shuffled with ``seed``, cut in the middle."""
    order = list(range(len(ids)))
    random.Random(seed).shuffle(order)
    middle = len(order) // 2
    return [ids[i] for i in order[:middle]], [ids[i] for i in order[middle:]]


def prepare(
    data: Path,
    out: Path,
    *,
    languages: Sequence[str] = TARGETS,
    half: str = "other",
    order_seed: int = 0,
    gold: bool = False,
) -> Prepared:
    """Write the paper's protocol as files under ``out``.

    ``en.labelled.jsonl``, ``en.unlabelled.txt``, ``<lang>.unlabelled.txt``, ``<lang>.dev.jsonl`` and
    ``<lang>.test.jsonl`` (``en`` among them), and ``prepared.json``. The unlabelled files hold only text.

    Args:
        data: the folder that holds ``massive/``, or that folder itself.
        half: ``other`` (default) or ``parallel``, see `Prepared`.
        order_seed: shuffles the unlabelled rows of each target language, together with the language's name.
        gold: also write ``<lang>.gold.jsonl``, the rows of the unlabelled half with their labels, for the
            gold-supervised reference and for nothing else.

    Raises:
        UsageError: unknown language or half.
        DataError: a MASSIVE file is missing or is not one, or its ids are not those of the English file.
    """
    if half not in HALVES:
        raise UsageError(f"unknown half {half!r}: choose one of {', '.join(HALVES)}")
    if unknown := [language for language in languages if language not in TARGETS]:
        raise UsageError(
            f"not a target language of MASSIVE here: {', '.join(unknown)}; known: {', '.join(TARGETS)}"
        )
    out.mkdir(parents=True, exist_ok=True)

    english = _by_id(data, "en", "train")
    labelled, unlabelled = cut(list(english))
    texts: dict[str, list[Utterance]] = {"en": [english[i] for i in unlabelled]}
    wanted = labelled if half == "other" else unlabelled
    for language in languages:
        rows = _by_id(data, language, "train")
        if missing := [i for i in wanted if i not in rows]:
            raise DataError(f"lacks row {missing[0]} of the English file", path=_path(data, language))
        mixed = [rows[i] for i in wanted]
        random.Random(f"{order_seed}-{language}").shuffle(mixed)
        texts[language] = mixed

    counts = {"en.labelled.jsonl": _write_labelled(out / "en.labelled.jsonl", [english[i] for i in labelled])}
    for language, rows_of_half in texts.items():
        name = f"{language}.unlabelled.txt"
        counts[name] = _write_texts(out / name, [row.text for row in rows_of_half])
        if gold:
            name = f"{language}.gold.jsonl"
            counts[name] = _write_labelled(out / name, rows_of_half)
        for partition in ("dev", "test"):
            name = f"{language}.{partition}.jsonl"
            counts[name] = _write_labelled(out / name, list(_by_id(data, language, partition).values()))

    prepared = Prepared(
        out=str(out),
        half=half,
        cut_seed=CUT_SEED,
        order_seed=order_seed,
        languages=tuple(texts),
        rows=counts,
        sha256={name: sha256_of(out / name) for name in counts},
    )
    described = {key: value for key, value in asdict(prepared).items() if key != "out"}
    with write_atomically(out / "prepared.json") as aside:
        aside.write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")
    return prepared


def _path(data: Path, language: str) -> Path:
    folder = data if (data / f"{LOCALES[language]}.jsonl.gz").exists() else data / "massive"
    return folder / f"{LOCALES[language]}.jsonl.gz"


def _by_id(data: Path, language: str, partition: str) -> dict[str, Utterance]:
    path = _path(data, language)
    rows: dict[str, Utterance] = {}
    for row in read_utterances(path, partition=partition):
        if row.id is None or row.id in rows:
            raise DataError(f"row id {row.id!r} is missing or appears twice", path=path)
        rows[row.id] = row
    return rows


def _write_labelled(path: Path, rows: Sequence[Utterance]) -> int:
    write_jsonl(path, rows)
    return len(rows)


def _write_texts(path: Path, texts: Sequence[str]) -> int:
    with write_atomically(path) as aside:
        aside.write_text("".join(text + "\n" for text in texts), encoding="utf-8")
    return len(texts)


app = typer.Typer(help=__doc__, no_args_is_help=True)


@app.callback()
def _main() -> None:
    """MASSIVE by the paper's protocol."""


@app.command("prepare")
def _prepare(
    out: Annotated[Path, typer.Option(help="Folder to write the files to.")],
    data: Annotated[Path, typer.Option(envvar="FTX_DATA", help="Folder that holds massive/.")] = Path(
        "../shared/data"
    ),
    language: Annotated[
        list[str] | None, typer.Option(help="Target language, repeatable. [default: all nine]")
    ] = None,
    half: Annotated[
        str,
        typer.Option(help="Target rows: 'other' than the unlabelled English ones, or 'parallel' to them."),
    ] = "other",
    order_seed: Annotated[int, typer.Option(help="Seed of the order of the unlabelled target rows.")] = 0,
    gold: Annotated[bool, typer.Option(help="Also write the halves with labels (gold reference).")] = False,
) -> None:
    """Write the halves, and the dev and test sets, as files that recipes name."""
    prepared = prepare(data, out, languages=language or TARGETS, half=half, order_seed=order_seed, gold=gold)
    for name, rows in prepared.rows.items():
        typer.echo(f"{rows:6}  {out / name}")


if __name__ == "__main__":
    run_program(app)
