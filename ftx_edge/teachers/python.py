"""``python:<module>:<function>``: any callable of the user's own: a service, a pipeline, a rule system."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ftx_edge.errors import FtxError, UsageError
from ftx_edge.files import sha256_of_text
from ftx_edge.soft_labels import Said, SoftTags, WordSpans

_CHUNK = 256


class PythonTeacher:
    """Asks ``function(texts) -> [{label: probability}, ...]``, one mapping a text.

    A tagger takes ``function(texts, words)`` with the words of each text as strings, and returns for each
    text a list with one mapping ``{tag: probability}`` a word.

    Args:
        name: ``module:function``; the module is imported from the Python path.
        tagging: which of the two it is.
    """

    def __init__(self, name: str, *, tagging: bool) -> None:
        self.name, self.tagging = name, tagging
        self._function = _import(name)
        try:
            source = inspect.getsource(inspect.getmodule(self._function) or self._function)
        except (OSError, TypeError):
            source = ""
        self.fingerprint = sha256_of_text("python", name, source)
        self.labels: tuple[str, ...] = ()
        self.tags: tuple[str, ...] = ()
        declared = getattr(self._function, "tags" if tagging else "labels", None)
        if declared is None:
            raise UsageError(
                f"python:{name}: give the function an attribute "
                + ("tags, its BIO tags" if tagging else "labels, their names")
            )
        if tagging:
            self.tags = tuple(declared)
        else:
            self.labels = tuple(declared)

    def ask(self, texts: Sequence[str], words: Sequence[WordSpans] | None = None) -> Said:
        """Labels, or a unit for each word."""
        if self.tags:
            return Said(None, None if words is None else self._soft_tags(texts, words))
        rows: list[Mapping[str, float]] = []
        for start in range(0, len(texts), _CHUNK):
            rows += self._call(list(texts[start : start + _CHUNK]))
        return Said(self._matrix(rows, self.labels), None)

    def _soft_tags(self, texts: Sequence[str], words: Sequence[WordSpans]) -> SoftTags:
        units = []
        for start in range(0, len(texts), _CHUNK):
            part, spans = list(texts[start : start + _CHUNK]), words[start : start + _CHUNK]
            strings = [[t[a:b] for a, b in w] for t, w in zip(part, spans, strict=True)]
            for text, row, own in zip(part, self._call(part, strings), spans, strict=True):
                if len(row) != len(own):
                    raise FtxError(
                        f"python:{self.name} gave {len(row)} distributions for {len(own)} words: {text!r}"
                    )
                units.append((np.asarray(own, dtype=np.int32).reshape(-1, 2), self._matrix(row, self.tags)))
        return SoftTags.join(self.tags, units)

    def _call(self, texts: list[str], *arguments: Any) -> list[Any]:
        try:
            answer = list(self._function(texts, *arguments))
        # The user's own code: whatever it raises is theirs to mend, and no bug of ours.
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise FtxError(
                f"python:{self.name} failed with {reason}; repeat the command, which keeps earlier answers "
                "(FTX_EDGE_DEBUG=1 shows where)"
            ) from error
        if len(answer) != len(texts):
            raise FtxError(f"python:{self.name} gave {len(answer)} answers for {len(texts)} texts")
        return answer

    def _matrix(self, rows: Sequence[Mapping[str, float]], names: tuple[str, ...]) -> NDArray[np.float32]:
        column = {name: i for i, name in enumerate(names)}
        matrix = np.zeros((len(rows), len(names)), dtype=np.float32)
        for i, row in enumerate(rows):
            for name, value in row.items():
                if name not in column:
                    raise FtxError(f"python:{self.name} gave {name!r}, which it does not declare")
                matrix[i, column[name]] = value
        return matrix


def _import(name: str) -> Callable[..., Any]:
    module, colon, function = name.partition(":")
    if not (module and colon and function):
        raise UsageError(f"python:{name}: expected python:module:function")
    try:
        found = getattr(importlib.import_module(module), function)
    except ImportError as error:
        raise FtxError(f"python:{name}: cannot import {module}: {error}; is it on PYTHONPATH?") from error
    except AttributeError as error:
        raise FtxError(f"python:{name}: {module} has no {function}") from error
    if not callable(found):
        raise FtxError(f"python:{name} is not callable")
    return found
