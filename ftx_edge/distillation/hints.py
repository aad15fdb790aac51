"""Hints: the mPLM's states, which a student learns to tell beside what the mPLM says.

Soft labels leave open much of how the mPLM reads a text; what its states are at each subword says more
(FitNets, Romero et al. 2015; of BERT's layers, TinyBERT, Jiao et al. 2020). A linear map of the student's
states, which only training knows, is compared with the directions in which the mPLM's states differ most.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ftx_edge.distillation.text_states import TextStates
from ftx_edge.students.model import Outputs, Student
from ftx_edge.tokenization import Encoded

SIZE = 128
"""Directions that are kept."""
SAMPLE = 4096
"""Texts from which the directions are taken, about."""


class Hinted(nn.Module):
    """A student that tells hints too while it trains; it is trained in place.

    Args:
        student: with a tag head, whose states have read the context.
        size: of the hints.
        seed: the map's first weights depend on it alone.
    """

    def __init__(self, student: Student, size: int, *, seed: int = 0) -> None:
        super().__init__()
        self.student = student
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.hint_head = nn.Linear(student.encoder.output_size, size)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Outputs:
        """As of the student, with ``hints`` (B, T, size)."""
        states = self.student.states(input_ids, attention_mask)
        return self.student.outputs(states, attention_mask)._replace(hints=self.hint_head(states))


def hints_of(
    states: TextStates, encoded: Encoded, rows: Sequence[int]
) -> tuple[NDArray[np.float16], NDArray[np.float32]]:
    """What the mPLM's states are at a student's subwords.

    Args:
        states: of the teacher of step 2.
        encoded: texts in the student's subwords.
        rows: which texts of ``states`` they are.

    Returns:
        float16 (M, D), D at most ``SIZE``, with the mean 0 and, over all columns, the variance 1 where they
        stand at the mPLM's own pieces: a loss of 1 is that of the mean. float32 (M,): 1, or 0 for a subword
        that stands over nothing that the mPLM read.
    """
    mean, directions = _directions(states, rows)
    hints = np.zeros((len(encoded.ids), directions.shape[1]), dtype=np.float16)
    told = np.zeros(len(encoded.ids), dtype=np.float32)
    for place, real, means in states.over(encoded, rows):
        own = slice(int(encoded.splits[place]), int(encoded.splits[place + 1]))
        told[own] = real
        hints[own][real] = (means - mean) @ directions
    return hints, told


def _directions(states: TextStates, rows: Sequence[int]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The mean (H,) of states over text, and the directions (H, D) in which they differ most."""
    chosen = rows[:: max(1, len(rows) // SAMPLE)]
    sample = np.concatenate([own[offsets[:, 1] > offsets[:, 0]] for _, offsets, own in states.of(chosen)])
    mean, size = sample.mean(axis=0), min(SIZE, states.size)
    moved = sample.astype(np.float64) - mean
    variances, directions = np.linalg.eigh(moved.T @ moved / max(len(moved), 1))
    directions = directions[:, ::-1][:, :size] / np.sqrt(max(variances[-size:].mean(), 1e-12))
    return mean, directions.astype(np.float32)
