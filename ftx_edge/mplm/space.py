"""The multilingual LM, before step 1 or after a round of it, as a space where what means the same is close.

Texts are their mean last state; words are the mean state of their pieces, in context, at an inner layer.
Every language has an offset of its own in this space, which is larger than many differences of meaning;
vectors are therefore centred a language before they are compared (Libovický et al. 2020, Language
Neutrality).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ftx_edge.batches import TrainingSet, collate, evaluation_batches
from ftx_edge.files import sha256_of_text
from ftx_edge.forward import INFERENCE_TOKENS, autocast_for
from ftx_edge.mplm.model import MultilingualModel, MultilingualTokenizer, load_encoder
from ftx_edge.mplm.states import MeanStates
from ftx_edge.soft_labels import WordSpans
from ftx_edge.tokenization import Encoded


@dataclass(frozen=True)
class WordVectors:
    """A vector for each word that the encoder saw.

    Args:
        vectors: float32 (M, H).
        offsets: int32 (M, 2), character offsets of the word in its own text.
        splits: int64 (N + 1,): the words of text i are ``splits[i]:splits[i + 1]``.
        seen: bool (W,), of all words that were asked for those that have a vector: a word beyond the
            encoder's longest input has none.
    """

    vectors: NDArray[np.float32]
    offsets: NDArray[np.int32]
    splits: NDArray[np.int64]
    seen: NDArray[np.bool_]

    def take(self, rows: Sequence[int] | NDArray[np.integer]) -> WordVectors:
        """Those texts, in that order; ``seen`` of the words that have a vector alone."""
        parts = [np.arange(self.splits[row], self.splits[row + 1]) for row in rows]
        splits = np.concatenate([[0], np.cumsum([len(part) for part in parts])]).astype(np.int64)
        chosen = np.concatenate([np.zeros(0, np.int64), *parts])
        return WordVectors(
            self.vectors[chosen], self.offsets[chosen], splits, np.ones(len(chosen), dtype=np.bool_)
        )


class Space:
    """An encoder, loaded when the first vector is asked for.

    Args:
        name: as in the recipe, or a folder.
        tokenizer: with the encoder's prefix.
        layer: the words' layer; 0 stands for two thirds of the depth (8 of 12).
        device: where to compute.
        precision: ``fp32``, ``bf16`` or ``fp16``.
        kept: folder for the vectors of texts; None keeps none.
        identity: what tells the encoder from others; its name by default.
    """

    def __init__(
        self,
        name: str,
        tokenizer: MultilingualTokenizer,
        *,
        layer: int = 0,
        device: torch.device,
        precision: str = "fp32",
        kept: Path | None = None,
        identity: str = "",
    ) -> None:
        self.name, self.tokenizer, self.layer = name, tokenizer, layer
        self.device, self.precision, self.kept = device, precision, kept
        reads = (tokenizer.prefix, str(tokenizer.max_length), str(layer), precision)
        self.fingerprint = sha256_of_text(identity or name, *reads)
        self._models: dict[bool, MultilingualModel] = {}

    def texts(self, texts: Sequence[str], words: Sequence[WordSpans] | None = None) -> NDArray[np.float32]:
        """(N, H): the mean of each text's last states, prefix and special pieces included.

        Args:
            texts: N of them.
            words: their words, where the encoder is to be shown words.
        """
        return self._means.of(texts, words)

    @cached_property
    def _means(self) -> MeanStates:
        model = self._model(words=False)
        return MeanStates(
            model, self.tokenizer, device=self.device, precision=self.precision, folder=self.kept
        )

    def words(self, texts: Sequence[str], words: Sequence[WordSpans]) -> WordVectors:
        """The mean state of each word's pieces, in context, at ``layer``."""
        encoded = self.tokenizer.encode(texts, words)
        spans = [np.asarray(own, dtype=np.int32).reshape(-1, 2) for own in words]
        starts = np.concatenate([[0], np.cumsum([len(own) for own in spans])])
        piece_word = np.full(len(encoded.ids), -1, dtype=np.int64)
        for row, own in enumerate(spans):
            part = slice(int(encoded.splits[row]), int(encoded.splits[row + 1]))
            piece_word[part] = word_of_pieces(encoded.offsets[part], own)
            piece_word[part][piece_word[part] >= 0] += starts[row]
        sums: NDArray[np.float32] | None = None
        model = self._model(words=True)
        for rows, states, _ in self._states(model, encoded):
            values = states.cpu().numpy()
            if sums is None:
                sums = np.zeros((int(starts[-1]), values.shape[2]), dtype=np.float32)
            for i, row in enumerate(rows):
                own_words = piece_word[encoded.splits[row] : encoded.splits[row + 1]]
                real = own_words >= 0
                np.add.at(sums, own_words[real], values[i, : len(own_words)][real])
        counts = np.bincount(piece_word[piece_word >= 0], minlength=int(starts[-1]))
        seen = counts > 0
        sums = np.zeros((0, 1), np.float32) if sums is None else sums
        vectors = (sums[seen] / counts[seen, None]).astype(np.float32)
        kept = np.concatenate([[0], np.cumsum(seen)])
        offsets = np.concatenate(spans) if spans else np.zeros((0, 2), dtype=np.int32)
        return WordVectors(vectors, offsets[seen], kept[starts].astype(np.int64), seen)

    def _model(self, *, words: bool) -> MultilingualModel:
        if words not in self._models:
            model = MultilingualModel(load_encoder(self.name), labels=(), tags=())
            depth: int = model.encoder.config.num_hidden_layers  # type: ignore[union-attr, assignment]
            layer = self.layer or max(1, round(depth * 2 / 3))
            if words and layer < depth:
                model.keep_layers(layer)
            self._models[words] = model.to(self.device).eval()
        return self._models[words]

    @torch.inference_mode()
    def _states(
        self, model: MultilingualModel, encoded: Encoded
    ) -> Iterator[tuple[NDArray[np.int64], torch.Tensor, torch.Tensor]]:
        yield from last_states(model.encoder, encoded, device=self.device, precision=self.precision)


@torch.inference_mode()
def last_states(
    encoder: nn.Module, encoded: Encoded, *, device: torch.device, precision: str
) -> Iterator[tuple[NDArray[np.int64], torch.Tensor, torch.Tensor]]:
    """Batch by batch: the rows, their last states float32 (B, T, H), their mask bool (B, T)."""
    data = TrainingSet(encoded)
    pad_id = int(getattr(encoder.config, "pad_token_id", None) or 0)
    for rows in evaluation_batches(encoded.lengths, batch_tokens=INFERENCE_TOKENS.get(device.type, 4096)):
        batch = collate(data, rows, pad_id=pad_id, pin=device.type == "cuda").to(device)
        with autocast_for(device, precision):
            output = encoder(input_ids=batch.input_ids, attention_mask=batch.attention_mask)
        yield rows, output.last_hidden_state.float(), batch.attention_mask.bool()


def word_of_pieces(pieces: NDArray[np.integer], words: NDArray[np.integer]) -> NDArray[np.int64]:
    """For each piece (offsets (T, 2)) the word (offsets (W, 2), in order) that it lies in; -1 for none."""
    if not len(words):
        return np.full(len(pieces), -1, dtype=np.int64)
    word = np.searchsorted(words[:, 0], pieces[:, 0], side="right") - 1
    inside = (pieces[:, 1] > pieces[:, 0]) & (word >= 0) & (pieces[:, 0] < words[word.clip(0), 1])
    return np.where(inside, word, -1)
