"""A checkpoint: one safetensors file with tensors and, as JSON, a few numbers; whole or not there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ftx_edge.files import write_atomically


class DamagedCheckpoint(ValueError):
    """The file is no checkpoint, or not all of one."""


def write_checkpoint(path: Path, state: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Replace the file; tensors may lie on any device."""
    on_cpu = {name: tensor.to("cpu").contiguous() for name, tensor in tensors.items()}
    with write_atomically(path) as aside:
        save_file(on_cpu, aside, metadata={"state": json.dumps(state)})


def read_checkpoint(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What ``write_checkpoint`` wrote, on the CPU.

    Raises:
        FileNotFoundError: there is none.
        DamagedCheckpoint: it cannot be read.
    """
    if not path.is_file():
        raise FileNotFoundError(path)
    try:
        with safe_open(path, framework="pt") as file:
            state = json.loads(file.metadata()["state"])
            return state, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise DamagedCheckpoint(path) from error
