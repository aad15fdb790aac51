"""Smith's range test: the rate at which the smoothed loss falls fastest, before its minimum."""

from __future__ import annotations

import numpy as np
import pytest

from ftx_edge.distillation.range_test import HIGHEST, LOWEST, STEPS, choose, range_test, smoothed

RATES = np.geomspace(LOWEST, HIGHEST, STEPS)


def falling_at(rate: float) -> list[float]:
    """A loss that falls from 3 to 1 around a rate, and rises beyond 0.03."""
    decades = np.log10(RATES / rate)
    return list(1 + 2 / (1 + np.exp(4 * decades)) + np.where(RATES > 0.03, 40 * (RATES - 0.03), 0))


@pytest.mark.parametrize("steepest", [1e-4, 1e-3])
def test_it_chooses_where_the_loss_falls_fastest(steepest):
    chosen = choose(RATES, falling_at(steepest))
    assert steepest / 2 < chosen < 12 * steepest  # smoothing looks back a few steps, so it comes late


def test_it_chooses_nothing_beyond_the_minimum():
    losses = [3.0] * 40 + list(np.linspace(3, 1, 20)) + list(np.linspace(1, 30, 20)) + [29.0, 2.0, 0.5]
    assert choose(RATES[: len(losses)], losses) < RATES[70]


def test_a_loss_that_only_rises_gives_the_lowest_rate():
    assert choose(RATES[:5], [1.0, 2.0, 3.0, 4.0, 5.0]) == LOWEST


def test_a_loss_that_diverges_stops_the_test_and_is_not_chosen():
    asked = []

    def loss_at(step, rate):
        asked.append(rate)
        return 3.0 - 0.02 * step if step < 60 else 1e6

    assert range_test(loss_at) < RATES[60]
    assert len(asked) < 65


@pytest.mark.parametrize("at", [0, 1, 5, 60])
def test_a_loss_that_is_no_number_stops_the_test(at):
    asked = []

    def loss_at(step, rate):
        asked.append(rate)
        return float("nan") if step == at else 3.0 - 0.02 * step

    assert LOWEST <= range_test(loss_at) <= RATES[max(at, 1)]
    assert len(asked) == at + 1


def test_rates_rise_geometrically():
    asked = []
    range_test(lambda step, rate: asked.append(rate) or 3 - step / 100)
    np.testing.assert_allclose(asked, RATES)


def test_smoothing_starts_at_the_first_loss():
    assert smoothed([4.0])[0] == pytest.approx(4.0)
    assert smoothed([4.0, 4.0, 4.0]) == pytest.approx([4.0] * 3)
    assert 1.0 < smoothed([4.0, 1.0])[1] < 4.0


def test_easy_batches_at_the_start_are_not_taken_for_learning():
    losses = [4.5, 3.6, 3.5, *falling_at(1e-3)[3:]]  # the average falls from 4.5 by half a point in a step
    assert np.gradient(smoothed(losses)).argmin() < 3
    assert 5e-4 < choose(RATES, losses) < 12e-3
