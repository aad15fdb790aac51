"""The source model as step 1 asks it: a classifier, a tagger, or one of each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ftx_edge.distillation.ensemble import averaged
from ftx_edge.errors import DataError, UsageError
from ftx_edge.files import sha256_of_text
from ftx_edge.recipe import Recipe
from ftx_edge.soft_labels import SoftTags, Teacher, WordSpans
from ftx_edge.teachers import open_teacher


class SourceTeachers:
    """The source classifier, the source tagger, or both, as one teacher."""

    def __init__(self, label: Teacher | None, tag: Teacher | None) -> None:
        self._label, self._tag = label, tag
        self.labels = label.labels if label else ()
        self.tags = tag.tags if tag else ()
        self.fingerprint = sha256_of_text(*(t.fingerprint if t else "" for t in (label, tag)))

    def soft_labels(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(N, C) float32."""
        assert self._label is not None
        return self._label.soft_labels(texts)

    def soft_tags(self, texts: Sequence[str], words: Sequence[WordSpans]) -> SoftTags:
        """Units as the tagger cuts them."""
        assert self._tag is not None
        return self._tag.soft_tags(texts, words)


def open_teachers(recipe: Recipe, *, device: str) -> SourceTeachers:
    """Open what ``[teacher]`` names; raises UsageError where it has not the head that is asked for.

    A corpus that is not there is a DataError, raised first.
    """
    # Before a model is looked for, perhaps on a hub: a mistyped file is found out at once.
    for path in (recipe.data.source, *recipe.data.targets.values()):
        if not Path(path).exists():
            raise DataError("no such file", path=path)
    teacher, more = recipe.teacher, recipe.ensemble
    classifiers = [(s, open_teacher(s, device=device)) for s in (teacher.label, *more.labels) if s]
    taggers = [(s, open_teacher(s, tagging=True, device=device)) for s in (teacher.tag, *more.tags) if s]
    for spec, classifier in classifiers:
        if not classifier.labels:
            raise UsageError(f"teacher.label {spec} is a tagger: name it teacher.tag (--tag-teacher)")
    alignment = recipe.alignment
    label = averaged(classifiers, head="labels", alignment=alignment) if classifiers else None
    tag = averaged(taggers, head="tags", alignment=alignment) if taggers else None
    return SourceTeachers(label, tag)
