"""What was computed once, in a SQLite file, found again by a key of what it was computed from."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from ftx_edge.errors import DataError

_AT_ONCE = 500
"""Keys of one query; SQLite takes 999 at least."""


class KeptValues:
    """One table of one SQLite file; what `put` has returned from is on disk, whatever happens to the process.

    Several processes may share it.

    Args:
        path: of the file.
        table: its name, and that of its column; for messages too.

    Raises:
        DataError: the file is not a cache, or cannot be opened.
    """

    def __init__(self, path: Path, table: str, column: str) -> None:
        self.path, self._table, self._column = path, table, column
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with closing(self._connect()) as connection, connection:
                columns = f"key TEXT PRIMARY KEY, {column} NOT NULL"
                connection.execute(f"CREATE TABLE IF NOT EXISTS {table} ({columns}) WITHOUT ROWID")
        except (sqlite3.Error, OSError) as error:
            raise DataError(f"not usable as a cache of {table} ({error}): delete it", path=path) from error

    def get(self, keys: Sequence[str]) -> list[Any]:
        """The known value of each key, None where there is none."""
        found: dict[str, Any] = {}
        with closing(self._connect()) as connection:
            for start in range(0, len(keys), _AT_ONCE):
                some = keys[start : start + _AT_ONCE]
                places = ",".join("?" * len(some))
                query = f"SELECT key, {self._column} FROM {self._table} WHERE key IN ({places})"
                found.update(connection.execute(query, some))
        return [found.get(key) for key in keys]

    def put(self, pairs: Iterable[tuple[str, Any]]) -> None:
        """Keep pairs of key and value."""
        try:
            with closing(self._connect()) as connection, connection:
                connection.executemany(f"INSERT OR REPLACE INTO {self._table} VALUES (?, ?)", pairs)
        except sqlite3.Error as error:
            raise DataError(f"cannot keep {self._table} ({error})", path=self.path) from error

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, timeout=60)
