"""The source model as step 1 asks it: a classifier, a tagger, or one of each."""

from __future__ import annotations

from pathlib import Path

from ftx_edge.distillation.corpus import Corpus
from ftx_edge.distillation.ensemble import OneForEachHead, averaged
from ftx_edge.errors import DataError, UsageError
from ftx_edge.recipe import Recipe
from ftx_edge.teachers import open_teacher


def ask_recorded(recipe: Recipe, source: Corpus) -> None:
    """Raise DataError where a recorded teacher has no answer to an English text: hours before it is asked."""
    teacher, more = recipe.teacher, recipe.ensemble
    texts = (*source.train, *source.held_out)
    for spec in (teacher.label, *more.labels):
        if spec.startswith("recorded:"):
            open_teacher(spec).soft_labels(texts)
    for spec in (teacher.tag, *more.tags):
        if spec.startswith("recorded:"):
            open_teacher(spec, tagging=True).soft_tags(texts, ())


def open_teachers(recipe: Recipe, *, device: str) -> OneForEachHead:
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
    return OneForEachHead(label, tag)
