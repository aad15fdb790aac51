"""What a step trains on, cut into batches of texts of about the same length."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ftx_edge.errors import FtxError
from ftx_edge.tokenization import Encoded


@dataclass(frozen=True)
class TrainingSet:
    """Encoded texts and what the teacher says of them.

    Args:
        encoded: the texts in the learner's subwords.
        label_targets: float32 (N, C), or None without a label head.
        tag_targets: float32 (M, K), a row a subword of ``encoded``, or None without a tag head.
        tag_weights: float32 (M,), 0 for subwords without a target.
        label_weights: float32 (N,), mean 1: how much each text's label counts; None stands for ones.
        hints: float16 (M, D), what the mPLM's states are at the subwords; None where nobody learns them.
        hint_weights: float32 (M,), 0 for subwords without a hint.
        word_starts: float32 (M,), 1 where a word begins, 0 where it goes on, -1 for what stands over no text.
    """

    encoded: Encoded
    label_targets: NDArray[np.float32] | None = None
    tag_targets: NDArray[np.float32] | None = None
    tag_weights: NDArray[np.float32] | None = None
    label_weights: NDArray[np.float32] | None = None
    hints: NDArray[np.float16] | None = None
    hint_weights: NDArray[np.float32] | None = None
    word_starts: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.encoded)


class Batch(NamedTuple):
    """Tensors of one batch; ``size`` is the number of texts in it."""

    input_ids: Tensor
    attention_mask: Tensor
    label_targets: Tensor | None
    tag_targets: Tensor | None
    tag_weights: Tensor | None
    label_weights: Tensor | None
    hints: Tensor | None
    hint_weights: Tensor | None
    word_starts: Tensor | None
    size: int

    def to(self, device: torch.device) -> Batch:
        """The batch on ``device``; copies from pinned memory do not wait."""
        moved = (t.to(device, non_blocking=True) if isinstance(t, Tensor) else t for t in self)
        return Batch(*moved)  # type: ignore[arg-type]


def batch_rows(
    lengths: NDArray[np.int64], *, batch_size: int, batch_tokens: int, rng: np.random.Generator | None
) -> list[NDArray[np.int64]]:
    """Cut rows into batches by length: at most ``batch_size`` rows and ``batch_tokens`` padded subwords.

    With ``rng`` the order of batches is random, and so is which rows of about one length share a batch;
    without, batches go from the longest text to the shortest, so that memory runs out at once or never.
    """
    if rng is None:
        order = np.argsort(-lengths, kind="stable")
    else:
        jitter = rng.random(len(lengths)) * np.maximum(2.0, 0.2 * lengths)
        order = np.argsort(lengths + jitter, kind="stable")[::-1]
    batches, start = [], 0
    while start < len(order):
        longest, end = int(lengths[order[start]]), start
        while end < len(order) and end - start < batch_size:
            longest = max(longest, int(lengths[order[end]]))
            if end > start and longest * (end - start + 1) > batch_tokens:
                break
            end += 1
        batches.append(order[start:end])
        start = end
    if rng is not None:
        batches = [batches[i] for i in rng.permutation(len(batches))]
    return batches


def collate(data: TrainingSet, rows: NDArray[np.int64], *, pad_id: int, pin: bool = False) -> Batch:
    """Pad those rows to the longest of them."""
    encoded = data.encoded
    width = int(encoded.lengths[rows].max())
    ids = np.full((len(rows), width), pad_id, dtype=np.int64)
    mask = np.zeros((len(rows), width), dtype=np.int64)
    parts = [slice(int(encoded.splits[row]), int(encoded.splits[row + 1])) for row in rows]
    for i, part in enumerate(parts):
        length = part.stop - part.start
        ids[i, :length] = encoded.ids[part]
        mask[i, :length] = 1

    def tensor(array: NDArray) -> Tensor:
        return torch.from_numpy(array).pin_memory() if pin else torch.from_numpy(array)

    def of_texts(values: NDArray | None) -> Tensor | None:
        return None if values is None else tensor(values[rows])

    def of_subwords(values: NDArray | None, padding: float = 0.0) -> Tensor | None:
        if values is None:
            return None
        padded = np.full((len(rows), width, *values.shape[1:]), padding, dtype=np.float32)
        for i, part in enumerate(parts):
            padded[i, : part.stop - part.start] = values[part]
        return tensor(padded)

    return Batch(
        tensor(ids),
        tensor(mask),
        of_texts(data.label_targets),
        of_subwords(data.tag_targets),
        of_subwords(data.tag_weights),
        of_texts(data.label_weights),
        of_subwords(data.hints),
        of_subwords(data.hint_weights),
        of_subwords(data.word_starts, padding=-1.0),
        size=len(rows),
    )


def epoch_batches(
    data: TrainingSet, *, batch_size: int, batch_tokens: int, seed: int, epoch: int, shards: int = 1
) -> list[NDArray[np.int64]]:
    """The batches of an epoch, in an order that depends on ``(seed, epoch)`` alone.

    With several processes (``shards``) the last few batches are dropped that would not reach all.
    """
    rng = np.random.default_rng((seed, epoch))
    batches = batch_rows(data.encoded.lengths, batch_size=batch_size, batch_tokens=batch_tokens, rng=rng)
    whole = len(batches) - len(batches) % shards
    if whole == 0:
        raise FtxError(f"{len(data)} utterances are fewer than a batch for each of {shards} processes")
    return batches[:whole]


def evaluation_batches(lengths: NDArray[np.int64], *, batch_tokens: int) -> Iterator[NDArray[np.int64]]:
    """Every row once, the longest first."""
    yield from batch_rows(lengths, batch_size=1024, batch_tokens=batch_tokens, rng=None)
