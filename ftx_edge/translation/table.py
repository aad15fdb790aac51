"""Translations that the user has."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ftx_edge.errors import DataError
from ftx_edge.files import sha256_of
from ftx_edge.translation.texts import Status
from ftx_edge.translation.translator import TranslationError

HEADER = ("source", "text", "status")
"""The first line of the tables that ``ftx-edge translate`` writes."""


def as_cell(text: str) -> str:
    """A text as it stands in a tab-separated file: every run of white space is one space."""
    return " ".join(text.split())


class Table:
    """``table:<file.tsv>``: a source text, a tab and its translation a line; UTF-8, no header, no quotes.

    White space of the source text does not count. An empty translation is one. A table that ``ftx-edge
    translate`` wrote has a header and a third column; what failed there is not in the table.

    Raises:
        DataError: the file is missing, empty or not UTF-8; a line without exactly one tab; a text with two
            different translations.
    """

    def __init__(self, spec: str, path: str) -> None:
        self.name = spec
        self._translations = _read(Path(path))
        self.fingerprint = f"table {sha256_of(Path(path))}"

    def translate(self, texts: Sequence[str]) -> list[str]:
        """The translations of the table; raises TranslationError for a text that is not in it."""
        try:
            return [self._translations[as_cell(text)] for text in texts]
        except KeyError as error:
            raise TranslationError(f"not in {self.name}: {error.args[0]!r}") from None


def _read(path: Path) -> dict[str, str]:
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise DataError("not UTF-8: save it as UTF-8", path=path) from error
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", path=path) from error
    translations: dict[str, str] = {}
    columns = 2
    for number, line in enumerate(lines, start=1):
        fields = line.rstrip("\r").split("\t")
        if number == 1 and tuple(fields) == HEADER:
            columns = len(HEADER)
            continue
        if not line.strip() or fields[2:] == [Status.FAILED]:
            continue
        if len(fields) != columns:
            raise DataError("expected a text, one tab and its translation", path=path, line=number)
        key, translation = as_cell(fields[0]), fields[1].strip()
        if not key:
            raise DataError("a translation without a text before the tab", path=path, line=number)
        if translations.setdefault(key, translation) != translation:
            raise DataError(f"{key!r} has another translation above: keep one", path=path, line=number)
    if not translations:
        raise DataError("no translations in it", path=path)
    return translations
