"""Everything that can produce soft labels, opened by a specification ``kind:rest``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ftx_edge.errors import FtxError, UsageError
from ftx_edge.soft_labels import Said, SoftTags, Teacher, WordSpans, check_distributions
from ftx_edge.spans import bio_tags, tag_labels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

KINDS = {
    "hf": "hf:<folder or hub id>, a Hugging Face classifier or tagger",
    "package": "package:<folder or .ftx>, an FTX-Edge package, or an ONNX model with its tokenizer",
    "recorded": "recorded:<file.jsonl>, predictions made elsewhere",
    "python": "python:<module>:<function>, a callable of yours",
    "run": "run:<folder>#mplm or run:<folder>#<language>, a model of a run",
}

__all__ = ["KINDS", "CheckedTeacher", "Teacher", "open_teacher"]


def open_teacher(
    spec: str, *, tagging: bool = False, device: str = "cpu", precision: str = "fp32"
) -> Teacher:
    """Open a teacher by its specification.

    Args:
        spec: ``hf:``, ``package:``, ``recorded:``, ``python:`` or ``run:`` and what it names.
        tagging: a tagger rather than a classifier, for kinds that must be told (``hf:``, ``python:``); of a
            ``package:`` or ``recorded:`` predictions with both, the tags alone.
        device: ``cpu``, ``cuda`` or ``mps``; for kinds that compute with torch.
        precision: ``fp32``, ``bf16`` or ``fp16``; likewise.

    Raises:
        UsageError: the kind is unknown, or the model has not the head that is asked for.
        FtxError: it cannot be loaded; a DataError names file and line.
    """
    kind, colon, rest = spec.partition(":")
    if not colon or kind not in KINDS or not rest:
        meant = f", such as hf:{spec}" if spec and not colon else ""
        raise UsageError(
            f"unknown teacher {spec!r}: write KIND:WHERE{meant}; kinds: {'; '.join(KINDS.values())}"
        )
    teacher = CheckedTeacher(_open(kind, rest, tagging=tagging, device=device, precision=precision), spec)
    if tagging and not teacher.tags:
        raise UsageError(f"teacher {spec} has no tags; it is no tagger")
    if not tagging and not teacher.labels and not teacher.tags:
        raise UsageError(f"teacher {spec} has no labels")
    if teacher.labels and len(teacher.labels) < 2:
        raise UsageError(
            f"teacher {spec} knows a single label, {teacher.labels[0]!r}: there is nothing to learn"
        )
    return teacher


def _open(kind: str, rest: str, *, tagging: bool, device: str, precision: str) -> Teacher:
    if kind == "recorded":
        from ftx_edge.teachers.recorded import RecordedTeacher

        return RecordedTeacher(Path(rest), tagging=tagging)
    if kind == "python":
        from ftx_edge.teachers.python import PythonTeacher

        return PythonTeacher(rest, tagging=tagging)
    if kind == "package" and Path(rest).is_dir() and not (Path(rest) / "ftx.json").exists():
        from ftx_edge.teachers.onnx import OnnxTeacher

        return OnnxTeacher(Path(rest))
    if kind == "package":
        from ftx_edge.teachers.package import PackageTeacher

        return PackageTeacher(Path(rest), tagging=tagging)
    import torch

    if kind == "run":
        from ftx_edge.teachers.run import open_run

        return open_run(rest, device=torch.device(device), precision=precision)
    from ftx_edge.teachers.hf import open_hf

    return open_hf(rest, tagging=tagging, device=torch.device(device), precision=precision)


class CheckedTeacher:
    """A teacher whose answers are checked to be distributions, over a whole set of BIO tags, ``O`` first.

    Tags that it never gives (``I-x`` where every x is one word) have probability 0.
    """

    def __init__(self, teacher: Teacher, spec: str) -> None:
        self.teacher, self.spec = teacher, spec
        self.labels, self.fingerprint = tuple(teacher.labels), teacher.fingerprint
        self.tags = _whole_set(tuple(teacher.tags), spec)
        self._columns = [self.tags.index(tag) for tag in teacher.tags]

    def ask(self, texts: Sequence[str], words: Sequence[WordSpans] | None = None) -> Said:
        """As ``Teacher.ask``; raises FtxError where rows do not sum to 1."""
        labels, tags = self.teacher.ask(texts, words)
        return Said(
            None if labels is None else self._checked_labels(labels, len(texts)),
            None if tags is None else self._checked_tags(tags),
        )

    def _checked_labels(self, found: NDArray, count: int) -> NDArray[np.float32]:
        probs = check_distributions(found, f"teacher {self.spec}")
        if probs.shape != (count, len(self.labels)):
            raise FtxError(
                f"teacher {self.spec} gave {probs.shape} for {count} texts, {len(self.labels)} labels"
            )
        return probs

    def _checked_tags(self, found: SoftTags) -> SoftTags:
        probs = np.zeros((len(found.probs), len(self.tags)), dtype=np.float32)
        probs[:, self._columns] = check_distributions(found.probs, f"teacher {self.spec}")
        return replace(found, tags=self.tags, probs=probs)


def _whole_set(tags: tuple[str, ...], spec: str) -> tuple[str, ...]:
    """``O``, ``B-a``, ``I-a``, ... for the labels in ``tags``; raises UsageError for what is not BIO."""
    if not tags:
        return ()
    if bad := [tag for tag in tags if tag != "O" and tag[:2] not in ("B-", "I-")]:
        raise UsageError(f"teacher {spec}: {bad[0]!r} is no BIO tag (O, B-..., I-...)")
    if "O" not in tags:
        raise UsageError(f"teacher {spec} is no BIO tagger: none of its tags is O ({', '.join(tags[:5])})")
    if len(set(tags)) < len(tags):
        raise UsageError(f"teacher {spec} has one tag twice: {', '.join(tags)}")
    return bio_tags(tag_labels(tags))
