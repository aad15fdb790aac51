"""``package:<folder>`` of any exported Hugging Face classifier or tagger: an ONNX graph and its tokenizer.

The folder is what ``optimum-cli export onnx`` writes: ``model.onnx`` (or ``onnx/model.onnx``),
``tokenizer.json`` and ``config.json`` with ``id2label``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ftx_edge.batches import evaluation_batches
from ftx_edge.errors import FtxError
from ftx_edge.files import sha256_of
from ftx_edge.mplm.model import MultilingualTokenizer, load_tokenizer
from ftx_edge.soft_labels import Said, SoftTags, WordSpans
from ftx_edge.teachers.model import first_of_words
from ftx_edge.tokenization import Encoded

GRAPHS = ("model.onnx", "onnx/model.onnx", "model_quantized.onnx", "onnx/model_quantized.onnx")
_BATCH_TOKENS = 4096
_MAX_LENGTH = 512


class OnnxTeacher:
    """Runs the graph with ONNX Runtime; a word's tag is read at its first subword.

    Args:
        folder: with graph, tokenizer and configuration.

    Raises:
        FtxError: something is missing, or the graph is no classifier and no tagger.
    """

    def __init__(self, folder: Path) -> None:
        import onnxruntime

        found = [folder / name for name in GRAPHS if (folder / name).is_file()]
        missing = [n for n in ("tokenizer.json", "config.json") if not (folder / n).is_file()]
        if not found or missing:
            what = ", ".join(missing) if found else "a graph (model.onnx)"
            raise FtxError(
                f"teacher package:{folder}: neither an FTX-Edge package nor a model; it lacks {what}"
            )
        try:
            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            names = tuple(config["id2label"][str(i)] for i in range(len(config["id2label"])))
            self.session = onnxruntime.InferenceSession(str(found[0]), providers=["CPUExecutionProvider"])
        except (ValueError, KeyError, TypeError) as error:
            raise FtxError(
                f"teacher package:{folder}: config.json has no id2label that counts from 0"
            ) from error
        except Exception as error:  # ONNX Runtime's own errors have no common class
            raise FtxError(f"teacher package:{folder}: {str(error).splitlines()[0]}") from error
        self.inputs = {i.name for i in self.session.get_inputs()}
        rank = len(self.session.get_outputs()[0].shape)
        if rank not in (2, 3) or "input_ids" not in self.inputs:
            raise FtxError(f"teacher package:{folder}: the graph is no classifier and no tagger of subwords")
        self.labels: tuple[str, ...] = names if rank == 2 else ()
        self.tags: tuple[str, ...] = names if rank == 3 else ()
        longest = min(_MAX_LENGTH, int(config.get("max_position_embeddings", _MAX_LENGTH)))
        self.tokenizer: MultilingualTokenizer = load_tokenizer(str(folder), max_length=longest)
        self.pad_id = int(config.get("pad_token_id") or 0)
        self.fingerprint = sha256_of(found[0]) + sha256_of(folder / "tokenizer.json")

    def ask(self, texts: Sequence[str], words: Sequence[WordSpans] | None = None) -> Said:
        """Labels, or a unit for each word."""
        if self.labels:
            probs = np.empty((len(texts), len(self.labels)), dtype=np.float32)
            for rows, _, answer in self._answers(self.tokenizer.encode(texts)):
                probs[rows] = answer
            return Said(probs, None)
        return Said(None, None if words is None else self._tags(texts, words))

    def _tags(self, texts: Sequence[str], words: Sequence[WordSpans]) -> SoftTags:
        encoded = self.tokenizer.encode(texts, words)
        units: list[tuple[NDArray, NDArray]] = [(np.empty(0), np.empty(0))] * len(texts)
        for rows, lengths, answer in self._answers(encoded):
            for row, length, own in zip(rows, lengths, answer, strict=True):
                start = int(encoded.splits[row])
                offsets = encoded.offsets[start : start + length]
                real = offsets[:, 1] > offsets[:, 0]
                units[row] = first_of_words(offsets[real], own[:length][real], words[row])
        return SoftTags.join(self.tags, units)

    def _answers(self, encoded: Encoded):  # type: ignore[no-untyped-def]
        """Batches of rows, their lengths, and the distributions that the graph gives for them."""
        for rows in evaluation_batches(encoded.lengths, batch_tokens=_BATCH_TOKENS):
            lengths = encoded.lengths[rows]
            ids = np.full((len(rows), int(lengths.max())), self.pad_id, dtype=np.int64)
            for i, row in enumerate(rows):
                ids[i, : lengths[i]] = encoded.ids[int(encoded.splits[row]) : int(encoded.splits[row + 1])]
            mask = (np.arange(ids.shape[1]) < lengths[:, None]).astype(np.int64)
            feeds = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
            logits = self.session.run(None, {k: v for k, v in feeds.items() if k in self.inputs})[0]
            exponents = np.exp(logits - logits.max(axis=-1, keepdims=True))
            yield rows, lengths, exponents / exponents.sum(axis=-1, keepdims=True)
