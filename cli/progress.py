"""How long work shows itself: a live line where stderr is a terminal, else a plain line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import ProgressColumn, TaskID

    from ftx_edge.distillation.progress import Progress


def duration(seconds: float) -> str:
    """Seconds as a person says them: 42 s, 3:05, 1:02:03."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def figures_text(figures: Mapping[str, float]) -> str:
    """``loss 0.412  agreement 83.1 %  1,204/s``: shares in percent; utterances a second need no name."""
    parts = []
    for name, value in figures.items():
        words = name.replace("_", " ")
        if name.endswith("_per_second"):
            parts.append(f"{value:,.0f}/s")
        elif name.endswith("agreement") or name.endswith("accuracy"):
            parts.append(f"{words} {100 * value:.1f} %")
        elif name == "learning_rate":
            parts.append(f"{words} {value:.1e}")
        else:
            parts.append(f"{words} {value:.4g}")
    return "  ".join(parts)


class Plain:
    """Lines for logs: one when a stage begins and ends, and one every ``every`` seconds between.

    Args:
        stream: where to; stderr.
        every: seconds.
        clock: seconds of a clock that never goes back.
    """

    def __init__(
        self, stream: TextIO | None = None, every: float = 15.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream, self._every, self._clock = stream, every, clock
        self._stage, self._total, self._first, self._began, self._told = "", 0, 0, 0.0, 0.0

    def start(self, stage: str, total: int, done: int = 0, unit: str = "steps") -> None:
        """A stage of ``total`` steps (or ``unit``) begins, ``done`` of them before this process."""
        self._stage, self._total, self._first = stage, total, done
        self._began = self._told = self._clock()
        goes_on = f", going on after {done:,}" if done else ""
        self.note(f"{stage}: {total:,} {unit}{goes_on}" if total else f"{stage} ...")

    def update(self, done: int, figures: Mapping[str, float]) -> None:
        """``done`` steps lie behind; says so if the last line is old enough."""
        now = self._clock()
        if now - self._told < self._every:
            return
        self._told = now
        took, steps = now - self._began, done - self._first
        left = f"  {duration(took / steps * (self._total - done))} left" if steps > 0 and self._total else ""
        figures_now = figures_text(figures)
        self.note(f"{self._stage}: {done:,}/{self._total:,}{'  ' if figures_now else ''}{figures_now}{left}")

    def finish(self, summary: str) -> None:
        """The stage has ended."""
        self.note(f"{self._stage}: {summary or 'done'} ({duration(self._clock() - self._began)})")

    def note(self, message: str) -> None:
        """One line."""
        print(message, file=self._stream or sys.stderr, flush=True)


class Live:
    """A bar with step, figures and time left, drawn by rich; of stages that ended one line stays."""

    def __init__(self, bars: RichProgress) -> None:
        self._bars = bars
        self._task: TaskID | None = None
        self._stage, self._began = "", 0.0

    def start(self, stage: str, total: int, done: int = 0, unit: str = "steps") -> None:
        """A stage of ``total`` steps (or ``unit``) begins, ``done`` of them before this process."""
        self._close()
        self._stage, self._began = stage, time.monotonic()
        self._task = self._bars.add_task(stage, total=total or None, completed=done, figures="")

    def update(self, done: int, figures: Mapping[str, float]) -> None:
        """``done`` steps lie behind."""
        if self._task is not None:
            self._bars.update(self._task, completed=done, figures=figures_text(figures))

    def finish(self, summary: str) -> None:
        """The stage has ended: its bar goes, its line stays."""
        self._close()
        said = f"{self._stage}: {summary}" if summary else self._stage
        took = duration(time.monotonic() - self._began)
        self._print(f"[green]✓[/green] {_escape(said)} [dim]{took}[/dim]")

    def note(self, message: str) -> None:
        """A line above the bar."""
        self._print(_escape(message))

    def _print(self, markup: str) -> None:
        self._bars.console.print(markup, highlight=False)

    def _close(self) -> None:
        if self._task is not None:
            self._bars.remove_task(self._task)
            self._task = None


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)


@contextmanager
def progress(*, quiet: bool = False) -> Iterator[Progress]:
    """The progress that fits where stderr goes.

    Args:
        quiet: say nothing.
    """
    if quiet:
        from ftx_edge.distillation.progress import Silent

        yield Silent()
        return
    if not sys.stderr.isatty():
        yield Plain()
        return
    from rich.console import Console
    from rich.progress import Progress as RichProgress

    console = Console(stderr=True)
    with RichProgress(*columns(), console=console, transient=True, speed_estimate_period=60) as bars:
        yield Live(bars)


def columns() -> list[ProgressColumn]:
    """Stage, bar, step, figures, time left: one line whatever the width; stage and figures give way."""
    from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TimeRemainingColumn
    from rich.table import Column
    from rich.text import Text

    class GivesWay(ProgressColumn):
        """Cut with an ellipsis where the line is full. Only a column that may wrap is made narrower."""

        def __init__(self, text: Callable[[Task], str], style: str = "") -> None:
            super().__init__()
            self._text, self._style = text, style

        def render(self, task: Task) -> Text:
            return Text(self._text(task), style=self._style, no_wrap=True, overflow="ellipsis")

    def whole() -> Column:
        return Column(no_wrap=True)

    return [
        GivesWay(lambda task: task.description, "bold"),
        BarColumn(bar_width=12, table_column=whole()),
        MofNCompleteColumn(table_column=whole()),
        GivesWay(lambda task: task.fields["figures"]),
        TimeRemainingColumn(compact=True, table_column=whole()),
    ]
