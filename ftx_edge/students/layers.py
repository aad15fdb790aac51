"""Parts that several students share. All tensors are batch first; masks are bool, True for real tokens."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class WindowLinear(nn.Module):
    """A 1-D convolution, "same" size, as a lookup of the rows that each output sees, and one Linear.

    ONNX Runtime quantises a MatMul dynamically and fast; a Conv becomes the slow ConvInteger. Texts are
    short, so that each node of a graph counts: shifts of the rows would be several, a lookup is one.

    Args:
        size: width of the input.
        channels: width of the output.
        width: how many rows each output sees; ``windows`` says which.
    """

    def __init__(self, size: int, channels: int, width: int) -> None:
        super().__init__()
        self.size = size
        self.linear = nn.Linear(size * width, channels)

    def forward(self, rows: Tensor, seen: Tensor) -> Tensor:
        """(N, size), and (N, width) of ``windows`` -> (N, channels)."""
        rows = torch.cat([rows.new_zeros(1, self.size), rows])
        # The row of zeros has no gradient.
        found = F.embedding(seen, rows, padding_idx=0).reshape(-1, self.linear.in_features)
        # Called with rows, the Linear would be a Gemm of the graph, of which the int8 export knows no parts.
        return found @ self.linear.weight.T + self.linear.bias


def windows(mask: Tensor, offsets: Sequence[tuple[int, ...]]) -> tuple[Tensor, ...]:
    """The rows of a batch that convolutions see: (B, T) -> int64 (B * T, width) for each.

    Rows are numbered from 1, text after text. 0 is a row of zeros: what lies beyond a text, be it padding, so
    that a text meets the same zeros alone and in a batch.

    Args:
        mask: of the texts.
        offsets: of each convolution, the positions relative to its own that each output sees.
    """
    every = [offset for own in offsets for offset in own]
    reach = max(map(abs, every))
    # An arange of B * T would be more nodes of the graph.
    numbers = torch.ones_like(mask, dtype=torch.int64).reshape(-1).cumsum(0).view_as(mask) * mask
    places = torch.arange(mask.shape[1], device=mask.device).unsqueeze(1)
    places = places + torch.tensor([reach + offset for offset in every], device=mask.device)
    seen = F.pad(numbers, (reach, reach))[:, places].reshape(-1, len(every))
    return seen.split([len(own) for own in offsets], dim=1)


def masked_mean(states: Tensor, mask: Tensor) -> Tensor:
    """(B, T, H), (B, T) -> (B, H): the mean over real tokens; every row has one at least."""
    weights = mask.unsqueeze(-1).to(states.dtype)
    return (states * weights).sum(dim=1) / weights.sum(dim=1)


def masked_max(states: Tensor, mask: Tensor) -> Tensor:
    """(B, T, H), (B, T) -> (B, H): the maximum over real tokens; every row has one at least."""
    return states.masked_fill(~mask.unsqueeze(-1), torch.finfo(states.dtype).min).amax(dim=1)
