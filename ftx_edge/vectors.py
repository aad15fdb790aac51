"""Rows of numbers that are compared by their cosines."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def centred(vectors: NDArray[np.float32], centre: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows less ``centre``, of length 1."""
    moved = vectors - centre
    return moved / np.linalg.norm(moved, axis=1, keepdims=True).clip(1e-9)
