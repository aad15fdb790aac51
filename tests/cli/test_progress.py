"""Progress in a log: few lines, and the figures that a person wants."""

from __future__ import annotations

import io

import pytest

from ftx_edge.cli.progress import Live, Plain, duration, figures_text


class Clock:
    """Seconds that pass only when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_log_has_a_line_at_both_ends_and_now_and_then_between():
    stream, clock = io.StringIO(), Clock()
    shown = Plain(stream, every=10, clock=clock)
    shown.start("step 1", 100, done=20)
    for step in range(21, 101):
        clock.now += 0.25
        shown.update(step, {"loss": 1 / step, "agreement": 0.5, "utterances_per_second": 1234.5})
    shown.finish("KL 0.02")
    assert stream.getvalue().splitlines() == [
        "step 1: 100 steps, going on after 20",
        "step 1: 60/100  loss 0.01667  agreement 50.0 %  1,234/s  10 s left",
        "step 1: 100/100  loss 0.01  agreement 50.0 %  1,234/s  0 s left",
        "step 1: KL 0.02 (20 s)",
    ]


def test_what_is_counted_has_a_name():
    stream = io.StringIO()
    Plain(stream).start("soft labels, pt", 5170, unit="utterances")
    Plain(stream).start("neighbours, pt", 0)
    assert stream.getvalue().splitlines() == ["soft labels, pt: 5,170 utterances", "neighbours, pt ..."]


@pytest.mark.parametrize(("seconds", "said"), [(0, "0 s"), (59.4, "59 s"), (185, "3:05"), (3723, "1:02:03")])
def test_durations_are_said_as_people_do(seconds, said):
    assert duration(seconds) == said


def test_figures_are_rounded_for_reading():
    assert figures_text({"learning_rate": 0.0005, "kl": 0.123456}) == "learning rate 5.0e-04  kl 0.1235"


@pytest.mark.parametrize("width", [60, 80, 160])
def test_the_live_line_is_one_line_at_any_width(width):
    from rich.console import Console
    from rich.progress import Progress

    from ftx_edge.cli import progress

    console = Console(file=io.StringIO(), force_terminal=True, width=width, color_system=None)
    with Progress(*progress.columns(), console=console, auto_refresh=False) as bars:
        live = Live(bars)
        live.start("Step 2: pt", 4000)
        live.update(1234, {"loss": 0.0123, "agreement": 0.91, "utterances_per_second": 1234.0})
        lines = console.render_lines(bars.get_renderable())
        assert len(lines) == 1
        assert "1234/4000" in "".join(segment.text for segment in lines[0])
        live.finish("agreement 91 % [held out]")
        assert not bars.tasks
    assert "✓ Step 2: pt: agreement 91 % [held out]" in console.file.getvalue()
