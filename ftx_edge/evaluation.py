"""How well a package, a run or a teacher does on labelled text: what reads the labels of a test set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ftx_edge.data import Utterance, read_utterances
from ftx_edge.errors import DataError, UsageError
from ftx_edge.files import sha256_of
from ftx_edge.metrics import (
    Calibration,
    Confusion,
    LabelScore,
    Proportion,
    Score,
    SpanScore,
    accuracy,
    calibration,
    confusions,
    joint_exact_match,
    label_table,
    span_score,
)
from ftx_edge.soft_labels import Said, SoftTags, Teacher
from ftx_edge.spans import bio_to_spans, spans_to_bio, unaligned
from ftx_edge.teachers.target import name_of, open_target
from ftx_edge.utterance import Span
from ftx_edge.words import segmenter

if TYPE_CHECKING:
    from ftx_edge.distillation.progress import Progress
    from ftx_edge.runtime import Package, PredictedSpan


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` measured; figures that the test set or the target does not allow are None.

    Attributes:
        target, reference: as they were asked for; ``reference`` None if there was none.
        test, test_sha256, n: the test set.
        language: of the words over which spans are counted; None: words between spaces.
        accuracy: of the label, with its 95 % interval (Wilson).
        agreement: share of texts that target and reference give the same label.
        answered: share of texts with a label, of a package that withholds doubtful ones; all figures beside
            the next one are of the labels that it would give to all.
        accuracy_of_answered: of the label, among these.
        macro_f1: mean of the F1 of all labels that occur in the test set or in the answers.
        labels: precision, recall and F1 of each label.
        confusions: the pairs of labels that were confused most often.
        calibration: expected calibration error of the label's probability, and its bins.
        spans: micro F1 over words, as published figures are (strict, as seqeval), and of each label.
        spans_by_character: micro F1 of spans whose every character is right: what a user sees.
        rounded: spans of the test set that cut a word; over words they are taken to its edges.
        span_agreement: micro F1 of the target's spans against the reference's, over words.
        joint: share of texts with the label and all spans right.
        unknown_labels: labels of the test set that the target does not know; each counts as an error.
        untranslated: for translate-test, texts that had no translation.
    """

    target: str
    reference: str | None
    test: str
    test_sha256: str
    n: int
    language: str | None = None
    accuracy: Proportion | None = None
    agreement: Proportion | None = None
    answered: Proportion | None = None
    accuracy_of_answered: Proportion | None = None
    macro_f1: float | None = None
    labels: tuple[LabelScore, ...] = ()
    confusions: tuple[Confusion, ...] = ()
    calibration: Calibration | None = None
    spans: SpanScore | None = None
    spans_by_character: Score | None = None
    rounded: int | None = None
    span_agreement: Score | None = None
    joint: Proportion | None = None
    unknown_labels: tuple[str, ...] = ()
    untranslated: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """For JSON: plain values; None where there is no figure."""
        values = asdict(self)
        for name in ("labels", "confusions", "unknown_labels"):
            values[name] = list(values[name])
        return values


@dataclass(frozen=True)
class _Answers:
    """What a model says of each text: label and probability, spans; None without that head."""

    labels: list[str] | None
    confidences: NDArray[np.float32] | None
    spans: list[tuple[Span, ...]] | None


def evaluate(
    target: str | Teacher,
    test: Path | str,
    *,
    reference: str | Teacher | None = None,
    language: str | None = None,
    partition: str | None = None,
    device: str = "cpu",
    worst: int = 10,
    progress: Progress | None = None,
) -> Evaluation:
    """Score a model on labelled text.

    Args:
        target: a package (folder or ``.ftx``), a run folder, a teacher such as ``hf:<path>`` or
            ``run:<folder>#mplm``, ``translate-test:<translator>+<teacher>``, or a `Teacher` object.
        test: utterances with labels, spans or both.
        reference: a target to compare with. Default: the mPLM of the run that the target belongs to, if it
            belongs to one; ``none`` for no comparison.
        language: of the test set. Default: that of the package or student, of which it must be; it decides
            what a word is, and which student of a run folder is meant.
        partition: of a MASSIVE file: ``train``, ``dev`` or ``test``.
        device: of torch models.
        worst: how many confusions to list.

    Raises:
        UsageError: no such target; a target without a head that the test set has something to say of.
        DataError: a test set that cannot be read, or has neither labels nor spans.
    """
    test = Path(test)
    utterances = read_utterances(test, partition)
    has_labels, has_spans = _what_is_known(utterances, test)
    tagging = has_spans and not has_labels
    model, language, own_mplm = open_target(target, language, tagging, device)
    reference = own_mplm if reference is None else reference
    if progress:
        progress.start("evaluate", total=0)
    if not (has_labels and model.labels) and not (has_spans and model.tags):
        heads = "spans" if model.tags else "labels"
        raise UsageError(f"{name_of(target)} predicts {heads}, and {test} has none")
    answers = _ask(model, utterances, language, has_labels, has_spans)
    other = None
    if reference is not None and reference != "none":
        other_model, _, _ = open_target(reference, language, tagging, device)
        other = _ask(other_model, utterances, language, has_labels, has_spans)
    evaluation = Evaluation(
        target=name_of(target),
        reference=None if other is None or reference is None else name_of(reference),
        test=str(test),
        test_sha256=sha256_of(test),
        n=len(utterances),
        language=language,
        untranslated=getattr(model, "untranslated", None),
        **_label_figures(answers, other, utterances, model.labels, worst),
        **_answered_figures(answers, utterances, _min_score(model)),
        **_span_figures(answers, other, utterances, language),
    )
    if progress:
        progress.finish(f"{len(utterances):,} utterances")
    return evaluation


def _what_is_known(utterances: Sequence[Utterance], test: Path) -> tuple[bool, bool]:
    """Whether the test set has labels and spans; what some rows have, all must."""
    known = []
    for what in ("label", "spans"):
        with_it = [getattr(utterance, what) is not None for utterance in utterances]
        if any(with_it) and not all(with_it):
            raise DataError(f"record {with_it.index(False) + 1} has no {what}, others have", path=test)
        known.append(all(with_it))
    if not any(known):
        raise DataError("neither labels nor spans in it: a test set must have some", path=test)
    return known[0], known[1]


def _ask(
    model: Teacher, utterances: Sequence[Utterance], language: str | None, labels: bool, spans: bool
) -> _Answers:
    texts = [utterance.text for utterance in utterances]
    labels, tagging = labels and bool(model.labels), spans and bool(model.tags)
    if (package := _package(model)) is not None:
        return _ask_package(package, texts, labels, tagging)
    # Of a model with tags the labels, too, are those of the text as words, whatever the test set knows.
    segment = segmenter(language or "en") if model.tags else None
    words = [segment(text) for text in texts] if segment else None
    said = model.ask(texts, words) if labels or tagging else Said(None, None)
    names = confidences = found = None
    if labels and said.labels is not None:
        names = [model.labels[i] for i in said.labels.argmax(axis=1)]
        confidences = said.labels.max(axis=1)
    if tagging and segment and said.tags is not None:
        boundaries = "word" if segment.name == "whitespace" else "token"
        found = _decoded(said.tags, texts, boundaries)
    return _Answers(names, confidences, found)


def _ask_package(package: Package, texts: Sequence[str], labels: bool, spans: bool) -> _Answers:
    """As on the device, but for the score below which it withholds a label."""
    predictions = package.predict(texts, min_score=0.0 if labels else None)
    return _Answers(
        [prediction.label or "" for prediction in predictions] if labels else None,
        np.array([prediction.score for prediction in predictions], dtype=np.float32) if labels else None,
        [_spans(prediction.spans or ()) for prediction in predictions] if spans else None,
    )


def _decoded(tags: SoftTags, texts: Sequence[str], boundaries: str) -> list[tuple[Span, ...]]:
    from ftx_edge.runtime import decode

    return [
        _spans(decode(*tags.of_text(row), tags.tags, text, boundaries=boundaries, begins=tags.begins_of(row)))
        for row, text in enumerate(texts)
    ]


def _spans(predicted: Sequence[PredictedSpan]) -> tuple[Span, ...]:
    return tuple(Span(span.start, span.end, span.label) for span in predicted)


def _package(model: Teacher) -> Package | None:
    return getattr(getattr(model, "teacher", model), "package", None)


def _label_figures(
    answers: _Answers,
    other: _Answers | None,
    utterances: Sequence[Utterance],
    known: Sequence[str],
    worst: int,
) -> dict[str, Any]:
    if answers.labels is None or answers.confidences is None:
        return {}
    gold = [str(utterance.label) for utterance in utterances]
    right = [mine == true for mine, true in zip(answers.labels, gold, strict=True)]
    table = label_table(answers.labels, gold)
    return {
        "accuracy": accuracy(answers.labels, gold),
        "agreement": accuracy(answers.labels, other.labels) if other and other.labels else None,
        "macro_f1": sum(row.score.f1 for row in table) / len(table),
        "labels": table,
        "confusions": confusions(answers.labels, gold, worst),
        "calibration": calibration(answers.confidences, right),
        "unknown_labels": tuple(sorted(set(gold) - set(known))),
    }


def _min_score(model: Teacher) -> float | None:
    """Below which a package withholds its label."""
    package = _package(model)
    return None if package is None else package.manifest.min_score


def _answered_figures(
    answers: _Answers, utterances: Sequence[Utterance], min_score: float | None
) -> dict[str, Any]:
    if answers.labels is None or answers.confidences is None or min_score is None:
        return {}
    kept = [row for row, score in enumerate(answers.confidences) if score >= min_score]
    gold = [str(utterances[row].label) for row in kept]
    return {
        "answered": Proportion.of(len(kept), len(utterances)),
        "accuracy_of_answered": accuracy([answers.labels[row] for row in kept], gold) if kept else None,
    }


def _span_figures(
    answers: _Answers, other: _Answers | None, utterances: Sequence[Utterance], language: str | None
) -> dict[str, Any]:
    if answers.spans is None:
        return {}
    segment = segmenter(language or "en")
    words = [segment(utterance.text) for utterance in utterances]

    def over_words(spans: Sequence[Sequence[Span]]) -> list[tuple[Span, ...]]:
        return [bio_to_spans(spans_to_bio(of, own), own) for of, own in zip(spans, words, strict=True)]

    gold = [utterance.spans or () for utterance in utterances]
    mine, true = over_words(answers.spans), over_words(gold)
    joint = None
    if answers.labels is not None:
        joint = joint_exact_match(answers.labels, mine, [str(u.label) for u in utterances], true)
    return {
        "spans": span_score(mine, true),
        "spans_by_character": span_score(answers.spans, gold).micro,
        "rounded": sum(len(unaligned(of, own)) for of, own in zip(gold, words, strict=True)),
        "span_agreement": span_score(mine, over_words(other.spans)).micro if other and other.spans else None,
        "joint": joint,
    }
