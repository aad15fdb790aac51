"""``recorded:<file.jsonl>``: predictions handed over instead of the model that made them.

One object a line. For the label: ``{"text": ..., "probs": {label: p, ...}}``. For the tags:
``{"text": ..., "words": [[start, end], ...], "tag_probs": [{tag: p, ...}, ...]}``; words may also be given
as the strings that they are, in order. Left-out labels have probability 0.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ftx_edge.errors import DataError
from ftx_edge.files import sha256_of
from ftx_edge.lines import numbered_lines
from ftx_edge.soft_labels import Said, SoftTags, WordSpans

_TOLERANCE = 1e-2


class RecordedTeacher:
    """Looks up what another model has said; raises DataError for a text without a prediction.

    Args:
        path: the file, ``.jsonl`` or ``.jsonl.gz``.
        tagging: its tags alone are wanted, whatever else it holds.
    """

    def __init__(self, path: Path, *, tagging: bool = False) -> None:
        self.path = path
        label_rows: dict[str, tuple[int, Mapping[str, float]]] = {}
        tag_rows: dict[str, tuple[list[tuple[int, int]], list[dict[str, float]]]] = {}
        for number, row in _rows(path):
            text = row.get("text")
            if not isinstance(text, str):
                raise DataError('no "text"', path=path, line=number)
            if "probs" not in row and "tag_probs" not in row:
                raise DataError('neither "probs" nor "tag_probs"', path=path, line=number)
            if "probs" in row:
                label_rows[text] = (number, self._distribution(row["probs"], number))
            if "tag_probs" in row:
                words = self._words(text, row.get("words"), number)
                if not isinstance(row["tag_probs"], list):
                    raise DataError('"tag_probs" must be a list, an object a word', path=path, line=number)
                tags = [self._distribution(p, number) for p in row["tag_probs"]]
                if len(words) != len(tags):
                    raise DataError(f"{len(words)} words but {len(tags)} tag_probs", path=path, line=number)
                tag_rows[text] = (words, tags)
        if not label_rows and not tag_rows:
            raise DataError("no predictions in it", path=path)
        known = {name for _, probs in label_rows.values() for name in probs}
        self.labels = () if tagging else tuple(sorted(known))
        found = {name for _, rows in tag_rows.values() for probs in rows for name in probs}
        self.tags = ("O", *sorted(found - {"O"})) if tag_rows else ()
        self._label_rows = {text: probs for text, (_, probs) in label_rows.items()}
        self._tag_rows = tag_rows
        self.fingerprint = sha256_of(path)

    def ask(self, texts: Sequence[str], words: Sequence[WordSpans] | None = None) -> Said:
        """A unit for each recorded word; where the words are plays no part."""
        labels = _matrix(self._look_up(self._label_rows, texts), self.labels) if self.labels else None
        if not self.tags or words is None:
            return Said(labels, None)
        units = [
            (np.asarray(spans, dtype=np.int32).reshape(-1, 2), _matrix(rows, self.tags))
            for spans, rows in self._look_up(self._tag_rows, texts)
        ]
        return Said(labels, SoftTags.join(self.tags, units))

    def _look_up(self, rows: Mapping[str, Any], texts: Sequence[str]) -> list[Any]:
        if missing := [text for text in texts if text not in rows]:
            first = missing[0] if len(missing[0]) <= 60 else missing[0][:57] + "..."
            raise DataError(
                f"no prediction for {len(missing)} of {len(texts)} utterances, such as {first!r}: add them",
                path=self.path,
            )
        return [rows[text] for text in texts]

    def _distribution(self, probs: Any, number: int) -> dict[str, float]:
        if not isinstance(probs, Mapping) or not all(isinstance(p, int | float) for p in probs.values()):
            raise DataError("probabilities must be an object {label: number}", path=self.path, line=number)
        total = float(sum(probs.values()))
        if not abs(total - 1) <= _TOLERANCE or any(p < 0 for p in probs.values()):
            raise DataError(
                f"probabilities sum to {total:.4g}; they must sum to 1", path=self.path, line=number
            )
        return {str(name): p / total for name, p in probs.items()}

    def _words(self, text: str, words: Any, number: int) -> list[tuple[int, int]]:
        if not isinstance(words, list) or not words:
            raise DataError('"tag_probs" without "words"', path=self.path, line=number)
        spans, at = [], 0
        for word in words:
            if isinstance(word, str):
                start = text.find(word, at) if word else -1
                span = (start, start + len(word))
            else:
                pair = isinstance(word, list) and len(word) == 2 and all(isinstance(at, int) for at in word)
                span = (word[0], word[1]) if pair else (-1, -1)
            if not (at <= span[0] < span[1] <= len(text)):
                problem = (
                    "an empty word" if word == "" else f"word {word!r} is not in the text, in this order"
                )
                raise DataError(problem, path=self.path, line=number)
            spans.append(span)
            at = span[1]
        return spans


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in numbered_lines(path):
        if line.strip():
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise DataError(f"not JSON: {error.msg}", path=path, line=number) from error
            if not isinstance(row, dict):
                raise DataError("not a JSON object", path=path, line=number)
            yield number, row


def _matrix(rows: Sequence[Mapping[str, float]], names: tuple[str, ...]) -> NDArray[np.float32]:
    column = {name: i for i, name in enumerate(names)}
    matrix = np.zeros((len(rows), len(names)), dtype=np.float32)
    for i, row in enumerate(rows):
        for name, value in row.items():
            matrix[i, column[name]] = value
    return matrix
