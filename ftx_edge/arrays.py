"""Arrays that a run keeps so as not to compute them again: safetensors files, never trusted blindly."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ftx_edge.files import write_atomically


def read_arrays(path: Path) -> dict[str, NDArray] | None:
    """What ``write_arrays`` wrote; None where there is no such file or it is damaged: compute it anew."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    if not path.is_file():
        return None
    try:
        return load_file(path)
    except SafetensorError:
        return None


def write_arrays(path: Path, arrays: Mapping[str, NDArray]) -> None:
    """Write aside, then rename."""
    from safetensors.numpy import save_file

    with write_atomically(path) as aside:
        save_file({name: np.ascontiguousarray(value) for name, value in arrays.items()}, aside)
