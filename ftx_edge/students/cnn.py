"""The CNN students: Kim (2014) for sentences, dilated (Strubell et al. 2017) for tags."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ftx_edge.students.config import StudentConfig
from ftx_edge.students.layers import WindowLinear, windows


class DilatedBlock(nn.Module):
    """Residual convolution of width 3; how far its outer taps lie apart is for ``windows`` to say."""

    def __init__(self, size: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(size)
        self.convolution = WindowLinear(size, size, 3)
        self.dropout = nn.Dropout(dropout)

    def forward(self, rows: Tensor, seen: Tensor) -> Tensor:
        """(N, H), and (N, 3) of ``windows`` -> (N, H)."""
        return rows + self.dropout(torch.relu(self.convolution(self.norm(rows), seen)))


class CNNEncoder(nn.Module):
    """A tagger adds dilated blocks (1, 2, 4 ...); a sentence is the maximum of every feature map.

    All texts of a batch are the rows of one matrix; ``windows`` keeps them apart.
    """

    def __init__(self, config: StudentConfig) -> None:
        super().__init__()
        size = config.embedding_size
        self.output_size = size
        self.pooled_size = config.channels * len(config.kernels)
        layers = config.layers if config.tags else 0
        self.block_offsets = [(-(2**index), 0, 2**index) for index in range(layers)]
        self.blocks = nn.ModuleList(DilatedBlock(size, config.dropout) for _ in self.block_offsets)
        self.norm = nn.LayerNorm(size) if config.tags else nn.Identity()
        kernels = config.kernels if config.labels else ()
        self.kernel_offsets = [tuple(range(-((k - 1) // 2), k // 2 + 1)) for k in kernels]
        self.convolutions = nn.ModuleList(WindowLinear(size, config.channels, k) for k in kernels)

    def forward(self, embedded: Tensor, mask: Tensor) -> Tensor:
        """(B, T, E), (B, T) -> (B, T, E)."""
        if not self.blocks:
            return embedded
        rows = embedded.reshape(-1, self.output_size)
        for block, own in zip(self.blocks, self._windows(mask)[: len(self.block_offsets)], strict=True):
            rows = block(rows, own)
        return self.norm(rows).view_as(embedded)

    def pool(self, states: Tensor, mask: Tensor) -> Tensor:
        """(B, T, E), (B, T) -> (B, channels * kernels).

        Zero is the least that a ReLU gives: what is masked may be zero before the maximum, and the ReLU
        follows it, on one row a text.
        """
        rows = states.reshape(-1, self.output_size)
        seen = self._windows(mask)[len(self.block_offsets) :]
        features = torch.cat([c(rows, own) for c, own in zip(self.convolutions, seen, strict=True)], dim=-1)
        features = features * mask.reshape(-1, 1)
        return features.view(mask.shape[0], -1, self.pooled_size).amax(dim=1).relu()

    def _windows(self, mask: Tensor) -> tuple[Tensor, ...]:
        """Of blocks and kernels: ONNX Runtime sees that two calls are one."""
        return windows(mask, [*self.block_offsets, *self.kernel_offsets])
