"""The multilingual LM: a Hugging Face encoder with heads of ours, student of step 1, teacher of step 2."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor, nn

from ftx_edge.errors import FtxError, UsageError
from ftx_edge.files import sha256_of_text, write_atomically
from ftx_edge.mplm.offline import unpacked_e5_small
from ftx_edge.soft_labels import WordSpans
from ftx_edge.students.layers import masked_mean
from ftx_edge.students.model import Outputs
from ftx_edge.tokenization import Encoded

OFFLINE_PREFIX = "offline:"
_METASPACE = "▁"


class MultilingualTokenizer:
    """The encoder's own fast tokenizer, with the prefix that the encoder expects before each text.

    Args:
        tokenizer: the Hugging Face tokenizer's backend.
        prefix: text put before each input, such as ``query: ``; it gets no character offsets.
        max_length: longest encoding; the rest is cut off.
    """

    def __init__(self, tokenizer: Tokenizer, *, prefix: str = "", max_length: int = 128) -> None:
        self.backend, self.prefix, self.max_length = tokenizer, prefix, max_length
        self.backend.no_padding()
        self.backend.enable_truncation(max_length)

    def encode(self, texts: Sequence[str], words: Sequence[WordSpans] | None = None) -> Encoded:
        """Encode raw texts, or texts as the words that they consist of.

        With ``words`` each word is tokenised by itself, offsets still count in the untouched text, and
        the lone metaspace that starts a word of an unspaced language carries no characters.
        """
        if words is None:
            encodings = self.backend.encode_batch([self.prefix + text for text in texts])
        else:
            start = self.prefix.split()
            encodings = self.backend.encode_batch(
                [start + [t[a:b] for a, b in w] for t, w in zip(texts, words, strict=True)],
                is_pretokenized=True,
            )
        splits = np.zeros(len(encodings) + 1, dtype=np.int64)
        splits[1:] = np.cumsum([len(e.ids) for e in encodings])
        ids = np.fromiter((i for e in encodings for i in e.ids), dtype=np.int32, count=int(splits[-1]))
        offsets = np.zeros((len(ids), 2), dtype=np.int32)
        for row, encoding in enumerate(encodings):
            own = words[row] if words is not None else None
            offsets[splits[row] : splits[row + 1]] = self._offsets(encoding, own)
        return Encoded(ids, offsets, splits)

    def _offsets(self, encoding, words: WordSpans | None) -> list[tuple[int, int]]:  # type: ignore[no-untyped-def]
        """Character offsets in the untouched text; (0, 0) for specials, prefix and lone metaspaces."""
        if words is None:
            shift = len(self.prefix)
            return [(max(a - shift, 0), max(b - shift, 0)) for a, b in encoding.offsets]
        skipped, found = len(self.prefix.split()), []
        columns = zip(encoding.tokens, encoding.word_ids, encoding.offsets, strict=True)
        for token, word, (start, end) in columns:
            if word is None or word < skipped or token == _METASPACE:
                found.append((0, 0))
            else:
                origin = words[word - skipped][0]
                found.append((origin + start, origin + end))
        return found


@dataclass(frozen=True)
class Laid:
    """How the mean states of a language are laid on the English ones.

    Texts of a language lie together, away from those of another and a little turned: the difference says
    nothing of the label.

    Args:
        shift: float32 (H,), taken off.
        turn: float32 (H, H), orthogonal, multiplied with before; None turns nothing.
    """

    shift: Tensor
    turn: Tensor | None = None

    def of(self, states: Tensor) -> Tensor:
        """(B, H) -> (B, H), on the device of ``states``."""
        turned = states if self.turn is None else states @ self.turn.to(states.device)
        return turned - self.shift.to(states.device)

    @property
    def fingerprint(self) -> str:
        """Changes with either."""
        turn = "" if self.turn is None else str(self.turn.tolist())
        return sha256_of_text(str(self.shift.tolist()) + turn)


class MultilingualModel(nn.Module):
    """An encoder, a head on its mean state for the label, a head on its states for the tags.

    Args:
        encoder: Hugging Face encoder; ``forward(input_ids, attention_mask).last_hidden_state``.
        labels: sentence labels; empty for a tagger.
        tags: BIO tags, ``O`` first; empty for a classifier.
        dropout: before the heads.

    Attributes:
        laid: where the mean state of a text of another language than English goes before the label head.
    """

    def __init__(
        self, encoder: nn.Module, *, labels: tuple[str, ...], tags: tuple[str, ...], dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.encoder, self.labels, self.tags = encoder, labels, tags
        size: int = encoder.config.hidden_size  # type: ignore[union-attr, assignment]
        self.dropout = nn.Dropout(dropout)
        self.label_head = nn.Linear(size, len(labels)) if labels else None
        self.tag_head = nn.Linear(size, len(tags)) if tags else None
        self.laid: Laid | None = None

    @property
    def pad_id(self) -> int:
        """The encoder's padding subword."""
        return int(getattr(self.encoder.config, "pad_token_id", None) or 0)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Outputs:
        """(B, T) int64 -> Outputs, in float32."""
        pooled, states = self.features(input_ids, attention_mask)
        logits = tag_logits = None
        if self.label_head is not None:
            logits = self.label_logits(pooled)
        if self.tag_head is not None:
            tag_logits = self.tag_head(self.dropout(states))
        return Outputs(logits, tag_logits)

    def label_logits(self, pooled: Tensor) -> Tensor:
        """(B, H), the mean states, -> (B, C)."""
        assert self.label_head is not None
        return self.label_head(self.dropout(pooled if self.laid is None else self.laid.of(pooled)))

    def features(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        """What the heads see: the mean state (B, H) and the states (B, T, H), float32."""
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state.float()
        return masked_mean(states, attention_mask.bool()), states

    def freeze_embeddings(self) -> None:
        """Keep the word embeddings as they are: most of the weights, little of the knowledge to gain."""
        self.encoder.get_input_embeddings().weight.requires_grad_(False)  # type: ignore[operator]

    def train_layers(self, count: int) -> None:
        """Freeze the encoder but for its last ``count`` layers."""
        layers = self._layers()
        for parameter in self.encoder.parameters():
            parameter.requires_grad_(False)
        for layer in layers[len(layers) - count :]:
            for parameter in layer.parameters():
                parameter.requires_grad_(True)

    def _layers(self) -> nn.ModuleList:
        depth = self.encoder.config.num_hidden_layers  # type: ignore[union-attr]
        for module in self.encoder.modules():
            if isinstance(module, nn.ModuleList) and len(module) == depth:
                return module
        raise UsageError("mplm.train_layers: this encoder's layers were not found; leave it at -1")

    def keep_layers(self, count: int) -> None:
        """Drop all but the first ``count`` layers of the encoder."""
        for parent in self.encoder.modules():
            for name, child in parent.named_children():
                if isinstance(child, nn.ModuleList) and len(child) == self.encoder.config.num_hidden_layers:  # type: ignore[union-attr]
                    setattr(parent, name, child[:count])
                    self.encoder.config.num_hidden_layers = count  # type: ignore[union-attr]
                    return
        raise UsageError("mplm.layers: this encoder's layers were not found; leave it at 0")


def quiet_transformers() -> Any:
    """The library, told to keep its warnings, bars and retries to itself: our errors say what is wrong."""
    import transformers
    from huggingface_hub.utils import logging as hub_logging

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    hub_logging.set_verbosity_error()
    return transformers


def mplm_folder(name: str) -> str:
    """The folder or hub id that ``name`` stands for; ``offline:e5-small`` is unpacked if need be."""
    if not name.startswith(OFFLINE_PREFIX):
        return name
    if name != "offline:e5-small":
        raise UsageError(f"unknown offline mPLM {name!r}: there is offline:e5-small")
    return str(unpacked_e5_small())


def default_prefix(name: str) -> str:
    """What an encoder expects before each text, as far as its name tells."""
    return "query: " if "e5-" in name.lower() else ""


def longest_input(config: Any) -> int | None:
    """How many subwords a model with this Hugging Face configuration has positions for; None: no limit."""
    positions = getattr(config, "max_position_embeddings", None)
    if not isinstance(positions, int):
        return None
    # RoBERTa and its kin count positions from behind the padding's.
    return positions - config.pad_token_id - 1 if "roberta" in config.model_type else positions


def load_config(name: str) -> Any:
    """The Hugging Face configuration of an encoder; raises FtxError where there is none."""
    transformers = quiet_transformers()
    try:
        return transformers.AutoConfig.from_pretrained(mplm_folder(name), trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise FtxError(f"mPLM {name!r} cannot be loaded: {not_from(name)}{_first_line(error)}") from error


def not_from(name: str) -> str:
    """Where a model was looked for in vain, before what the hub says; "" for a folder and offline ones."""
    return "" if ":" in name or Path(name).is_dir() else "there is no such folder here, and from the hub: "


def load_encoder(name: str) -> nn.Module:
    """A Hugging Face encoder without its pooler, float32; raises FtxError where there is none."""
    transformers = quiet_transformers()
    folder = mplm_folder(name)
    options = {"trust_remote_code": False, "use_safetensors": True, "dtype": torch.float32}
    try:
        try:
            return transformers.AutoModel.from_pretrained(folder, add_pooling_layer=False, **options)
        except TypeError:  # models without a pooler do not know the option
            return transformers.AutoModel.from_pretrained(folder, **options)
    except (OSError, ValueError, SafetensorError) as error:
        raise FtxError(f"mPLM {name!r} cannot be loaded: {_first_line(error)}") from error


def piece_embeddings(encoder: nn.Module) -> NDArray[np.float32]:
    """(V, H): what an encoder knows of each of its pieces before any context."""
    embeddings: nn.Embedding = encoder.get_input_embeddings()  # type: ignore[operator]
    return embeddings.weight.detach().float().cpu().numpy()


def load_tokenizer(name: str, *, prefix: str = "", max_length: int = 128) -> MultilingualTokenizer:
    """The fast tokenizer of ``name``; raises FtxError where there is none."""
    folder = mplm_folder(name)
    file = Path(folder) / "tokenizer.json"
    if file.is_file():
        backend = Tokenizer.from_file(str(file))
    else:
        from transformers import AutoTokenizer

        try:
            backend = AutoTokenizer.from_pretrained(folder, trust_remote_code=False).backend_tokenizer
        except (OSError, ValueError, AttributeError) as error:
            raise FtxError(f"{name!r} has no fast tokenizer: {_first_line(error)}") from error
    return MultilingualTokenizer(backend, prefix=prefix, max_length=max_length)


def save_mplm(model: MultilingualModel, tokenizer: MultilingualTokenizer, folder: Path) -> None:
    """Write a Hugging Face folder, our heads beside it, whole or not at all."""
    with write_atomically(folder) as aside:
        model.encoder.save_pretrained(aside, safe_serialization=True)  # type: ignore[operator]
        (aside / "tokenizer.json").write_text(tokenizer.backend.to_str(), encoding="utf-8")
        heads = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items() if "_head." in k}
        save_file(heads, aside / "heads.safetensors")
        about = {
            "labels": model.labels,
            "tags": model.tags,
            "prefix": tokenizer.prefix,
            "max_length": tokenizer.max_length,
        }
        text = json.dumps(about, indent=2, ensure_ascii=False)
        (aside / "heads.json").write_text(text, encoding="utf-8")


def load_mplm(folder: Path) -> tuple[MultilingualModel, MultilingualTokenizer]:
    """Read what ``save_mplm`` wrote; on the CPU, in evaluation mode."""
    try:
        about = json.loads((folder / "heads.json").read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise FtxError(f"{folder} holds no distilled mPLM: heads.json is missing") from error
    model = MultilingualModel(
        load_encoder(str(folder)), labels=tuple(about["labels"]), tags=tuple(about["tags"])
    )
    try:
        model.load_state_dict(load_file(folder / "heads.safetensors"), strict=False)
    except (OSError, SafetensorError) as error:
        raise FtxError(f"{folder / 'heads.safetensors'} is damaged: {_first_line(error)}") from error
    tokenizer = load_tokenizer(str(folder), prefix=about["prefix"], max_length=about["max_length"])
    return model.eval(), tokenizer


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
