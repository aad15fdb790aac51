"""The source model as step 1 asks it: a classifier, a tagger, or one of each."""

from __future__ import annotations

from pathlib import Path

from ftx_edge.distillation.corpus import Corpus
from ftx_edge.distillation.ensemble import OneForEachHead, averaged
from ftx_edge.errors import DataError, UsageError
from ftx_edge.recipe import Recipe
from ftx_edge.soft_labels import Teacher
from ftx_edge.teachers import open_teacher

Named = list[tuple[str, Teacher]]
"""Teachers with what the recipe calls them."""


def open_teachers(recipe: Recipe, *, device: str) -> OneForEachHead:
    """`open_each`, as one teacher."""
    return one_for_each_head(recipe, *open_each(recipe, device=device))


def open_each(recipe: Recipe, *, device: str) -> tuple[Named, Named]:
    """Open the classifiers and the taggers that ``[teacher]`` and ``[ensemble]`` name.

    Raises:
        UsageError: one has not the head that is asked for.
        DataError: a corpus is not there; raised first.
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
    return classifiers, taggers


def one_for_each_head(recipe: Recipe, classifiers: Named, taggers: Named) -> OneForEachHead:
    """The source model as step 1 asks it; raises UsageError where several cannot be averaged."""
    alignment = recipe.alignment
    label = averaged(classifiers, head="labels", alignment=alignment) if classifiers else None
    tag = averaged(taggers, head="tags", alignment=alignment) if taggers else None
    return OneForEachHead(label, tag)


def ask_recorded(classifiers: Named, taggers: Named, source: Corpus) -> None:
    """Raise DataError where a recorded teacher has no answer to an English text: hours before it is asked."""
    texts = (*source.train, *source.held_out)
    for spec, classifier in classifiers:
        if spec.startswith("recorded:"):
            classifier.ask(texts)
    for spec, tagger in taggers:
        if spec.startswith("recorded:"):
            tagger.ask(texts, ())
