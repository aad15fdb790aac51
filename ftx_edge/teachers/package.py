"""``package:<path>``: an FTX-Edge package."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ftx_edge.files import sha256_of
from ftx_edge.soft_labels import Said, SoftTags, WordSpans


class PackageTeacher:
    """What a package says; it cuts words by itself.

    Args:
        path: folder or ``.ftx`` file.
        tagging: its tags alone are wanted, whatever else it says.
    """

    def __init__(self, path: Path, *, tagging: bool = False) -> None:
        from ftx_edge.runtime import load

        self.package = load(path)
        manifest = self.package.manifest
        self.labels: tuple[str, ...] = () if tagging else tuple(manifest.labels)
        self.tags: tuple[str, ...] = tuple(manifest.tags)
        self.fingerprint = sha256_of(path)

    def ask(self, texts: Sequence[str], words: Sequence[WordSpans] | None = None) -> Said:
        """A unit for each subword of the package; where the words are plays no part."""
        labels = self.package.soft_labels(texts) if self.labels else None
        if not self.tags or words is None:
            return Said(labels, None)
        found = self.package.soft_tags(texts)
        return Said(labels, SoftTags(self.tags, found.offsets, found.probs, found.splits))
