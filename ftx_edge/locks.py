"""Locks that end with the process that holds them.

They are the system's (``flock``), so that none is left behind by a process that was killed. Where the system
has no such locks, everybody gets them.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from ftx_edge.files import sha256_of_text

try:
    import fcntl
except ImportError:
    fcntl = None  # type: ignore[assignment]


def has_locks() -> bool:
    """Whether the system has them."""
    return fcntl is not None


@contextlib.contextmanager
def try_lock(folder: Path, name: str) -> Iterator[bool]:
    """Yield whether this process got the lock ``name``; it never waits.

    The file says who holds it, or who held it last.
    """
    with _opened(folder / f"{sha256_of_text(name)[:16]}.lock") as file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
        file.truncate(0)
        file.write(f"{name}: process {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
        yield True


@contextlib.contextmanager
def one_at_a_time(path: Path) -> Iterator[None]:
    """Wait until no other process is between the same lines, by a lock file at ``path``."""
    with _opened(path) as file:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _opened(path: Path) -> TextIO:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("a+", encoding="utf-8")
