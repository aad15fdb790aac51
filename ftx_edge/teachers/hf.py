"""``hf:<folder or id>``: an off-the-shelf Hugging Face classifier or tagger."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from ftx_edge.errors import FtxError, UsageError, require
from ftx_edge.files import sha256_of, sha256_of_text
from ftx_edge.mplm.model import (
    MultilingualTokenizer,
    load_tokenizer,
    longest_input,
    not_from,
    quiet_transformers,
)
from ftx_edge.students.model import Outputs
from ftx_edge.teachers.model import ModelTeacher

MAX_LENGTH = 512


class WithOutputs(nn.Module):
    """A Hugging Face classifier or tagger whose forward pass gives ``Outputs``."""

    def __init__(self, model: nn.Module, *, tagging: bool) -> None:
        super().__init__()
        self.model, self.tagging = model, tagging

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Outputs:
        logits = self.model(input_ids=input_ids, attention_mask=attention_mask).logits
        return Outputs(None, logits) if self.tagging else Outputs(logits, None)


def is_tagger(name: str) -> bool:
    """Whether the configuration of a folder or hub id says that it tags subwords."""
    require("transformers", "train")
    transformers = quiet_transformers()
    try:
        config = transformers.AutoConfig.from_pretrained(name, trust_remote_code=False)
    except (OSError, ValueError):
        return False  # opening it will say what is wrong
    architectures = config.architectures or ()
    return any(architecture.endswith("ForTokenClassification") for architecture in architectures)


def open_hf(name: str, *, tagging: bool, device: torch.device, precision: str = "fp32") -> ModelTeacher:
    """Open ``AutoModelForSequenceClassification`` or ``AutoModelForTokenClassification``.

    A tagger's distribution for a word is the one of its first subword, which is the one that Hugging Face
    taggers are trained on.

    Args:
        name: folder or hub id, with safetensors weights. No code of the folder is run.
        tagging: which of the two heads it has.
        device: where to compute.
        precision: ``fp32``, ``bf16`` or ``fp16``.
    """
    require("transformers", "train")
    transformers = quiet_transformers()
    if ("/" in name or "\\" in name) and name.count("/") != 1 and not Path(name).is_dir():
        raise FtxError(f"teacher hf:{name}: no such folder")
    kind = (
        transformers.AutoModelForTokenClassification
        if tagging
        else transformers.AutoModelForSequenceClassification
    )
    try:
        model, found = kind.from_pretrained(
            name,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
        )
    except (OSError, ValueError, SafetensorError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise FtxError(f"teacher hf:{name} cannot be loaded: {not_from(name)}{reason}") from error
    # transformers would give random weights to a head that the folder does not hold.
    body = f"{model.base_model_prefix}."
    if missing := sorted(key for key in found["missing_keys"] if not key.startswith(body)):
        raise UsageError(
            f"teacher hf:{name} is no {'tagger' if tagging else 'classifier'}: its weights lack {missing[0]}"
        )
    names = tuple(model.config.id2label[i] for i in range(model.config.num_labels))
    longest = min(MAX_LENGTH, longest_input(model.config) or MAX_LENGTH)
    tokenizer: MultilingualTokenizer = load_tokenizer(name, max_length=longest)
    pad_id = getattr(model.config, "pad_token_id", None)
    fingerprint = sha256_of(Path(name)) if Path(name).is_dir() else _hub_fingerprint(model, name)
    if tagging and "O" not in names:
        raise UsageError(
            f"teacher hf:{name} is no BIO tagger: none of its labels is O ({', '.join(names[:5])} ...)"
        )
    return ModelTeacher(
        WithOutputs(model.eval(), tagging=tagging),
        tokenizer.encode,
        labels=() if tagging else names,
        tags=names if tagging else (),
        pad_id=pad_id if isinstance(pad_id, int) else 0,
        fingerprint=fingerprint,
        device=device,
        precision=precision,
        whole_words=tagging,
    )


def _hub_fingerprint(model: nn.Module, name: str) -> str:
    commit = getattr(model.config, "_commit_hash", None) or ""
    return sha256_of_text("hub", name, str(commit))
