"""Files that are either whole or not there, and the hashes that tell them apart."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Can only be read by being set: once, before there are threads.
_UMASK = os.umask(0)
os.umask(_UMASK)


@contextmanager
def write_atomically(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` (file or folder, not made yet); renamed at the end.

    If the body raises, what it wrote is removed and ``path`` stays as it was. An existing folder is
    replaced whole. Others may read it where the umask lets them, whatever library wrote it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    remove(aside)
    try:
        yield aside
        for file in aside.rglob("*") if aside.is_dir() else (aside,):
            if file.is_file():
                file.chmod(0o666 & ~_UMASK)
        if aside.is_dir() and path.exists():
            old = path.with_name(f".{path.name}.{os.getpid()}.old")
            os.replace(path, old)
            os.replace(aside, path)
            remove(old)
        else:
            os.replace(aside, path)
    finally:
        remove(aside)


def remove(path: Path) -> None:
    """Delete a file or a folder tree; nothing happens where there is none."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, or of a folder: names and contents of all its files in order of name."""
    digest = hashlib.sha256()
    if path.is_dir():
        for file in sorted(p for p in path.rglob("*") if p.is_file()):
            digest.update(f"{file.relative_to(path).as_posix()}\0{sha256_of(file)}\0".encode())
    else:
        with path.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def sha256_of_text(*parts: str) -> str:
    """The SHA-256 of texts in this order; where one ends and the next begins counts."""
    digest = hashlib.sha256()
    for part in parts:
        encoded = part.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(8, "little"))
        digest.update(encoded)
    return digest.hexdigest()
