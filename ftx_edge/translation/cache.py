"""Translations on disk, found again by translator and text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from ftx_edge.files import sha256_of_text
from ftx_edge.kept import KeptValues


class TranslationCache:
    """One file, which several processes may share.

    Raises:
        DataError: the file is not a cache, or cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._kept = KeptValues(path, "translations", "translation")

    @classmethod
    def of(cls, folder: Path) -> TranslationCache:
        """The one of a folder in which runs keep what they may share."""
        return cls(folder / "translations.sqlite")

    def get(self, fingerprint: str, texts: Sequence[str]) -> list[str | None]:
        """The known translation of each text, None where there is none."""
        return self._kept.get([_key(fingerprint, text) for text in texts])

    def put(self, fingerprint: str, pairs: Iterable[tuple[str, str]]) -> None:
        """Keep pairs of text and translation."""
        self._kept.put([(_key(fingerprint, text), translation) for text, translation in pairs])


def _key(fingerprint: str, text: str) -> str:
    return sha256_of_text(fingerprint, text)
