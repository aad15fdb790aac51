"""Before a package is written: does the graph still say what the student says?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from ftx_edge.errors import GateError
from ftx_edge.exporters.graph import outputs_of
from ftx_edge.runtime.loading import open_session
from ftx_edge.runtime.manifest import FP32
from ftx_edge.runtime.package import EncodedText, Package
from ftx_edge.students import Student

SMALLEST = 1e-12
"""Probabilities below it count as it."""
FLOAT_TOLERANCE = 1e-3
"""Of logits, relative to the largest: float32 sums in another order differ by less."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far a graph says the same as the student, on the same texts, one at a time.

    Args:
        texts: how many.
        label_agreement: share of texts with the same label; None for a tagger.
        tag_agreement: share of subwords with the same tag; None for a classifier.
        span_f1: micro-F1 of the graph's spans against the student's; None for a classifier.
        largest_difference: of any probability, label or tag.
        divergence: mean KL(student || graph) of a text's label, in nats, plus that of a subword's tag.
    """

    texts: int
    label_agreement: float | None
    tag_agreement: float | None
    span_f1: float | None
    largest_difference: float
    divergence: float

    @property
    def drop(self) -> float:
        """The larger loss of the two heads: 1 - label agreement, 1 - span F1."""
        # Rounded: 297 of 300 is a loss of 0.01, not of 0.010000000000000009.
        return round(1 - min(v for v in (self.label_agreement, self.span_f1) if v is not None), 9)

    def to_dict(self) -> dict[str, Any]:
        """For JSON: without what the student has no head for; rounded, so that no last digit changes."""
        return {k: round(v, 6) for k, v in asdict(self).items() if v is not None}

    def __str__(self) -> str:
        parts = []
        if self.label_agreement is not None:
            parts.append(f"label agreement {self.label_agreement:.2%}")
        if self.span_f1 is not None:
            parts.append(f"span F1 {self.span_f1:.2%}, tag agreement {self.tag_agreement:.2%}")
        return ", ".join(parts) + f" on {self.texts} texts"


@dataclass(frozen=True, slots=True)
class Answers:
    """What a student, or a graph of it, says of each text.

    Args:
        labels: probabilities (N, C), or None.
        subwords: logits of a text's subwords, (T, K) of tags, and (T,) of words if it says them; or None.
    """

    labels: NDArray[np.float32] | None
    subwords: tuple[list[NDArray[np.float32]], ...] | None


@dataclass(frozen=True, slots=True)
class CheckedGraph:
    """A graph that runs at every length, and what it says of the gate's texts.

    Args:
        content: bytes of the ONNX file.
        answers: to the gate's texts.
        agreement: of these with the student.
        kept_float: names of the products that its int8 graph leaves in float32.
    """

    content: bytes
    answers: Answers
    agreement: Agreement
    kept_float: tuple[str, ...] = ()


class StudentSession:
    """A student with the one method of an ONNX Runtime session that is needed here."""

    def __init__(self, student: Student) -> None:
        self._student = student.eval()

    def run(
        self, names: Sequence[str], feed: dict[str, NDArray[np.int64]], _options: None = None
    ) -> list[NDArray[np.float32]]:
        """The outputs ``names`` of one forward pass."""
        with torch.inference_mode():
            outputs = self._student(*(torch.from_numpy(feed[n]) for n in ("input_ids", "attention_mask")))
        return [o.numpy() for o in outputs if o is not None]


@dataclass(frozen=True, slots=True)
class Gate:
    """Held-out texts, and what the student says of them: what every graph is held against.

    Args:
        student: that the graphs are made from.
        reader: reads texts and makes spans as the package will, behind its segmenter if it has one.
        texts: held out.
        encoded: the same, as ``reader`` reads them.
        reference: the student's answers.
    """

    student: Student
    reader: Package
    texts: Sequence[str]
    encoded: Sequence[EncodedText]
    reference: Answers

    @classmethod
    def of(cls, student: Student, reader: Package, texts: Sequence[str]) -> Gate:
        """Ask the student."""
        encoded = [reader.encode(text) for text in texts]
        return cls(student, reader, texts, encoded, answers(StudentSession(student), student, encoded))

    def first(self, count: int) -> Gate:
        """The gate of the first ``count`` texts."""
        labels, subwords = self.reference.labels, self.reference.subwords
        return Gate(
            self.student,
            self.reader,
            self.texts[:count],
            self.encoded[:count],
            Answers(
                None if labels is None else labels[:count], None if subwords is None else subwords[:count]
            ),
        )

    def agreement(self, graph: onnx.ModelProto) -> Agreement:
        """Of a graph with the student; its lengths are not checked."""
        session = open_session(graph.SerializeToString(), "a graph")
        return self._compare(answers(session, self.student, self.encoded))

    def check(self, graph: onnx.ModelProto, name: str) -> CheckedGraph:
        """Run a graph at every length and on every text; whether its agreement suffices is not judged here.

        Args:
            graph: of the student.
            name: its file's; the float32 graph has to be the student at every length.

        Raises:
            GateError: it is not, or an int8 graph gives no numbers at some length.
        """
        content = graph.SerializeToString(deterministic=True)
        session = open_session(content, name)
        check_lengths(session, self.student, exact=name == FP32)
        said = answers(session, self.student, self.encoded)
        return CheckedGraph(content, said, self._compare(said))

    def _compare(self, said: Answers) -> Agreement:
        return compare(self.reference, said, self.texts, self.encoded, self.reader)


def feed_of(ids: Sequence[Sequence[int]]) -> dict[str, NDArray[np.int64]]:
    """The inputs of a graph for rows of subwords, padded to the longest."""
    length = max(map(len, ids))
    rows = np.zeros((len(ids), length), dtype=np.int64)
    mask = np.zeros_like(rows)
    for number, row in enumerate(ids):
        rows[number, : len(row)] = row
        mask[number, : len(row)] = 1
    return {"input_ids": rows, "attention_mask": mask}


def answers(session: Any, student: Student, encoded: Sequence[EncodedText]) -> Answers:
    """Run every text by itself, as a device does."""
    names, first = outputs_of(student), 1 if student.config.labels else 0
    results = [session.run(names, feed_of([text.ids])) for text in encoded]
    labels = subwords = None
    if student.config.labels:
        labels = _softmax(np.concatenate([r[0] for r in results]))
    if student.config.tags:
        subwords = tuple([output[0] for output in r[first:]] for r in results)
    return Answers(labels, subwords)


def compare(
    student: Answers, graph: Answers, texts: Sequence[str], encoded: Sequence[EncodedText], package: Package
) -> Agreement:
    """Agreement of two sets of answers to the same texts; ``package`` makes spans of them, as a device."""
    label_agreement = tag_agreement = span_f1 = None
    difference = divergence = 0.0
    if student.labels is not None and graph.labels is not None:
        label_agreement = float((student.labels.argmax(1) == graph.labels.argmax(1)).mean())
        difference = float(np.abs(student.labels - graph.labels).max())
        divergence = float(_divergences(student.labels, graph.labels).mean())
    if student.subwords is not None and graph.subwords is not None:
        same = total = hits = found = expected = 0
        told = 0.0
        for text, read, own, other in zip(texts, encoded, student.subwords, graph.subwords, strict=True):
            ours, theirs = own[0], other[0]
            same += int((ours.argmax(1) == theirs.argmax(1)).sum())
            total += len(ours)
            probs = _softmax(ours), _softmax(theirs)
            difference = max(difference, float(np.abs(probs[0] - probs[1]).max()))
            told += float(_divergences(*probs).sum())
            spans = [
                {(s.start, s.end, s.label) for s in package.decode(text, read, *logits)}
                for logits in (own, other)
            ]
            hits += len(spans[0] & spans[1])
            expected += len(spans[0])
            found += len(spans[1])
        tag_agreement = same / total
        divergence += told / total
        span_f1 = 2 * hits / (found + expected) if found + expected else 1.0
    # Of equal distributions it is 0 but for the last digit, which may be below.
    return Agreement(len(texts), label_agreement, tag_agreement, span_f1, difference, max(divergence, 0.0))


def check_lengths(session: Any, student: Student, *, exact: bool) -> None:
    """Run a graph on made-up inputs of every length, alone and padded.

    Args:
        session: of the graph.
        student: what it was made from.
        exact: a float32 graph: its logits must be the student's, and padding must change nothing. An
            int8 graph must give finite numbers in the right shape.

    Raises:
        GateError: names the first length at which it does not hold.
    """
    config = student.config
    reference = StudentSession(student)
    names = outputs_of(student)
    rng = np.random.default_rng(0)
    # Token 0 is padding, which no text contains.
    ids = rng.integers(1, config.vocab_size, size=config.max_length)
    for length in range(1, config.max_length + 1):
        feed = feed_of([ids[:length].tolist()])
        _same(session.run(names, feed), reference.run(names, feed), exact, f"{length} subwords")
    if exact and config.max_length > 1:
        short = config.max_length // 2
        feed = feed_of([ids.tolist(), ids[:short].tolist()])
        alone = session.run(names, feed_of([ids[:short].tolist()]))
        of_text = {"logits"} if config.labels else set()
        outputs = zip(names, session.run(names, feed), strict=True)
        padded = [o[1:] if name in of_text else o[1:, :short] for name, o in outputs]
        _same(padded, alone, exact, f"{short} subwords in a batch of {config.max_length}")


def _same(
    ours: list[NDArray[np.float32]], theirs: list[NDArray[np.float32]], exact: bool, where: str
) -> None:
    for mine, other in zip(ours, theirs, strict=True):
        if mine.shape != other.shape or not np.isfinite(mine).all():
            raise GateError(
                f"the graph fails at {where}: shape {mine.shape}, expected {other.shape} and finite"
            )
        error = float(np.abs(mine - other).max())
        if exact and error > FLOAT_TOLERANCE * max(1.0, float(np.abs(other).max())):
            raise GateError(f"the graph is not the student at {where}: logits differ by {error:.2g}")


def _divergences(student: NDArray[np.float32], graph: NDArray[np.float32]) -> NDArray[np.float64]:
    """KL of each row of two distributions (N, C), in nats."""
    p, q = (np.maximum(probs.astype(np.float64), SMALLEST) for probs in (student, graph))
    return np.sum(p * np.log(p / q), axis=1)


def _softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)
