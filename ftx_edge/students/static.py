"""The static student: the mean of the embeddings and a linear head, the floor in cost."""

from __future__ import annotations

from torch import Tensor, nn

from ftx_edge.students.config import StudentConfig
from ftx_edge.students.layers import WindowLinear, masked_mean, windows


class StaticEncoder(nn.Module):
    """No state is passed between tokens; a tagger sees a window of neighbours."""

    def __init__(self, config: StudentConfig) -> None:
        super().__init__()
        self.output_size = self.pooled_size = config.embedding_size
        self.offsets = tuple(range(-config.window, config.window + 1))
        size = config.embedding_size
        self.window = WindowLinear(size, size, len(self.offsets)) if config.tags else None

    def forward(self, embedded: Tensor, mask: Tensor) -> Tensor:
        """(B, T, E), (B, T) -> (B, T, E)."""
        if self.window is None:
            return embedded
        rows = embedded.reshape(-1, self.output_size)
        (seen,) = windows(mask, [self.offsets])
        return (rows + self.window(rows, seen).relu()).view_as(embedded)

    def pool(self, states: Tensor, mask: Tensor) -> Tensor:
        """(B, T, E), (B, T) -> (B, E)."""
        return masked_mean(states, mask)
