"""The lines of a text file, with their numbers: UTF-8, gzipped or not."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from gzip import GzipFile
from io import BufferedReader
from pathlib import Path

from ftx_edge.errors import DataError


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a file and their numbers, counted from 1.

    Lines end at line feeds only (a text may hold other separators of Unicode); their ends, a carriage return
    before them and a byte order mark are left out.

    Raises:
        DataError: no such file, an empty one, not UTF-8, not a whole gzip file.
    """
    try:
        with _opened(path) as file:
            line = 0
            for line, raw in enumerate(file, start=1):
                yield line, _decoded(path, line, raw).removesuffix("\n").removesuffix("\r")
            if not line:
                raise DataError("the file is empty", path=path)
    except FileNotFoundError as error:
        raise DataError("no such file", path=path) from error
    except IsADirectoryError as error:
        raise DataError("a folder, not a file", path=path) from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError("not a whole gzip file: copy or download it again", path=path) from error
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}", path=path) from error


def lines_to_the_last_filled(path: Path) -> Iterator[tuple[int, str]]:
    """As ``numbered_lines``, without the blank lines at the end of the file."""
    blank: list[tuple[int, str]] = []
    for line, text in numbered_lines(path):
        if text.strip():
            yield from blank
            blank.clear()
            yield line, text
        else:
            blank.append((line, text))


def _decoded(path: Path, line: int, raw: bytes) -> str:
    if line == 1 and raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError("UTF-16, not UTF-8: save the file as UTF-8", path=path, line=line)
    try:
        return raw.decode("utf-8-sig" if line == 1 else "utf-8")
    except UnicodeDecodeError as error:
        where = f"byte 0x{raw[error.start]:02x} at {error.start}"
        raise DataError(f"not UTF-8 ({where}): save the file as UTF-8", path=path, line=line) from error


def _opened(path: Path) -> GzipFile | BufferedReader:
    return gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb")
