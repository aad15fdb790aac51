"""A model's distributions on many texts: large batches by length, no gradients."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ftx_edge.batches import TrainingSet, collate, evaluation_batches
from ftx_edge.tokenization import Encoded

INFERENCE_TOKENS = {"cpu": 4096, "cuda": 65_536, "mps": 16_384}
"""Padded subwords in a batch, by kind of device."""


class Distributions(NamedTuple):
    """What a model says of N texts of M subwords in all; None without that head.

    ``labels`` float32 (N, C) and ``tags`` float32 (M, K), rows sum to 1; ``words`` float32 (M,), how likely a
    word begins at each subword.
    """

    labels: NDArray[np.float32] | None
    tags: NDArray[np.float32] | None
    words: NDArray[np.float32] | None


@torch.inference_mode()
def distributions(
    model: nn.Module,
    encoded: Encoded,
    *,
    pad_id: int,
    device: torch.device,
    autocast: AbstractContextManager | None = None,
) -> Distributions:
    """What ``model`` says of each text and of each subword of ``encoded``."""
    was_training = model.training
    model.eval()
    labels: NDArray[np.float32] | None = None
    of_subwords: dict[str, NDArray[np.float32]] = {}
    data = TrainingSet(encoded)
    budget = INFERENCE_TOKENS.get(device.type, 4096)
    with autocast or nullcontext():
        for rows in evaluation_batches(encoded.lengths, batch_tokens=budget):
            batch = collate(data, rows, pad_id=pad_id, pin=device.type == "cuda").to(device)
            outputs = model(batch.input_ids, batch.attention_mask)
            if outputs.logits is not None:
                probs = outputs.logits.float().softmax(dim=-1).cpu().numpy()
                if labels is None:
                    labels = np.empty((len(encoded), probs.shape[1]), dtype=np.float32)
                labels[rows] = probs
            said = {}
            if outputs.tag_logits is not None:
                said["tags"] = outputs.tag_logits.float().softmax(dim=-1).cpu().numpy()
            if outputs.word_logits is not None:
                said["words"] = outputs.word_logits.float().sigmoid().cpu().numpy()
            for head, probs in said.items():
                shape = (len(encoded.ids), *probs.shape[2:])
                found = of_subwords.setdefault(head, np.empty(shape, dtype=np.float32))
                for i, row in enumerate(rows):
                    part = slice(int(encoded.splits[row]), int(encoded.splits[row + 1]))
                    found[part] = probs[i, : part.stop - part.start]
    model.train(was_training)
    return Distributions(labels, of_subwords.get("tags"), of_subwords.get("words"))


def autocast_for(device: torch.device, precision: str) -> AbstractContextManager:
    """The context in which a model computes at ``precision``: ``fp32``, ``bf16`` or ``fp16``."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, dtype={"bf16": torch.bfloat16, "fp16": torch.float16}[precision])
