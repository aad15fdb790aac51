"""How close a learner is to its teacher on held-out text: what selection goes by."""

from __future__ import annotations

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn

from ftx_edge.batches import TrainingSet
from ftx_edge.distillation.losses import kl
from ftx_edge.forward import distributions
from ftx_edge.recipe_tables import StepRecipe


def held_out_figures(
    model: nn.Module, held_out: TrainingSet, settings: StepRecipe, *, pad_id: int, accelerator: Accelerator
) -> dict[str, float]:
    """``loss``, KL(teacher || model) at temperature 1, and ``agreement``; heads weighted as in the loss.

    ``label_agreement`` and ``tag_agreement`` are those of each head that there is.
    """
    labels, tags, _ = distributions(
        model, held_out.encoded, pad_id=pad_id, device=accelerator.device, autocast=accelerator.autocast()
    )
    heads: dict[str, tuple[float, float, float]] = {}
    if labels is not None and held_out.label_targets is not None:
        heads["label"] = (settings.label_weight, *_figures(labels, held_out.label_targets))
    if tags is not None and held_out.tag_targets is not None and held_out.tag_weights is not None:
        seen = held_out.tag_weights > 0
        heads["tag"] = (settings.tag_weight, *_figures(tags[seen], held_out.tag_targets[seen]))
    weight = sum(w for w, _, _ in heads.values())
    return {
        "loss": sum(w * loss for w, loss, _ in heads.values()),
        "agreement": sum(w * share for w, _, share in heads.values()) / weight,
        **{f"{head}_agreement": share for head, (_, _, share) in heads.items()},
    }


def _figures(probs: np.ndarray, targets: np.ndarray) -> tuple[float, float]:
    logits = torch.from_numpy(probs).clamp_min(1e-9).log()
    loss = float(kl(logits, torch.from_numpy(targets)).mean())
    return loss, float((probs.argmax(-1) == targets.argmax(-1)).mean())
