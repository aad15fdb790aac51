"""A transformer student that starts as the first layers of the mPLM.

Its pieces are the mPLM's, and so are their embeddings, its positions, its width and its heads of attention:
before the first update it computes what the first layers of the mPLM do. DistilBERT (Sanh et al. 2019) takes
its start from its teacher's layers too; that the lowest ones are those to keep, Sajjad et al. (2020) found.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from ftx_edge.errors import UsageError
from ftx_edge.mplm.model import MultilingualModel, MultilingualTokenizer, longest_input
from ftx_edge.students.config import StudentConfig
from ftx_edge.students.model import Student
from ftx_edge.students.transformer import Block, TransformerEncoder
from ftx_edge.tokenization import CLS, SPECIAL_TOKENS

_LIKE_BERT = ("bert", "roberta", "xlm-roberta")


def with_layers_of(config: StudentConfig, mplm: Any) -> StudentConfig:
    """The configuration with the sizes that layers of the mPLM have.

    Args:
        config: of a transformer; ``layers`` says how many it takes over.
        mplm: the Hugging Face configuration of the mPLM.

    Raises:
        UsageError: its layers are not BERT's, or are fewer, or it has too few positions.
    """
    if mplm.model_type not in _LIKE_BERT or getattr(mplm, "hidden_act", "gelu") != "gelu":
        raise UsageError(
            f'student.init = "mplm-layers" needs an mPLM built like BERT ({", ".join(_LIKE_BERT)}), '
            f'and this one is {mplm.model_type}: use "mplm"'
        )
    if config.layers > mplm.num_hidden_layers:
        raise UsageError(f"student.layers {config.layers}: the mPLM has {mplm.num_hidden_layers}")
    if config.max_length > (longest := longest_input(mplm) or config.max_length):
        raise UsageError(f"student.max_length {config.max_length}: the mPLM has {longest} positions")
    return replace(
        config,
        embedding_size=mplm.hidden_size,
        heads=mplm.num_attention_heads,
        feed_forward=mplm.intermediate_size,
        norm="post",
    )


@torch.no_grad()
def start_from_layers(
    student: Student, tokenizer: Tokenizer, mplm: MultilingualModel, mplm_tokenizer: MultilingualTokenizer
) -> int:
    """Set all of the student but its heads.

    Args:
        student: a transformer of `with_layers_of`; changed in place.
        tokenizer: the student's.
        mplm: the teacher of step 2.
        mplm_tokenizer: its tokenizer.

    Returns:
        How many pieces the mPLM knows; the others, single characters, start from the mean of those.
    """
    encoder, theirs = student.encoder, mplm.encoder
    assert isinstance(encoder, TransformerEncoder)
    embeddings: Any = theirs.embeddings
    words = embeddings.word_embeddings.weight
    rows = mplm_tokenizer.backend.get_vocab()
    ours = tokenizer.get_vocab()
    shared = (piece for piece in ours if piece in rows and piece not in SPECIAL_TOKENS)
    known = {ours[piece]: rows[piece] for piece in shared}
    # A text of the mPLM begins with its own [CLS].
    known[ours[CLS]] = mplm_tokenizer.backend.encode("").ids[0]
    start = words[list(known.values())]
    student.embedding.weight[:] = start.mean(dim=0)
    student.embedding.weight[list(known)] = start
    student.embedding.weight[student.embedding.padding_idx] = 0

    positions = embeddings.position_embeddings
    first = 0 if positions.padding_idx is None else positions.padding_idx + 1
    encoder.positions.copy_(positions.weight[first : first + len(encoder.positions)])
    # Every text is of the first type.
    encoder.positions.add_(embeddings.token_type_embeddings.weight[0])
    _copy(encoder.norm, embeddings.LayerNorm)
    layers: Any = theirs.encoder
    for own, layer in zip(encoder.blocks, layers.layer, strict=False):
        assert isinstance(own, Block)
        _start_block(own, layer)
    return len(known) - 1


def _start_block(own: Block, layer: Any) -> None:
    attention = layer.attention
    parts = (attention.self.query, attention.self.key, attention.self.value)
    own.qkv.weight.copy_(torch.cat([part.weight for part in parts]))
    own.qkv.bias.copy_(torch.cat([part.bias for part in parts]))
    _copy(own.projection, attention.output.dense)
    _copy(own.attention_norm, attention.output.LayerNorm)
    _copy(own.inner, layer.intermediate.dense)
    _copy(own.outer, layer.output.dense)
    _copy(own.feed_forward_norm, layer.output.LayerNorm)


def _copy(own: nn.Linear | nn.LayerNorm, other: Any) -> None:
    weight: Tensor = other.weight
    own.weight.copy_(weight)
    own.bias.copy_(other.bias)
