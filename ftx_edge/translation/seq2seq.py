"""Sequence-to-sequence models of transformers (M2M-100, NLLB, OPUS), as torch modules or as ONNX graphs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ftx_edge.errors import DataError, UsageError, require
from ftx_edge.files import sha256_of
from ftx_edge.translation.translator import Options

# The names that NLLB gives to languages, for those that a two-letter code alone does not spell.
NLLB_CODES = {
    "ar": "arb_Arab",
    "de": "deu_Latn",
    "en": "eng_Latn",
    "es": "spa_Latn",
    "fr": "fra_Latn",
    "hi": "hin_Deva",
    "it": "ita_Latn",
    "ja": "jpn_Jpan",
    "ko": "kor_Hang",
    "nl": "nld_Latn",
    "pl": "pol_Latn",
    "pt": "por_Latn",
    "ru": "rus_Cyrl",
    "th": "tha_Thai",
    "tr": "tur_Latn",
    "vi": "vie_Latn",
    "zh": "zho_Hans",
}


class Seq2Seq:
    """A model with ``generate`` and its tokenizer; `from_transformers` and `from_onnx` make one."""

    def __init__(self, spec: str, model: Any, tokenizer: Any, options: Options, identity: str) -> None:
        self.name = spec
        self._model, self._tokenizer, self._options = model, tokenizer, options
        self._first_token = _set_languages(spec, tokenizer, options)
        languages = f"{options.source}-{options.target}"
        search = f"beams={options.beams} length={options.max_length}"
        if options.temperature:
            search += f" temperature={options.temperature} seed={options.seed}"
        self.fingerprint = f"seq2seq {identity} {languages} {search}"

    def translate(self, texts: Sequence[str]) -> list[str]:
        """The translations; a blank text gives an empty one. Texts are cut at ``max_length`` tokens.

        What is drawn depends on the texts that come together.
        """
        import torch

        filled = [text for text in texts if text.strip()]
        if not filled:
            return [""] * len(texts)
        encoded = self._tokenizer(
            filled, return_tensors="pt", padding=True, truncation=True, max_length=self._options.max_length
        )
        inputs = {name: encoded[name].to(self._options.device) for name in ("input_ids", "attention_mask")}
        forced = {} if self._first_token is None else {"forced_bos_token_id": self._first_token}
        search: dict[str, Any] = {"num_beams": self._options.beams, "do_sample": False}
        if self._options.temperature:
            search |= {"do_sample": True, "temperature": self._options.temperature, "top_k": 0}
        with torch.inference_mode(), torch.random.fork_rng():
            torch.manual_seed(self._options.seed)
            tokens = self._model.generate(
                **inputs, **search, max_new_tokens=self._options.max_length, **forced
            )
        # The decoder's start and the language are no part of it, and not special tokens to every tokenizer.
        tokens = tokens[:, 1 if self._first_token is None else 2 :]
        answers = iter(self._tokenizer.batch_decode(tokens, skip_special_tokens=True))
        return [next(answers).strip() if text.strip() else "" for text in texts]


def from_transformers(spec: str, place: str, options: Options) -> Seq2Seq:
    """``m2m100:`` and ``seq2seq:``; a folder, or an id of the hub."""
    require("torch", "train")
    require("transformers", "train")
    from transformers import AutoModelForSeq2SeqLM

    model = _opened(spec, AutoModelForSeq2SeqLM, place, use_safetensors=True).eval().to(options.device)
    return Seq2Seq(spec, model, _tokenizer(spec, place), options, _identity(place, model))


def from_onnx(spec: str, place: str, options: Options) -> Seq2Seq:
    """``onnx:``; a folder (or an id of the hub) of encoder and decoder graphs as optimum writes them.

    int8 graphs (``encoder_model_quantized.onnx`` ...) are taken where the folder has no others.
    """
    require("optimum.onnxruntime", "export")
    from onnxruntime import SessionOptions
    from optimum.onnxruntime import ORTModelForSeq2SeqLM

    session_options = SessionOptions()
    session_options.intra_op_num_threads = options.threads
    model = _opened(
        spec, ORTModelForSeq2SeqLM, place, session_options=session_options, **_graphs(Path(place))
    )
    return Seq2Seq(spec, model, _tokenizer(spec, place), options, f"onnx {_identity(place, model)}")


def _graphs(folder: Path) -> dict[str, Any]:
    """The file names that optimum does not guess: those of quantised graphs."""
    if not folder.is_dir() or (folder / "encoder_model.onnx").exists():
        return {}
    names = {
        "encoder_file_name": "encoder_model_quantized.onnx",
        "decoder_file_name": "decoder_model_quantized.onnx",
        "decoder_with_past_file_name": "decoder_with_past_model_quantized.onnx",
    }
    merged = "decoder_model_merged_quantized.onnx"
    if (folder / merged).exists():
        return {
            "encoder_file_name": names["encoder_file_name"],
            "decoder_file_name": merged,
            "use_merged": True,
        }
    if missing := [name for name in names.values() if not (folder / name).exists()]:
        raise DataError(
            f"no encoder_model.onnx and no {missing[0]}: is it a folder that optimum wrote?", path=folder
        )
    return {**names, "use_merged": False}


def _opened(spec: str, loader: Any, place: str, **options: Any) -> Any:
    try:
        return loader.from_pretrained(place, **options)
    except (OSError, ValueError) as error:
        first_line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UsageError(f"translator {spec!r} cannot be opened: {first_line}") from error


def _tokenizer(spec: str, place: str) -> Any:
    from transformers import AutoTokenizer

    try:
        return _opened(spec, AutoTokenizer, place)
    except ImportError as error:
        # Tokenizers of M2M-100 and Marian are built on sentencepiece, which nothing else here needs.
        reason = str(error).strip().splitlines()[0]
        missing = "sentencepiece" if "sentencepiece" in str(error).lower() else reason
        raise UsageError(f"the tokenizer of {spec!r} needs a package: pip install {missing}") from error


def _identity(place: str, model: Any) -> str:
    """What tells this model from others: the hash of a folder, or the id and commit of the hub."""
    if Path(place).is_dir():
        return sha256_of(Path(place))
    return f"{place}@{getattr(model.config, '_commit_hash', None)}"


def _set_languages(spec: str, tokenizer: Any, options: Options) -> int | None:
    """Tell the tokenizer the source language; return the token that a translation must start with, if any."""

    def token_of(language: str) -> str | None:
        """The language as this tokenizer spells it; M2M-100, NLLB, and what knows it as it was given."""
        for token in (f"__{language}__", NLLB_CODES.get(language, language), language):
            if tokenizer.convert_tokens_to_ids(token) not in (None, tokenizer.unk_token_id):
                return token
        return None

    if not hasattr(tokenizer, "src_lang") and token_of("en") not in ("__en__", NLLB_CODES["en"]):
        return None
    if options.source is None or options.target is None:
        raise UsageError(f"translator {spec!r} knows many languages: say which, as in {spec}#pt-en")
    source, target = token_of(options.source), token_of(options.target)
    if source is None or target is None:
        unknown = options.source if source is None else options.target
        raise UsageError(f"translator {spec!r} does not know the language {unknown!r}")
    if hasattr(tokenizer, "src_lang"):
        # M2M-100 wants "pt" here and spells it "__pt__"; the others want what they spell.
        tokenizer.src_lang = source.strip("_")
    return int(tokenizer.convert_tokens_to_ids(target))
