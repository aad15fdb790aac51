"""The errors that a person meets. The command line prints each as one line, never as a traceback."""

from __future__ import annotations

import importlib.util
from pathlib import Path


class FtxError(Exception):
    """Something that the user can cure; the message says what was wrong, where, and what to do."""

    exit_code = 1


class UsageError(FtxError):
    """The command or recipe asks for something that does not exist or does not fit together."""

    exit_code = 2


class DataError(FtxError):
    """A file with content that cannot be used.

    Args:
        message: what is wrong and what to do.
        path: the file.
        line: its line, counted from 1.
    """

    def __init__(self, message: str, *, path: Path | str | None = None, line: int | None = None) -> None:
        where = "" if path is None else f"{path}: " if line is None else f"{path}:{line}: "
        super().__init__(f"{where}{message}")
        self.problem, self.path, self.line = message, path, line


class PackageError(FtxError):
    """A package that is incomplete, damaged, or made by something that this version does not know."""


class GateError(FtxError):
    """An export that lost more than was allowed; nothing was written."""


class MissingExtraError(FtxError):
    """An optional dependency that is not installed."""

    def __init__(self, module: str, extra: str) -> None:
        super().__init__(f"{module} is not installed: pip install 'ftx-edge[{extra}]'")


def require(module: str, extra: str) -> None:
    """Raise MissingExtraError unless ``module`` can be imported; ``extra`` is what installs it."""
    if importlib.util.find_spec(module) is None:
        raise MissingExtraError(module, extra)
