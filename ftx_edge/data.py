"""Utterances and the files that hold them: one door in, ``read_utterances``, and one out, ``write_jsonl``.

The format follows from the name, and within it from what the file holds:

| name | one record |
|---|---|
| ``.txt`` | a text a line; MTOP, whose published files are tab-separated ``.txt`` |
| ``.jsonl`` | ``{"text", "label"?, "spans"?: [{"start", "end", "label"}], "id"?}``; MASSIVE |
| ``.csv``, ``.tsv`` | a header with ``text`` and perhaps ``label`` and ``id``; MultiATIS++ and MTOP |
| ``.conll``, ``.bio``, ``.iob`` | a word and its BIO tag a line, a blank line between sentences |

Each may be gzipped (``.gz``). Files are UTF-8; texts are kept as they are, and offsets count their
characters. Values in ``.csv`` may be quoted; ``.tsv`` knows no quotes.
"""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from ftx_edge import corpora
from ftx_edge.errors import DataError, UsageError
from ftx_edge.files import write_atomically
from ftx_edge.lines import lines_to_the_last_filled, numbered_lines
from ftx_edge.utterance import Span, Utterance, checked_spans, text_problem

__all__ = ["Span", "Utterance", "read_numbered", "read_texts", "read_utterances", "write_jsonl"]


def read_utterances(path: Path | str, partition: str | None = None) -> list[Utterance]:
    """The utterances of a file, in its order.

    Args:
        path: a file in one of the formats above.
        partition: ``train``, ``dev`` or ``test`` of a MASSIVE file, which holds all three; None reads all.

    Raises:
        DataError: no such file, an empty one, not UTF-8, a record that cannot be used (with its line).
        UsageError: a partition of a file that has none, or an unknown format.
    """
    return [utterance for _, utterance in read_numbered(path, partition)]


def read_texts(path: Path | str, partition: str | None = None) -> list[str]:
    """The texts of a file, in its order; labels and spans are dropped. Errors as in ``read_utterances``."""
    return [utterance.text for utterance in read_utterances(path, partition)]


def read_numbered(
    path: Path | str, partition: str | None = None, *, unusable: list[DataError] | None = None
) -> list[tuple[int, Utterance]]:
    """As ``read_utterances``, each utterance with the line, counted from 1, at which its record starts.

    Args:
        path, partition: as there.
        unusable: where given, takes the errors of records that cannot be used, and the others are read.
    """
    path = Path(path)
    if partition is not None and partition not in corpora.MASSIVE_PARTITIONS:
        raise UsageError(
            f"{partition!r} is not a partition: choose from {', '.join(corpora.MASSIVE_PARTITIONS)}"
        )
    reader = _READERS.get(_format(path))
    if reader is None and not path.exists():
        raise DataError("no such file", path=path)
    if reader is None:
        raise UsageError(f"{path}: unknown format; name it {', '.join(_READERS)} (or the same with .gz)")
    numbered = []
    for line, read in reader(path):
        try:
            utterance, part = read()
            utterance = _checked(utterance)
        except (ValueError, RecursionError) as error:
            problem = DataError(str(error), path=path, line=line)
            if unusable is None:
                raise problem from error
            unusable.append(problem)
            continue
        if partition is not None and part is None:
            raise UsageError(
                f"{path}: partition {partition!r} of a file that is not MASSIVE; only it has any"
            )
        if partition is None or part == partition:
            numbered.append((line, utterance))
    if not numbered and unusable:
        first, others = unusable[0], len(unusable) - 1
        also = f"; nor can any of the {others:,} other records be used" if others else ""
        raise DataError(f"{first.problem}{also}", path=path, line=first.line)
    if not numbered:
        which = "no utterances in it" if partition is None else f"no utterances of partition {partition!r}"
        raise DataError(f"{which}: is it the right file?", path=path)
    return numbered


def write_jsonl(path: Path | str, utterances: Iterable[Utterance]) -> None:
    """Write utterances as ``.jsonl``, gzipped if the name ends in ``.gz``.

    The same utterances give the same bytes. The file appears complete or not at all.

    Raises:
        DataError: an utterance that ``read_utterances`` would refuse; its line is the one that it would have
        had.
    """
    path = Path(path)
    lines = []
    for number, utterance in enumerate(utterances, start=1):
        try:
            checked = _checked(utterance)
        except ValueError as error:
            raise DataError(str(error), path=path, line=number) from error
        lines.append(json.dumps(_row(checked), ensure_ascii=False) + "\n")
    content = "".join(lines).encode("utf-8")
    if path.name.endswith(".gz"):
        content = gzip.compress(content, mtime=0)
    with write_atomically(path) as aside:
        aside.write_bytes(content)


def _format(path: Path) -> str:
    return Path(path.name.lower().removesuffix(".gz")).suffix


def _row(utterance: Utterance) -> dict[str, Any]:
    row: dict[str, Any] = {} if utterance.id is None else {"id": utterance.id}
    row["text"] = utterance.text
    if utterance.label is not None:
        row["label"] = utterance.label
    if utterance.spans is not None:
        row["spans"] = [
            {"start": span.start, "end": span.end, "label": span.label} for span in utterance.spans
        ]
    return row


def _checked(utterance: Utterance) -> Utterance:
    problem = text_problem(utterance.text)
    if problem is None and utterance.label is not None and not utterance.label.strip():
        problem = "the label is blank: name it, or leave it out"
    if problem is not None:
        raise ValueError(problem)
    if utterance.spans is None:
        return utterance
    return Utterance(
        utterance.text, utterance.label, checked_spans(utterance.text, utterance.spans), utterance.id
    )


# What reads a record: gives utterance and partition (None outside MASSIVE), or raises ValueError.
Record = Callable[[], tuple[Utterance, str | None]]
# A reader gives the line at which each record starts, and what reads it.
Records = Iterator[tuple[int, Record]]


def _record(read: Callable[..., Utterance], *arguments: Any) -> Record:
    return lambda: (read(*arguments), None)


def _read_txt(path: Path) -> Records:
    mtop: bool | None = None
    for line, text in lines_to_the_last_filled(path):
        fields = text.split("\t")
        if mtop is None and text.strip():
            mtop = corpora.is_mtop(fields)
        yield line, _record(corpora.from_mtop, fields) if mtop else _record(Utterance, text)


def _read_jsonl(path: Path) -> Records:
    for line, text in lines_to_the_last_filled(path):
        yield line, partial(_from_json, text)


def _from_json(text: str) -> tuple[Utterance, str | None]:
    if not text.strip():
        raise ValueError("the line is blank: remove it")
    try:
        row = json.loads(text)
    except (ValueError, RecursionError) as error:
        what = getattr(error, "msg", "too deep or too large")
        raise ValueError(f"not JSON ({what}): each line must hold one object") from error
    if not isinstance(row, dict):
        raise ValueError('not a JSON object: expected {"text": ...}')
    if "text" not in row and "utt" in row:
        return corpora.from_massive(row), str(row.get("partition", ""))
    return _from_row(row), None


def _from_row(row: dict[str, Any]) -> Utterance:
    text, label, spans, identifier = (row.get(key) for key in ("text", "label", "spans", "id"))
    if text is None:
        raise ValueError('no "text": each line must hold {"text": ...}')
    if not isinstance(text, str):
        raise ValueError('"text" must be a string')
    if label is not None and not isinstance(label, str):
        raise ValueError(f'"label" must be a string, not {json.dumps(label)}')
    if identifier is not None and (isinstance(identifier, bool) or not isinstance(identifier, str | int)):
        raise ValueError('"id" must be a string or a number')
    if spans is not None and not isinstance(spans, list):
        raise ValueError('"spans" must be a list of {"start", "end", "label"}')
    return Utterance(
        text,
        label,
        None if spans is None else checked_spans(text, [_span(span) for span in spans]),
        None if identifier is None else str(identifier),
    )


def _span(row: Any) -> Span:
    if isinstance(row, dict):
        start, end, label = (row.get(key) for key in ("start", "end", "label"))
        if type(start) is int and type(end) is int and isinstance(label, str):
            return Span(start, end, label)
    raise ValueError(
        f'a span must be {{"start": number, "end": number, "label": string}}, not {json.dumps(row)[:80]}'
    )


def _read_table(path: Path) -> Records:
    rows = _csv_rows(path) if _format(path) == ".csv" else _tsv_rows(path)
    header: list[str] = []
    for line, fields in rows:
        if not header:
            if corpora.is_mtop(fields):
                header = ["MTOP"]
            else:
                header = [name.strip().lower() for name in fields]
                _check_header(path, line, header)
                continue
        if header == ["MTOP"]:
            yield line, _record(corpora.from_mtop, fields)
        else:
            yield line, _record(_from_table, header, fields)


def _from_table(header: list[str], fields: list[str]) -> Utterance:
    if not any(field.strip() for field in fields):
        raise ValueError("the line is blank: remove it")
    if len(fields) != len(header):
        raise ValueError(
            f"{len(fields)} columns, but the header has {len(header)}: "
            "quote values that hold the separator (.csv) or remove it (.tsv)"
        )
    row = dict(zip(header, fields, strict=True))
    if "slot_labels" in row:
        return corpora.from_multiatis(row)
    return Utterance(row["text"], row.get("label") or None, id=row.get("id") or None)


def _check_header(path: Path, line: int, header: list[str]) -> None:
    if len(set(header)) < len(header):
        raise DataError(f"a column twice in the header: {', '.join(header)}", path=path, line=line)
    if not ("text" in header or {"utterance", "slot_labels"} <= set(header)):
        raise DataError(
            f"no column 'text' in the header ({', '.join(header)[:80]}): name the columns in the first line",
            path=path,
            line=line,
        )


def _tsv_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    for line, text in lines_to_the_last_filled(path):
        yield line, text.split("\t")


def _csv_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    rows = csv.reader((text + "\n" for _, text in numbered_lines(path)), strict=True)
    line = 1
    try:
        for fields in rows:
            if fields:
                yield line, fields
            line = rows.line_num + 1
    except csv.Error as error:
        raise DataError(f"not CSV ({error}): check the quotes", path=path, line=line) from error


def _read_conll(path: Path) -> Records:
    sentence: list[str] = []
    start = 0
    for line, text in chain(numbered_lines(path), [(0, "")]):
        if text.strip() and not text.startswith("-DOCSTART-"):
            if not sentence:
                start = line
            sentence.append(text)
        elif sentence:
            yield start, _record(corpora.from_conll, sentence)
            sentence = []


_READERS: dict[str, Callable[[Path], Records]] = {
    ".txt": _read_txt,
    ".jsonl": _read_jsonl,
    ".csv": _read_table,
    ".tsv": _read_table,
    ".conll": _read_conll,
    ".bio": _read_conll,
    ".iob": _read_conll,
}
