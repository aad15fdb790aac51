"""A package answers: one text at a time, unpadded, or many."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, overload

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Tokenizer

from ftx_edge.errors import DataError, PackageError, UsageError
from ftx_edge.runtime.manifest import Manifest
from ftx_edge.runtime.segmenter import Segmenter
from ftx_edge.runtime.spans import PredictedSpan, SpanDecoder

LONGEST_TEXT = 1_000_000
"""Characters. A longer text is refused: it is a file by mistake, and its end would be cut off anyway."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a package says of a text.

    Args:
        text: as it was given.
        label: the most probable label; None from a tagger, of blank text, or where its score is below the
            minimum.
        score: the probability of the most probable label, between 0 and 1, 0 of blank text; None from a
            tagger.
        scores: the ``top_k`` most probable labels and their probabilities, best first; None if not asked for.
        spans: from a tagger or a joint student, in order of their place; None from a classifier.
    """

    text: str
    label: str | None = None
    score: float | None = None
    scores: dict[str, float] | None = None
    spans: tuple[PredictedSpan, ...] | None = None

    def to_dict(self) -> dict[str, Any]:
        """For JSON: without what the package has no head for, or was not asked for."""
        values: dict[str, Any] = {"text": self.text}
        if self.score is not None:
            values["label"] = self.label
            values["score"] = round(self.score, 6)
        if self.scores is not None:
            values["scores"] = {label: round(score, 6) for label, score in self.scores.items()}
        if self.spans is not None:
            values["spans"] = [span.to_dict() for span in self.spans]
        return values


class EncodedText(NamedTuple):
    """What a package reads of a text.

    Args:
        ids: subwords.
        offsets: their character offsets in the text as given; empty where there is no use for them.
        words: character offsets of the words, if the package has a segmenter.
    """

    ids: list[int]
    offsets: list[tuple[int, int]]
    words: list[tuple[int, int]] | None


class TokenTags(NamedTuple):
    """A tag distribution for each subword of each text; special tokens are left out.

    Args:
        tags: BIO names in the order of the columns.
        offsets: int32 (M, 2), character offsets of each subword in its own text, end exclusive.
        probs: float32 (M, K), rows sum to 1.
        splits: int64 (N + 1,): the subwords of text i are ``splits[i]:splits[i + 1]``.
    """

    tags: tuple[str, ...]
    offsets: NDArray[np.int32]
    probs: NDArray[np.float32]
    splits: NDArray[np.int64]


class Package:
    """A student that was exported. Several threads may use one package.

    Every text is run by itself and without padding: that is the fast way for students of this size, and int8
    students choose the scale of their activations a run, so that a batch would change the answers.

    Attributes:
        manifest: what ``ftx.json`` says.
        fingerprint: SHA-256 that stands for all files of the package.
    """

    def __init__(
        self,
        manifest: Manifest,
        tokenizer: Tokenizer,
        session: onnxruntime.InferenceSession,
        *,
        fingerprint: str = "",
        segmenter: Segmenter | None = None,
    ) -> None:
        self.manifest, self.fingerprint = manifest, fingerprint
        self._tokenizer, self._session, self._segmenter = tokenizer, session, segmenter
        # Changed here once: other threads may be encoding later.
        tokenizer.no_padding()
        if tokenizer.truncation is None or tokenizer.truncation["max_length"] > manifest.max_length:
            tokenizer.enable_truncation(manifest.max_length)
        self._output_names = list(manifest.outputs)
        self._labels = manifest.labels
        self._first_of_tags = 1 if manifest.labels else 0
        self._min_score = manifest.min_score
        self._decoder = SpanDecoder(manifest.tags) if manifest.tags else None
        self._whole_words = manifest.span_boundaries == "word"
        self._first_subword = manifest.alignment == "first-subword"
        # A student of first subwords learned raw text; any other behind a segmenter reads words with spaces.
        self._reads_words = segmenter is not None and not (self._first_subword and manifest.tags)
        self._masks: dict[int, NDArray[np.int64]] = {}
        # ONNX Runtime's wrapper checks the names of the feeds at every call: a tenth of a small student's
        # time, and ours are right.
        self._execute = getattr(session, "_sess", session).run

    @property
    def labels(self) -> tuple[str, ...]:
        """Sentence labels; empty for a tagger."""
        return self.manifest.labels

    @property
    def tags(self) -> tuple[str, ...]:
        """BIO tags, ``O`` first; empty for a classifier."""
        return self.manifest.tags

    # A str is a sequence of str too; the first that fits is taken.
    @overload
    def predict(  # type: ignore[overload-overlap]
        self, texts: str, *, top_k: int = ..., min_score: float | None = ...
    ) -> Prediction: ...
    @overload
    def predict(
        self, texts: Sequence[str], *, top_k: int = ..., min_score: float | None = ...
    ) -> list[Prediction]: ...
    def predict(
        self, texts: str | Sequence[str], *, top_k: int = 0, min_score: float | None = None
    ) -> Prediction | list[Prediction]:
        """Label, spans, or both, of one text or of each.

        Args:
            texts: a text, or several. What exceeds ``manifest.max_length`` subwords is not seen.
            top_k: how many labels ``Prediction.scores`` holds; 0: none.
            min_score: withhold the label where its score is lower; None: what the manifest says.

        Raises:
            UsageError: ``top_k`` or ``min_score`` of a tagger, or out of range.
            DataError: not a text, a lone surrogate in it, or more than a million characters.
        """
        if top_k or min_score is not None:
            self._check(top_k, min_score)
        least = self._min_score if min_score is None else min_score
        if isinstance(texts, str):
            return self._predict(texts, top_k, least)
        return [self._predict(text, top_k, least) for text in texts]

    @overload
    def predict_proba(self, texts: str) -> NDArray[np.float32]: ...
    @overload
    def predict_proba(self, texts: Sequence[str]) -> NDArray[np.float32]: ...
    def predict_proba(self, texts: str | Sequence[str]) -> NDArray[np.float32]:
        """The label distribution of one text (C,), or of each (N, C), in the order of ``labels``; float32."""
        return self.soft_labels([texts])[0] if isinstance(texts, str) else self.soft_labels(texts)

    def soft_labels(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(N, C) float32 label distributions; raises PackageError from a tagger, which has none."""
        if not self._labels:
            raise PackageError("this package is a tagger: it has no sentence labels")
        probs = np.empty((len(texts), len(self._labels)), dtype=np.float32)
        for row, text in enumerate(texts):
            probs[row] = self.run(self.encode(text).ids)[0][0]
        return _softmax(probs)

    def soft_tags(self, texts: Sequence[str]) -> TokenTags:
        """The tag distribution of every subword; raises PackageError from a classifier, which has none."""
        if self._decoder is None:
            raise PackageError("this package is a classifier: it has no tags")
        offsets: list[tuple[int, int]] = []
        rows: list[NDArray[np.float32]] = []
        splits = np.zeros(len(texts) + 1, dtype=np.int64)
        for number, text in enumerate(texts):
            ids, places, _ = self.encode(text)
            kept = [token for token, (start, end) in enumerate(places) if start < end]
            rows.append(self.run(ids)[self._first_of_tags][0][kept])
            offsets.extend(places[token] for token in kept)
            splits[number + 1] = len(offsets)
        probs = np.concatenate(rows) if rows else np.empty((0, len(self.tags)), dtype=np.float32)
        return TokenTags(self.tags, np.array(offsets, dtype=np.int32).reshape(-1, 2), _softmax(probs), splits)

    def _check(self, top_k: int, min_score: float | None) -> None:
        if not self._labels:
            raise UsageError("this package is a tagger: top_k and min_score are for labels, and it has none")
        if top_k < 0:
            raise UsageError(f"top_k must be 0 or more, not {top_k}")
        if min_score is not None and not 0 <= min_score <= 1:
            raise UsageError(f"min_score must be between 0 and 1, not {min_score}")

    def _predict(self, text: str, top_k: int, min_score: float | None) -> Prediction:
        if text == "" or (isinstance(text, str) and text.isspace()):
            return self._nothing(text, top_k)
        encoded = self.encode(text)
        outputs = self.run(encoded.ids)
        label = score = scores = spans = None
        if self._labels:
            # Plain numbers: a row this short is done before an array function has begun.
            row = outputs[0][0].tolist()
            highest = max(row)
            exponentials = list(map(math.exp, [logit - highest for logit in row]))
            total = sum(exponentials)
            score = 1.0 / total
            if min_score is None or score >= min_score:
                label = self._labels[row.index(highest)]
            if top_k:
                order = sorted(range(len(row)), key=row.__getitem__, reverse=True)[:top_k]
                scores = {self._labels[i]: exponentials[i] / total for i in order}
        if self._decoder is not None:
            of_subwords = [output[0] for output in outputs[self._first_of_tags :]]
            spans = tuple(self.decode(text, encoded, *of_subwords))
        return Prediction(text, label, score, scores, spans)

    def _nothing(self, text: str, top_k: int) -> Prediction:
        """Of blank text, in which there is nothing to label."""
        score = 0.0 if self._labels else None
        return Prediction(text, None, score, {} if top_k else None, () if self._decoder is not None else None)

    def encode(self, text: str) -> EncodedText:
        """What the graph reads of a text; raises DataError as ``predict`` does."""
        try:
            if len(text) > LONGEST_TEXT:
                raise DataError(f"a text of {len(text):,} characters; at most {LONGEST_TEXT:,} are read")
            words = None if self._segmenter is None else self._segmenter(text)
            if words is not None and self._reads_words:
                return self._encode_words(text, words)
            encoding = self._tokenizer.encode(text)
        except TypeError:
            raise _not_a_text(text) from None
        return EncodedText(encoding.ids, encoding.offsets if self._decoder is not None else [], words)

    def _encode_words(self, text: str, words: list[tuple[int, int]]) -> EncodedText:
        """The same with a space between any two words, as the student's pieces were learned."""
        encoding = self._tokenizer.encode(" ".join(text[start:end] for start, end in words))
        # Where each character of the segmented text comes from; a space lies before the word that follows.
        origin = [place for start, end in words for place in (start, *range(start, end))][1:]
        offsets = [
            (origin[start], origin[end - 1] + 1) if start < end else (0, 0) for start, end in encoding.offsets
        ]
        return EncodedText(encoding.ids, offsets, words)

    def run(self, ids: list[int]) -> list[NDArray[np.float32]]:
        """The logits of one text, of those there are: (1, C) labels, (1, T, K) tags, (1, T) words."""
        length = len(ids)
        mask = self._masks.get(length)
        if mask is None:
            mask = self._masks[length] = np.ones((1, length), dtype=np.int64)
        feed = {"input_ids": np.array((ids,), dtype=np.int64), "attention_mask": mask}
        return self._execute(self._output_names, feed, None)

    def decode(
        self,
        text: str,
        encoded: EncodedText,
        tag_logits: NDArray[np.floating],
        word_logits: NDArray[np.floating] | None = None,
    ) -> list[PredictedSpan]:
        """The spans of a text, from the tag logits (T, K) of its subwords, and (T,) of words that begin."""
        assert self._decoder is not None
        return self._decoder(
            encoded.offsets,
            tag_logits,
            text,
            whole_words=self._whole_words,
            words=encoded.words,
            first_subword=self._first_subword,
            begins=None if word_logits is None else (word_logits > 0).tolist(),
        )


def _softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Over the last axis."""
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def _not_a_text(text: object) -> DataError:
    if not isinstance(text, str):
        return DataError(f"a text must be a str, not {type(text).__name__}")
    place = next((i for i, c in enumerate(text) if "\ud800" <= c <= "\udfff"), 0)
    return DataError(
        f"a lone surrogate (U+{ord(text[place]):04X}) at character {place}: this is not Unicode text"
    )
