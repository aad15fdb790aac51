"""``ftx.json``: what a package is, where it came from, and the hashes of its files."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ftx_edge.errors import PackageError

FORMAT = 1
"""The version of the layout that this code writes, and the newest that it reads."""

MANIFEST = "ftx.json"
CARD = "README.md"
"""The model card: for people, who may edit it. It has no hash."""
INT8, FP32 = "onnx/model_quantized.onnx", "onnx/model.onnx"
TASKS = ("classification", "tagging", "joint")
BOUNDARIES = ("word", "token", "model")
WORD_LOGITS = "word_logits"
ALIGNMENTS = ("character-bridge", "first-subword")


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file of a package: its SHA-256 in hexadecimal and its size in bytes."""

    sha256: str
    size: int


def output_names(task: str, *, word_starts: bool) -> tuple[str, ...]:
    """Of the graph of a ``classification``, ``tagging`` or ``joint`` student: labels, tags, words."""
    heads = ("logits", "tag_logits") if task == "joint" else ("logits",)
    return (*heads, WORD_LOGITS) if word_starts else heads


@dataclass(frozen=True, slots=True)
class Manifest:
    """What ``ftx.json`` says.

    Args:
        task: ``classification``, ``tagging`` or ``joint``.
        language: code of the language that the student serves.
        architecture: the true one, whatever ``config.json`` says for compatibility.
        labels: sentence labels in the order of the logits; empty for a tagger.
        tags: BIO tags, ``O`` first, in the order of the logits; empty for a classifier.
        max_length: longest input in subwords; the rest of a text is cut off.
        files: every other file of the package but the model card, by its path with forward slashes.
        span_boundaries: ``word``: a span neither begins nor ends inside a word (languages that put spaces
            between words); ``token``: at any subword; ``model``: where the graph's ``word_logits`` say that
            a word begins.
        alignment: ``character-bridge``: every subword bears a tag; ``first-subword``: only the first of
            each word.
        segmenter: name of the word segmenter that the package needs on the device; None: none. A student of
            ``first-subword`` reads raw text and hears the first subword of each word; any other reads the
            words with a space between, and its spans begin and end with words.
        segmenter_options: what of the segmenter's library was chosen.
        min_score: below this score the label is withheld; None: never.
        provenance: hashes of teacher, mPLM and corpora, versions, seed, recipe.
        measured: agreement of the student with its teacher, and of each graph with the student.
    """

    task: str
    language: str
    architecture: str
    labels: tuple[str, ...]
    tags: tuple[str, ...]
    max_length: int
    files: Mapping[str, FileEntry]
    span_boundaries: str = "token"
    alignment: str = "character-bridge"
    segmenter: str | None = None
    segmenter_options: Mapping[str, Any] = field(default_factory=dict)
    min_score: float | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    measured: Mapping[str, Any] = field(default_factory=dict)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Of the graph, those that the runtime reads."""
        return output_names(self.task, word_starts=self.span_boundaries == "model")

    @property
    def model_file(self) -> str:
        """The graph that runs: int8 where the package has it."""
        return INT8 if INT8 in self.files else FP32

    def to_json(self) -> str:
        """The text of ``ftx.json``: the same for equal manifests."""
        values = {
            "format": FORMAT,
            "task": self.task,
            "language": self.language,
            "architecture": self.architecture,
            "labels": list(self.labels),
            "tags": list(self.tags),
            "max_length": self.max_length,
            "span_boundaries": self.span_boundaries,
            "alignment": self.alignment,
            "segmenter": self.segmenter,
            "segmenter_options": dict(self.segmenter_options),
            "min_score": self.min_score,
            "measured": self.measured,
            "provenance": self.provenance,
            "files": {n: {"sha256": e.sha256, "size": e.size} for n, e in sorted(self.files.items())},
        }
        return json.dumps(values, ensure_ascii=False, indent=2, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, content: bytes, where: str) -> Manifest:
        """Read ``ftx.json``.

        Args:
            content: its bytes.
            where: the package, for messages.

        Raises:
            PackageError: not JSON, a format that this version does not know, a field that is missing or
                of the wrong kind. Fields that this version does not know are passed over.
        """
        try:
            values = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise PackageError(f"{where}: {MANIFEST} is not JSON: {error}") from None
        if not isinstance(values, dict):
            raise PackageError(f"{where}: {MANIFEST} is not a JSON object")
        version = values.get("format")
        if version != FORMAT or isinstance(version, bool):
            raise PackageError(
                f"{where}: package format {version!r}; this version of ftx-edge reads format {FORMAT}: "
                "export the package again, or upgrade ftx-edge"
            )

        def get(name: str, fits: Callable[[Any], bool], default: Any = None) -> Any:
            value = values.get(name, default)
            if not fits(value):
                raise PackageError(f"{where}: {MANIFEST}: {name!r} is missing or not what it should be")
            return value

        manifest = cls(
            task=get("task", lambda v: v in TASKS),
            language=get("language", _is_text),
            architecture=get("architecture", _is_text),
            labels=tuple(get("labels", _are_names)),
            tags=tuple(get("tags", _are_tags)),
            max_length=get("max_length", lambda v: type(v) is int and 0 < v <= 1 << 20),
            files=_files(get("files", lambda v: isinstance(v, dict)), where),
            span_boundaries=get("span_boundaries", lambda v: v in BOUNDARIES, "token"),
            alignment=get("alignment", lambda v: v in ALIGNMENTS, "character-bridge"),
            segmenter=get("segmenter", lambda v: v is None or _is_text(v)),
            segmenter_options=get("segmenter_options", lambda v: isinstance(v, dict), {}),
            min_score=get("min_score", lambda v: v is None or (type(v) in (int, float) and 0 <= v <= 1)),
            provenance=get("provenance", lambda v: isinstance(v, dict), {}),
            measured=get("measured", lambda v: isinstance(v, dict), {}),
        )
        if bool(manifest.labels) != (manifest.task != "tagging") or bool(manifest.tags) != (
            manifest.task != "classification"
        ):
            raise PackageError(f"{where}: {MANIFEST}: labels and tags do not fit the task {manifest.task!r}")
        for needed in ("tokenizer.json", manifest.model_file):
            if needed not in manifest.files:
                raise PackageError(f"{where}: {MANIFEST} lists no {needed}")
        return manifest


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value)) and len(set(value)) == len(value)


def _are_tags(value: Any) -> bool:
    return _are_names(value) and (
        not value or (value[0] == "O" and all(t[:2] in ("B-", "I-") and len(t) > 2 for t in value[1:]))
    )


def _files(values: dict[str, Any], where: str) -> dict[str, FileEntry]:
    files = {}
    for name, entry in values.items():
        check_name(name, where)
        match entry:
            case {"sha256": str(sha256), "size": int(size)} if len(sha256) == 64 and size >= 0:
                if name != CARD:  # which earlier packages list
                    files[name] = FileEntry(sha256, size)
            case _:
                raise PackageError(f"{where}: {MANIFEST}: no SHA-256 and size for {name!r}")
    return files


def check_name(name: str, where: str) -> None:
    """Raise PackageError for a path that could leave the package, or that some systems read otherwise."""
    parts = name.split("/")
    if (
        not name.isprintable()
        or any(c in name for c in '\\:*?"<>|')
        or any(p in ("", ".", "..") for p in parts)
    ):
        raise PackageError(f"{where}: refused: file name {name!r} could lead out of the package")
