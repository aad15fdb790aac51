"""Locks that end with the process that holds them."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from ftx_edge.files import sha256_of_text


@contextlib.contextmanager
def try_lock(folder: Path, name: str) -> Iterator[bool]:
    """Yield whether this process got the lock ``name``; it never waits.

    The lock is the system's (``flock``), so that none is left behind by a process that was killed; the file
    says who holds it, or who held it last. Where the system has no such locks, everybody gets it.
    """
    try:
        import fcntl
    except ImportError:
        yield True
        return
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{sha256_of_text(name)[:16]}.lock").open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        file.truncate(0)
        file.write(f"{name}: process {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
        yield True
