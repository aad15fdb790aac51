"""Heads fitted to the frozen encoder: all of step 1 where no layer is trained, else where training starts.

A random head pulls the encoder about until it has learnt its task; what the encoder knew of other languages
goes first. A head that fits from the start leaves it (Kumar et al. 2022, "Fine-Tuning can Distort Pretrained
Features and Underperform Out-of-Distribution"; here the other languages are what is out of distribution).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import product
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ftx_edge.batches import TrainingSet
from ftx_edge.distillation.losses import kl
from ftx_edge.mplm.model import MultilingualModel
from ftx_edge.mplm.states import states_of

LEARNING_RATE = 1e-2
DECAYS = (1.0, 3.0, 10.0, 30.0)
STEPS = (30, 60, 120)
"""Each pair is tried, on ``MOST_TRIED`` states; the one whose head is nearest to the teacher on held-out text
is taken. With little decay and many steps the head fits the teacher's errors on the training text, and that
holds in no other language."""
MOST_TRIED = 6_000
MOST_SUBWORDS = 40_000


def probe_heads(
    model: MultilingualModel,
    train: TrainingSet,
    held_out: TrainingSet,
    *,
    pad_id: int,
    device: torch.device,
    autocast: Callable[[], AbstractContextManager],
    means: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None,
) -> None:
    """Fit the heads of ``model`` to the teacher's distributions on ``train``; the encoder stays as it is.

    The tag head sees about ``MOST_SUBWORDS`` subwords of each set at most. ``held_out`` chooses
    decay and steps. ``means``: the mean states (N, H) of the texts of both sets, where they are known and no
    tag head wants the others.
    """
    model.to(device)
    seen = []
    for number, data in enumerate((train, held_out)):
        chosen = None
        if model.tag_head is not None and data.tag_weights is not None:
            rows = torch.from_numpy(data.tag_weights > 0).nonzero().squeeze(1)
            chosen = rows[:: max(1, len(rows) // MOST_SUBWORDS)]
        if means is not None:
            pooled, states = torch.from_numpy(means[number]).to(device), torch.empty(0)
        else:
            with autocast():
                pooled, states = states_of(model, data.encoded, pad_id=pad_id, device=device, subwords=chosen)
        labels = tags = None
        if data.label_targets is not None:
            labels = _Examples(pooled, torch.from_numpy(data.label_targets).to(device))
        if data.tag_targets is not None and chosen is not None:
            tags = _Examples(states, torch.from_numpy(data.tag_targets)[chosen].to(device))
        seen.append((labels, tags))
    (labels, tags), (held_labels, held_tags) = seen
    if model.label_head is not None and labels is not None and held_labels is not None:
        _fit_head(model.label_head, labels, held_labels)
    if model.tag_head is not None and tags is not None and held_tags is not None:
        _fit_head(model.tag_head, tags, held_tags)


def _fit_head(head: nn.Linear, train: _Examples, held_out: _Examples) -> None:
    """Softmax regression on standardised states, whose mean and scale are folded into ``head``."""
    mean, scale = train.states.mean(dim=0), train.states.std(dim=0).clamp_min(1e-6)
    learnt, kept = (_Examples((part.states - mean) / scale, part.targets) for part in (train, held_out))
    tried, judges = learnt.at_most(MOST_TRIED), kept.at_most(MOST_TRIED)
    choices = list(product(DECAYS, STEPS))
    losses = [judges.loss(*_regression(tried, decay, steps)) for decay, steps in choices]
    weight, bias = _regression(learnt, *choices[int(torch.stack(losses).argmin())])
    with torch.no_grad():
        head.weight.copy_(weight / scale)
        head.bias.copy_(bias - (weight / scale) @ mean)


class _Examples(NamedTuple):
    """States (N, H) and the teacher's distributions (N, C)."""

    states: Tensor
    targets: Tensor

    def at_most(self, count: int) -> _Examples:
        """So many of them, evenly spaced."""
        every = max(1, len(self.states) // count)
        return _Examples(self.states[::every], self.targets[::every])

    def loss(self, weight: Tensor, bias: Tensor, factor: Tensor | float = 1.0) -> Tensor:
        """Mean KL(teacher || head), the head's logits multiplied by ``factor``."""
        return kl(factor * (self.states @ weight.T + bias), self.targets, 1.0).mean()


def _regression(data: _Examples, decay: float, steps: int) -> tuple[Tensor, Tensor]:
    """Weight (C, H) and bias (C,) that bring the softmax near to the targets."""
    size, classes = data.states.shape[1], data.targets.shape[1]
    weight = torch.zeros(classes, size, device=data.states.device, requires_grad=True)
    bias = torch.zeros(classes, device=data.states.device, requires_grad=True)
    optimizer = torch.optim.AdamW([weight, bias], lr=LEARNING_RATE, weight_decay=decay)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * (1 - step / steps)
        loss = data.loss(weight, bias)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    weight, bias = weight.detach(), bias.detach()
    # The decay holds the logits small: one factor on all of them brings the confidence back.
    factors = torch.logspace(0, 1, 21, device=data.states.device)
    factor = factors[int(torch.stack([data.loss(weight, bias, f) for f in factors]).argmin())]
    return factor * weight, factor * bias
