"""The paper's transformer student: 4 layers, 256 wide, absolute positions (section 3.3).

It normalises before each block, which trains best from nothing; or after it, as BERT does, so that it may
start from BERT's layers. Either way it has the same weights.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ftx_edge.students.config import StudentConfig
from ftx_edge.students.layers import masked_mean


class Block(nn.Module):
    """Self-attention and feed-forward; written out, so that it exports with a dynamic length."""

    def __init__(self, config: StudentConfig) -> None:
        super().__init__()
        size = config.embedding_size
        self.heads, self.head_size = config.heads, size // config.heads
        self.post = config.norm == "post"
        self.attention_norm = nn.LayerNorm(size)
        self.qkv = nn.Linear(size, 3 * size)
        self.projection = nn.Linear(size, size)
        self.feed_forward_norm = nn.LayerNorm(size)
        self.inner = nn.Linear(size, config.feed_forward)
        self.outer = nn.Linear(config.feed_forward, size)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, states: Tensor, attention_bias: Tensor, batch: int, length: int) -> Tensor:
        """(B, T, H), (B, 1, 1, T) -> (B, T, H).

        ``batch`` and ``length`` come from outside: a graph then computes each shape once, not once a layer.
        """
        seen = states if self.post else self.attention_norm(states)
        qkv = self.qkv(seen).view(batch, length, 3, self.heads, self.head_size)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        scores = query @ key.transpose(2, 3) * self.head_size**-0.5 + attention_bias
        context = (scores.softmax(dim=-1) @ value).transpose(1, 2)
        context = context.reshape(batch, length, self.heads * self.head_size)
        states = states + self.dropout(self.projection(context))
        if self.post:
            states = self.attention_norm(states)
        inner = F.gelu(self.inner(states if self.post else self.feed_forward_norm(states)))
        states = states + self.dropout(self.outer(inner))
        return self.feed_forward_norm(states) if self.post else states


class TransformerEncoder(nn.Module):
    """Embeddings, absolute positions, blocks; the label is read off the mean state."""

    def __init__(self, config: StudentConfig) -> None:
        super().__init__()
        self.output_size = self.pooled_size = config.embedding_size
        self.positions = nn.Parameter(torch.randn(config.max_length, config.embedding_size) * 0.02)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.embedding_size)
        self.post = config.norm == "post"

    def forward(self, embedded: Tensor, mask: Tensor) -> Tensor:
        """(B, T, E), (B, T) -> (B, T, H)."""
        batch, length = embedded.shape[:2]
        states = embedded + self.positions[:length]
        if self.post:
            states = self.norm(states)
        bias = (~mask)[:, None, None, :].to(states.dtype) * torch.finfo(states.dtype).min
        for block in self.blocks:
            states = block(states, bias, batch, length)
        return states if self.post else self.norm(states)

    def pool(self, states: Tensor, mask: Tensor) -> Tensor:
        """(B, T, H), (B, T) -> (B, H)."""
        return masked_mean(states, mask)
