"""The files of a package, a folder or a ``.ftx`` archive, read in memory and checked against their hashes."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol

from ftx_edge.errors import PackageError
from ftx_edge.runtime.manifest import CARD, MANIFEST, Manifest, check_name

if TYPE_CHECKING:
    import zipfile
    from hashlib import sha256
else:
    # The interpreter's own SHA-256: hashlib would load OpenSSL, 3 MB of the device's memory.
    try:
        from _sha2 import sha256  # Python 3.12
    except ImportError:
        try:
            from _sha256 import sha256
        except ImportError:
            from hashlib import sha256

LARGEST_MANIFEST = 64 << 20
LARGEST_FILE = 2 << 30
"""Bytes. ONNX graphs end at 2 GiB; more is not a package but an attempt to fill the memory."""


class Source(Protocol):
    """Where the files lie: their sizes by name, and a stream of each."""

    sizes: dict[str, int]

    def open(self, name: str) -> IO[bytes]:
        """The bytes of a file."""
        ...


class Contents:
    """A package that was opened: its manifest, and its files, each verified as it is read.

    Attributes:
        where: the path, for messages.
        manifest: what ``ftx.json`` says.
        sizes: bytes of every file, by name.
        fingerprint: SHA-256 of ``ftx.json``; as that holds the hashes of all others, of the package.
    """

    def __init__(self, source: Source, where: str) -> None:
        self._source, self.where, self.sizes = source, where, source.sizes
        if MANIFEST not in self.sizes:
            raise PackageError(f"{where}: not an FTX-Edge package: {MANIFEST} is missing")
        if self.sizes[MANIFEST] > LARGEST_MANIFEST:
            raise PackageError(f"{where}: {MANIFEST} has {self.sizes[MANIFEST]:,} bytes")
        content = b"".join(self._blocks(MANIFEST))
        self.fingerprint = sha256(content).hexdigest()
        self.manifest = Manifest.from_json(content, where)
        listed = self.manifest.files
        if unknown := sorted(self.sizes.keys() - listed.keys() - {MANIFEST, CARD}):
            raise PackageError(
                f"{where}: refused: {MANIFEST} does not list the file {unknown[0]!r}; remove it"
            )
        if missing := sorted(listed.keys() - self.sizes.keys()):
            raise PackageError(f"{where}: {missing[0]} is missing: the package is incomplete, copy it again")
        for name, entry in listed.items():
            if self.sizes[name] != entry.size:
                raise PackageError(
                    f"{where}: {name} has {self.sizes[name]:,} bytes, {MANIFEST} says {entry.size:,}: "
                    "the package is damaged or was changed, copy it again"
                )

    def read(self, name: str) -> bytes:
        """The verified bytes of a file; raises PackageError where they are not what the manifest says."""
        blocks = list(self._blocks(name))
        content = blocks[0] if len(blocks) == 1 else b"".join(blocks)
        self._compare(name, sha256(content).hexdigest())
        return content

    def local_path(self, name: str) -> Path | None:
        """Where the file lies on the disk; None inside an archive."""
        return self._source.root / name if isinstance(self._source, _Folder) else None

    def verify(self, name: str) -> None:
        """The same check, without keeping the file in memory."""
        digest = sha256()
        for block in self._blocks(name, 1 << 18):
            digest.update(block)
        self._compare(name, digest.hexdigest())

    def _compare(self, name: str, found: str) -> None:
        if found != self.manifest.files[name].sha256:
            raise PackageError(
                f"{self.where}: {name} does not have the SHA-256 that {MANIFEST} says: "
                "the package is damaged or was changed, copy it again"
            )

    def _blocks(self, name: str, size: int = LARGEST_FILE) -> Iterator[bytes]:
        left = self.sizes[name]
        try:
            with self._source.open(name) as stream:
                while left and (block := stream.read(min(left, size))):
                    left -= len(block)
                    yield block
        except PackageError:
            raise
        # A damaged archive fails in zipfile, zlib, lzma or bz2, each with errors of its own.
        except Exception as error:
            raise PackageError(f"{self.where}: {name} cannot be read: {error}") from None


@contextmanager
def open_contents(path: str | os.PathLike[str]) -> Iterator[Contents]:
    """Open a package, a folder or a ``.ftx`` file.

    Raises:
        PackageError: it does not exist, is not a package, is truncated, holds links, names that lead
            out of it, files that its manifest does not list, or lacks some that it does.
    """
    root = Path(path)
    where = str(path)
    if root.is_dir():
        yield Contents(_Folder(root, where), where)
    elif root.is_file():
        import zipfile

        try:
            archive = zipfile.ZipFile(root)
        # RuntimeError and its kinds are what zipfile says of archives that it does not read.
        except (zipfile.BadZipFile, OSError, ValueError, RuntimeError) as error:
            raise PackageError(
                f"{where}: neither a package folder nor a whole .ftx file ({error}): copy it again"
            ) from None
        with archive:
            yield Contents(_Archive(archive, where), where)
    else:
        raise PackageError(f"{where}: no such package")


class _Folder:
    def __init__(self, root: Path, where: str) -> None:
        self.root = root
        self.sizes: dict[str, int] = {}
        self._scan(root, "", where)

    def _scan(self, folder: Path, prefix: str, where: str) -> None:
        with os.scandir(folder) as entries:
            for entry in entries:
                name = prefix + entry.name
                if entry.name.startswith("."):
                    continue  # .gitattributes of a hub, .DS_Store: never read
                if entry.is_symlink():
                    raise PackageError(f"{where}: refused: {name} is a link; copy the file itself")
                if entry.is_dir():
                    self._scan(folder / entry.name, f"{name}/", where)
                elif entry.is_file():
                    self.sizes[name] = entry.stat().st_size
                else:
                    raise PackageError(f"{where}: refused: {name} is not an ordinary file")

    def open(self, name: str) -> IO[bytes]:
        return open(self.root / name, "rb", buffering=0)


class _Archive:
    def __init__(self, archive: zipfile.ZipFile, where: str) -> None:
        self._archive = archive
        self.sizes: dict[str, int] = {}
        for info in archive.infolist():
            name = info.orig_filename
            check_name(name.removesuffix("/"), where)
            if stat.S_ISLNK(info.external_attr >> 16):
                raise PackageError(f"{where}: refused: {name} is a link")
            if name.endswith("/"):
                continue
            if info.flag_bits & 1:
                raise PackageError(f"{where}: refused: {name} is encrypted")
            if name in self.sizes:
                raise PackageError(f"{where}: refused: {name} is in the archive twice")
            if info.file_size > LARGEST_FILE:
                raise PackageError(f"{where}: refused: {name} would have {info.file_size:,} bytes")
            self.sizes[name] = info.file_size

    def open(self, name: str) -> IO[bytes]:
        return self._archive.open(name)
