"""The word segmenter that a package may need; few do."""

from __future__ import annotations

from collections.abc import Callable

from ftx_edge.errors import MissingExtraError, PackageError, UsageError
from ftx_edge.runtime.manifest import Manifest

Segmenter = Callable[[str], list[tuple[int, int]]]
"""The words of a text as character spans."""

EXTRAS = {"jieba": "zh", "fugashi": "ja", "pythainlp": "th"}


def load_segmenter(manifest: Manifest, where: str) -> Segmenter:
    """The segmenter that the manifest names.

    Args:
        manifest: names it, and the options that the student learned with.
        where: the package, for messages.

    Raises:
        MissingExtraError: it is not installed.
        PackageError: this version has none of that name, or has it with other options.
    """
    name = manifest.segmenter or ""
    try:
        # The one import from the rest of the project, and only for packages that ask for it.
        from ftx_edge.words import segmenter
    except ImportError:
        raise MissingExtraError(name, EXTRAS.get(name, "train")) from None
    try:
        found = segmenter(manifest.language, name)
    except UsageError as error:
        raise PackageError(
            f"{where}: this version of ftx-edge cannot cut its words: {error}: upgrade ftx-edge"
        ) from None
    if found.options != manifest.segmenter_options:
        raise PackageError(
            f"{where}: made with {name} {dict(manifest.segmenter_options)}, but this version of ftx-edge has "
            f"{found.options}: install the version that made it, or export it again"
        )
    return found
