"""`ftx-edge inspect`: what a package is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ftx_edge.cli.options import Json, Package
from ftx_edge.cli.output import megabytes, print_json, print_table
from ftx_edge.errors import PackageError

if TYPE_CHECKING:
    from ftx_edge.runtime import Inspection, Manifest


def inspect_cli(package: Package, json: Json = False) -> None:
    """Show what a package is: task, labels, origin, measurements, sizes, and whether its hashes hold.

    A package with a file that was changed is shown all the same, and ends with an error.

    \b
    Examples:
        ftx-edge inspect runs/demo/packages/pt
        ftx-edge inspect pt.ftx --json
    """
    from ftx_edge import inspect

    inspection = inspect(package)
    if json:
        print_json(inspection.to_dict())
    else:
        _print(inspection)
    if inspection.problems:
        raise PackageError("; ".join(inspection.problems))


def _boundaries(manifest: Manifest) -> str:
    if manifest.segmenter:
        return "with words, as the segmenter parts them"
    return {
        "word": "with words, as spaces and punctuation part them",
        "token": "with any subword",
        "model": "with words, as the model parts them",
    }[manifest.span_boundaries]


def _print(inspection: Inspection) -> None:
    manifest = inspection.manifest
    facts = {
        "task": manifest.task,
        "language": manifest.language,
        "architecture": manifest.architecture,
        "labels": _listed(manifest.labels),
        "tags": _listed(manifest.tags),
        "longest input": f"{manifest.max_length} subwords",
        "segmenter": manifest.segmenter or "none needed",
        "spans begin and end": _boundaries(manifest) if manifest.tags else "",
        "label withheld below": "never" if manifest.min_score is None else manifest.min_score,
        "fingerprint": inspection.fingerprint,
    }
    for name, fact in facts.items():
        if fact != "":
            print(f"{name + ':':<22}{fact}")
    for title, values in (("measured", manifest.measured), ("provenance", manifest.provenance)):
        if values:
            print(f"\n{title}:")
            for name, value in _flat(values):
                print(f"  {name}: {value}")
    print()
    print_table(
        ("part", "size", "share"),
        [
            (part, megabytes(size), f"{100 * size / inspection.size:.1f} %")
            for part, size in inspection.parts.items()
            if size
        ],
    )
    print()
    print_table(
        ("file", "size", "SHA-256"),
        [(name, megabytes(size), _verdict(inspection, name)) for name, size in inspection.files.items()],
    )
    print(f"\nall files: {megabytes(inspection.size)}")


def _verdict(inspection: Inspection, name: str) -> str:
    if name not in inspection.verified:
        return "lists the others" if name == "ftx.json" else "not checked: for people"
    return "verified" if inspection.verified[name] else "DOES NOT MATCH"


def _listed(names: tuple[str, ...], most: int = 6) -> str:
    if not names:
        return ""
    more = f", ... ({len(names)} in all)" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _flat(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Nested mappings as dotted names."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}.")
        elif isinstance(value, float):
            yield f"{before}{name}", f"{value:.4g}"
        else:
            yield f"{before}{name}", value
