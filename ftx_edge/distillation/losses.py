"""Distillation losses: from student logits and teacher probabilities to one number a row."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from ftx_edge.batches import Batch
from ftx_edge.recipe_tables import StepRecipe
from ftx_edge.students.model import Outputs

Loss = Callable[[Tensor, Tensor, float], Tensor]
"""(logits (N, C), teacher probabilities (N, C), temperature) -> (N,)."""

WORD_WEIGHT = 1.0
"""Of the cross-entropy of where words begin; no other was tried."""
_SMALLEST = 1e-8


def _soften(probs: Tensor, temperature: float) -> Tensor:
    """The teacher's distribution at a temperature, from its distribution at 1."""
    if temperature == 1.0:
        return probs
    return (probs.clamp_min(_SMALLEST).log() / temperature).softmax(dim=-1)


def kl(logits: Tensor, probs: Tensor, temperature: float = 1.0) -> Tensor:
    """KL(teacher || student), eq. (1) of the paper at temperature 1; times T^2 otherwise."""
    target = _soften(probs, temperature)
    log_student = (logits / temperature).log_softmax(dim=-1)
    log_target = target.clamp_min(_SMALLEST).log()
    return (target * (log_target - log_student)).sum(dim=-1) * temperature**2


def mse(logits: Tensor, probs: Tensor, temperature: float = 1.0) -> Tensor:
    """Mean squared distance of the centred logits; the teacher's are its log-probabilities."""
    target = probs.clamp_min(1e-5).log() / temperature
    student = logits / temperature
    difference = (student - student.mean(-1, keepdim=True)) - (target - target.mean(-1, keepdim=True))
    return difference.square().mean(dim=-1)


def dist(logits: Tensor, probs: Tensor, temperature: float = 1.0) -> Tensor:
    """Inter- and intra-class correlation (DIST, Huang et al. 2022); the intra part is shared by the rows."""
    student = (logits / temperature).softmax(dim=-1)
    target = _soften(probs, temperature)
    inter = 1 - _correlation(student, target, dim=-1)
    if len(logits) > 1:
        inter = inter + (1 - _correlation(student, target, dim=0)).mean()
    return inter * temperature**2


def _correlation(a: Tensor, b: Tensor, dim: int) -> Tensor:
    a = a - a.mean(dim=dim, keepdim=True)
    b = b - b.mean(dim=dim, keepdim=True)
    return torch.cosine_similarity(a, b, dim=dim, eps=_SMALLEST)


LOSSES: dict[str, Loss] = {"kl": kl, "mse": mse, "dist": dist}


def distillation_loss(outputs: Outputs, batch: Batch, settings: StepRecipe) -> Tensor:
    """Means over texts for the label, over subwords with a target for all else; their weighted sum."""
    function, terms = LOSSES[settings.loss], []
    if batch.label_targets is not None and outputs.logits is not None:
        rows = function(outputs.logits.float(), batch.label_targets, settings.temperature)
        if batch.label_weights is not None:
            rows = rows * batch.label_weights
        terms.append((settings.label_weight, rows.mean()))
    if batch.tag_targets is not None and batch.tag_weights is not None and outputs.tag_logits is not None:
        seen = batch.tag_weights > 0
        logits = outputs.tag_logits.float()[seen]
        rows = function(logits, batch.tag_targets[seen], settings.temperature)
        weights = batch.tag_weights[seen]
        terms.append((settings.tag_weight, (rows * weights).sum() / weights.sum().clamp_min(1e-6)))
    if batch.hints is not None and batch.hint_weights is not None and outputs.hints is not None:
        rows = (outputs.hints.float() - batch.hints).square().mean(dim=-1)
        mean = (rows * batch.hint_weights).sum() / batch.hint_weights.sum().clamp_min(1e-6)
        terms.append((settings.hint_weight, mean))
    if batch.word_starts is not None and outputs.word_logits is not None:
        seen = batch.word_starts >= 0
        logits, begins = outputs.word_logits.float()[seen], batch.word_starts[seen]
        terms.append((WORD_WEIGHT, binary_cross_entropy_with_logits(logits, begins)))
    if len(terms) == 1:
        return terms[0][1]
    return torch.stack([weight * term for weight, term in terms]).sum()
