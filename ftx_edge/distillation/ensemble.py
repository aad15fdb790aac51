"""Several teachers as one: what they say, averaged.

The arithmetic mean of probabilities: to learn from it is, but for a constant, to minimise the mean of the KL
divergences from all teachers.
"""

from __future__ import annotations

from collections.abc import Sequence

from ftx_edge.distillation.mixed import MixedTeacher
from ftx_edge.errors import UsageError
from ftx_edge.files import sha256_of_text
from ftx_edge.soft_labels import Said, SoftTags, Teacher, WordSpans


def averaged(teachers: Sequence[tuple[str, Teacher]], *, head: str = "", alignment: str) -> Teacher:
    """The mean of teachers that know the same labels and tags, in whatever order; one stays as it is.

    Args:
        teachers: with what they are called in messages; the first one's order of labels and tags is taken.
        head: ``labels`` or ``tags`` where only that head is asked; "" for all that the first one has.
        alignment: how a word's tags are read off units that are not words; the mean is over words.

    Raises:
        UsageError: one knows other labels or tags; lists the difference.
    """
    first_name, first = teachers[0]
    if len(teachers) == 1:
        return first
    labels = first.labels if head != "tags" else ()
    tags = first.tags if head != "labels" else ()
    for name, teacher in teachers[1:]:
        for what, mine, theirs in (("label", labels, teacher.labels), ("tag", tags, teacher.tags)):
            if mine and (differing := sorted(set(mine) ^ set(theirs))):
                raise UsageError(
                    f"{first_name} and {name} cannot be averaged: only one of them knows the {what} "
                    f"{', '.join(differing)}"
                )
    ordered = [InOrder(teacher, labels, tags) for _, teacher in teachers]
    return MixedTeacher(ordered, mean="arithmetic", alignment=alignment)


def averaged_by_head(teachers: Sequence[tuple[str, Teacher]], *, alignment: str) -> Teacher:
    """As `averaged`; beside a first one of labels and tags, others may know one of the two alone.

    Each head is the mean of those that have it.
    """

    def knowing(head: str) -> list[tuple[str, Teacher]]:
        return [(name, teacher) for name, teacher in teachers if getattr(teacher, head)]

    labels, tags = knowing("labels"), knowing("tags")
    _, first = teachers[0]
    if not (first.labels and first.tags) or len(labels) == len(tags) == len(teachers):
        return averaged(teachers, alignment=alignment)
    return OneForEachHead(
        averaged(labels, head="labels", alignment=alignment),
        averaged(tags, head="tags", alignment=alignment),
        as_words=True,
    )


class OneForEachHead:
    """A classifier, a tagger, or both, as one teacher.

    Args:
        label: asked for labels.
        tag: asked for tags.
        as_words: the labels are those of the texts as words, where ``label`` is of tags too.
    """

    def __init__(self, label: Teacher | None, tag: Teacher | None, *, as_words: bool = False) -> None:
        self._label, self._tag, self._as_words = label, tag, as_words
        self.labels = label.labels if label else ()
        self.tags = tag.tags if tag else ()
        self.fingerprint = sha256_of_text(
            *(t.fingerprint if t else "" for t in (label, tag)), *(["as words"] if as_words else [])
        )

    def ask(self, texts: Sequence[str], words: Sequence[WordSpans] | None = None) -> Said:
        """Units as the tagger cuts them."""
        labels = self._label.ask(texts, words if self._as_words else None).labels if self._label else None
        return Said(labels, self._tag.ask(texts, words).tags if self._tag and words is not None else None)


class InOrder:
    """A teacher with the columns of another; heads that are not asked for are left out."""

    def __init__(self, teacher: Teacher, labels: tuple[str, ...], tags: tuple[str, ...]) -> None:
        self.teacher, self.labels, self.tags = teacher, labels, tags
        self.fingerprint = sha256_of_text(teacher.fingerprint, *labels, "\0", *tags)
        self._label_columns = [teacher.labels.index(label) for label in labels]
        self._tag_columns = [teacher.tags.index(tag) for tag in tags]

    def ask(self, texts: Sequence[str], words: Sequence[WordSpans] | None = None) -> Said:
        """Units as the teacher cuts them."""
        labels, tags = self.teacher.ask(texts, words)
        if tags is not None:
            tags = SoftTags(self.tags, tags.offsets, tags.probs[:, self._tag_columns], tags.splits)
        return Said(
            labels[:, self._label_columns] if self.labels and labels is not None else None,
            tags if self.tags else None,
        )
