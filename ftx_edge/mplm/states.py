"""The mPLM's states: what its heads see, and where the texts of a language lie among those of others.

Sentence encoders keep the language of a text beside its meaning, mostly as an offset that all texts of the
language share. Taken off, texts of one meaning lie nearer to each other. It needs unlabelled text only.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ftx_edge.batches import TrainingSet, collate, evaluation_batches
from ftx_edge.files import sha256_of_text, write_atomically
from ftx_edge.forward import INFERENCE_TOKENS, autocast_for
from ftx_edge.kept import KeptValues
from ftx_edge.mplm.model import Laid, MultilingualModel, MultilingualTokenizer
from ftx_edge.soft_labels import WordSpans
from ftx_edge.tokenization import Encoded


@torch.no_grad()
def states_of(
    model: MultilingualModel,
    encoded: Encoded,
    *,
    pad_id: int,
    device: torch.device,
    subwords: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Mean states (N, H) of the texts, and the states (S, H) of chosen subwords; float32, on ``device``.

    Args:
        subwords: int64 (S,), places in ``encoded.ids``, ascending; None for no subword.
    """
    was_training = model.training
    model.eval()
    size: int = model.encoder.config.hidden_size  # type: ignore[union-attr, assignment]
    pooled = torch.empty(len(encoded), size, device=device)
    wanted = torch.full((len(encoded.ids),), -1, dtype=torch.int64)
    if subwords is not None:
        wanted[subwords] = torch.arange(len(subwords))
    states = torch.empty(int((wanted >= 0).sum()), size, device=device)
    for rows in evaluation_batches(encoded.lengths, batch_tokens=INFERENCE_TOKENS.get(device.type, 4096)):
        batch = collate(TrainingSet(encoded), rows, pad_id=pad_id).to(device)
        mean, own = model.features(batch.input_ids, batch.attention_mask)
        pooled[torch.from_numpy(rows.copy()).to(device)] = mean
        for i, row in enumerate(rows if subwords is not None else ()):
            start, end = int(encoded.splits[row]), int(encoded.splits[row + 1])
            places = wanted[start:end]
            states[places[places >= 0].to(device)] = own[i, : end - start][(places >= 0).to(device)]
    model.train(was_training)
    return pooled, states


class MeanStates:
    """The mean states of texts in an encoder that is not trained, kept on disk if there is a folder for them.

    Such an encoder is asked of the same texts again and again: for neighbours, for heads, for labels, for the
    next seed.

    Args:
        model: its heads do not matter.
        tokenizer: the encoder's.
        device: where to compute.
        precision: ``fp32``, ``bf16`` or ``fp16``.
        folder: of the file, which encoders and processes may share; None keeps nothing.
    """

    def __init__(
        self,
        model: MultilingualModel,
        tokenizer: MultilingualTokenizer,
        *,
        device: torch.device,
        precision: str = "fp32",
        folder: Path | None = None,
    ) -> None:
        self.model, self.tokenizer = model.to(device), tokenizer
        self.device, self.precision = device, precision
        self._kept = KeptValues(folder / "states.sqlite", "states", "state") if folder else None

    def of(self, texts: Sequence[str], words: Sequence[WordSpans] | None = None) -> NDArray[np.float32]:
        """(N, H) float32: the mean of each text's last states, prefix and special pieces included.

        Args:
            texts: N of them.
            words: their words, where the encoder is shown words; states of such texts are not kept.
        """
        if self._kept is None or words is not None:
            return self._computed(texts, words)
        keys = [sha256_of_text(self._encoder, text) for text in texts]
        kept = self._kept.get(keys)
        missing = {key: row for row, (key, value) in enumerate(zip(keys, kept, strict=True)) if value is None}
        computed = self._computed([texts[row] for row in missing.values()])
        new = dict(zip(missing, computed, strict=True))
        self._kept.put((key, value.tobytes()) for key, value in new.items())
        found = np.empty((len(texts), computed.shape[1]), dtype=np.float32)
        for row, (key, value) in enumerate(zip(keys, kept, strict=True)):
            found[row] = new[key] if value is None else np.frombuffer(value, dtype=np.float32)
        return found

    def _computed(
        self, texts: Sequence[str], words: Sequence[WordSpans] | None = None
    ) -> NDArray[np.float32]:
        encoded = self.tokenizer.encode(texts, words)
        with autocast_for(self.device, self.precision):
            pooled, _ = states_of(self.model, encoded, pad_id=self.model.pad_id, device=self.device)
        means: NDArray[np.float32] = pooled.cpu().numpy()
        return means

    @cached_property
    def _encoder(self) -> str:
        reads = (self.tokenizer.prefix, str(self.tokenizer.max_length), self.precision)
        return sha256_of_text(encoder_fingerprint(self.model.encoder), *reads)


def encoder_fingerprint(encoder: nn.Module) -> str:
    """Of an encoder's weights, wherever it was read from."""
    found = sha256()
    for name, value in sorted(encoder.state_dict().items()):
        found.update(name.encode())
        found.update(value.detach().cpu().contiguous().numpy())
    return found.hexdigest()


def save_center(center: Tensor, path: Path, turn: Tensor | None = None) -> None:
    """Write the mean state (H,) of a language's texts, and how the language is turned onto English (H, H)."""
    kept = {"mean": center.cpu().contiguous()}
    if turn is not None:
        kept["turn"] = turn.cpu().contiguous()
    with write_atomically(path) as aside:
        save_file(kept, aside)


def read_laid(language: Path, english: Path) -> Laid:
    """What lays a language on English, of the files of both."""
    kept, turn = load_file(language), None
    mean = kept["mean"]
    if "turn" in kept:
        turn = kept["turn"]
        mean = mean @ turn
    return Laid(mean - load_file(english)["mean"], turn)
