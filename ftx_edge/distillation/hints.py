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

from ftx_edge.distillation.start import states_over
from ftx_edge.mplm.model import MultilingualModel, MultilingualTokenizer
from ftx_edge.soft_labels import WordSpans
from ftx_edge.students.model import Outputs, Student
from ftx_edge.tokenization import Encoded

SIZE = 128
"""Directions that are kept."""
SAMPLE = 50_000
"""States from which the directions are taken, at most."""
ROWS = 65_536
"""States that are projected at once."""


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
    mplm: MultilingualModel,
    tokenizer: MultilingualTokenizer,
    texts: Sequence[str],
    words: Sequence[WordSpans] | None,
    encoded: Encoded,
    *,
    device: torch.device,
    precision: str,
) -> tuple[NDArray[np.float16], NDArray[np.float32]]:
    """What the mPLM's states are at a student's subwords.

    Args:
        mplm: the teacher of step 2.
        tokenizer: its tokenizer.
        texts: N of them.
        words: their words, where the mPLM is shown words.
        encoded: the texts in the student's subwords.
        device: where the mPLM computes.
        precision: at which.

    Returns:
        float16 (M, D), D at most ``SIZE``, with the mean 0 and, over all columns, the variance 1: a loss of 1
        is that of the mean. float32 (M,): 1, or 0 for a subword that stands over nothing that the mPLM read.
    """
    hidden: int = mplm.encoder.config.hidden_size  # type: ignore[union-attr, assignment]
    states = np.zeros((len(encoded.ids), hidden), dtype=np.float16)
    told = np.zeros(len(encoded.ids), dtype=np.bool_)
    theirs = tokenizer.encode(texts, words)
    for row, real, means in states_over(mplm, theirs, encoded, device=device, precision=precision):
        own = slice(int(encoded.splits[row]), int(encoded.splits[row + 1]))
        told[own] = real
        states[own][real] = means
    rows = np.flatnonzero(told)
    sample = states[rows[:: max(1, len(rows) // SAMPLE)]].astype(np.float64)
    mean, size = sample.mean(axis=0), min(SIZE, hidden)
    moved = sample - mean
    variances, directions = np.linalg.eigh(moved.T @ moved / max(len(moved), 1))
    directions = directions[:, ::-1][:, :size] / np.sqrt(max(variances[-size:].mean(), 1e-12))
    hints = np.zeros((len(states), size), dtype=np.float16)
    for at in range(0, len(rows), ROWS):
        chosen = rows[at : at + ROWS]
        hints[chosen] = (states[chosen] - mean) @ directions
    return hints, told.astype(np.float32)
