"""The learning-rate range test (Smith 2017), which the paper uses; here on the distillation loss."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

LOWEST, HIGHEST, STEPS = 1e-6, 1e-1, 100
_SMOOTHING = 0.9
_UNSETTLED = 20
"""Steps, a decade of the rate, in which the average follows single batches: none of their rates is chosen."""
_DIVERGED = 3.0


def range_test(loss_at: Callable[[int, float], float]) -> float:
    """Raise the rate geometrically from step to step and choose where the loss falls fastest.

    Args:
        loss_at: makes a training step, given its number and rate, and returns the loss before it.

    Returns:
        the learning rate.
    """
    rates = np.geomspace(LOWEST, HIGHEST, STEPS)
    losses: list[float] = []
    for step, rate in enumerate(rates):
        losses.append(loss_at(step, float(rate)))
        smooth = smoothed(losses)
        if not np.isfinite(smooth[-1]) or smooth[-1] > _DIVERGED * min(smooth):
            break
    return choose(rates[: len(losses)], losses)


def choose(rates: ArrayLike, losses: list[float]) -> float:
    """The rate at which the smoothed loss falls fastest, per decade, before its minimum."""
    tried, smooth = np.asarray(rates, dtype=np.float64), smoothed(losses)
    if len(smooth) > _UNSETTLED:
        tried, smooth = tried[_UNSETTLED:], smooth[_UNSETTLED:]
    usable = int(np.nanargmin(smooth)) + 1 if np.isfinite(smooth).any() else 0
    if usable < 3:
        return float(tried[0])
    slope = np.gradient(smooth[:usable], np.log(tried[:usable]))
    return float(tried[int(np.argmin(slope))])


def smoothed(losses: list[float]) -> NDArray[np.float64]:
    """Exponential moving average, corrected for its start."""
    average, out = 0.0, []
    for count, loss in enumerate(losses, start=1):
        average = _SMOOTHING * average + (1 - _SMOOTHING) * loss
        out.append(average / (1 - _SMOOTHING**count))
    return np.asarray(out)
