"""How a long run tells what it does; the command line draws it, tests and notebooks need not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Progress(Protocol):
    """Told of every stage in turn; all figures are plain floats."""

    def start(self, stage: str, total: int, done: int = 0, unit: str = "steps") -> None:
        """A stage of ``total`` steps (or ``unit``) begins, ``done`` of them before this process."""

    def update(self, done: int, figures: Mapping[str, float]) -> None:
        """``done`` steps lie behind; ``figures`` such as loss, agreement, utterances_per_second."""

    def finish(self, summary: str) -> None:
        """The stage has ended."""

    def note(self, message: str) -> None:
        """Something worth a line."""


class Silent:
    """Says nothing."""

    def start(self, stage: str, total: int, done: int = 0, unit: str = "steps") -> None: ...

    def update(self, done: int, figures: Mapping[str, float]) -> None: ...

    def finish(self, summary: str) -> None: ...

    def note(self, message: str) -> None: ...
