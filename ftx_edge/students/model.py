"""A student: embeddings, an encoder, and a head for the label, for the tags, or both."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

import torch
from safetensors.torch import load, save_file
from tokenizers import Tokenizer
from torch import Tensor, nn

from ftx_edge.errors import FtxError
from ftx_edge.files import write_atomically
from ftx_edge.students.bilstm import BiLSTMEncoder
from ftx_edge.students.cnn import CNNEncoder
from ftx_edge.students.config import StudentConfig
from ftx_edge.students.static import StaticEncoder
from ftx_edge.students.transformer import TransformerEncoder

Encoder = TransformerEncoder | BiLSTMEncoder | CNNEncoder | StaticEncoder
T = TypeVar("T")
_CURE = "copy the student again, or delete its folder and repeat ftx-edge distill"
ENCODERS: dict[str, type[Encoder]] = {
    "transformer": TransformerEncoder,
    "bilstm": BiLSTMEncoder,
    "cnn": CNNEncoder,
    "static": StaticEncoder,
}


class Outputs(NamedTuple):
    """What a model says of a batch: ``logits`` (B, C), ``tag_logits`` (B, T, K); None without that head.

    ``word_logits`` (B, T): of a word that begins at the subword. ``hints`` (B, T, D): while it trains, where
    it takes its teacher's states to be.
    """

    logits: Tensor | None
    tag_logits: Tensor | None
    word_logits: Tensor | None = None
    hints: Tensor | None = None


class Student(nn.Module):
    """One forward pass gives the label, the tags, or both."""

    def __init__(self, config: StudentConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.embedding_size, padding_idx=0)
        self.encoder = ENCODERS[config.architecture](config)
        self.dropout = nn.Dropout(config.dropout)
        self.label_head = nn.Linear(self.encoder.pooled_size, len(config.labels)) if config.labels else None
        self.tag_head = nn.Linear(self.encoder.output_size, len(config.tags)) if config.tags else None
        self.word_head = nn.Linear(self.encoder.output_size, 1) if config.word_starts else None
        # N(0, 1), torch's default, drowns positions and residuals; this is BERT's order of size.
        nn.init.normal_(self.embedding.weight, std=0.1)

    @property
    def task(self) -> str:
        """``classification``, ``tagging`` or ``joint``."""
        return self.config.task

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Outputs:
        """(B, T) int64 subwords and their mask (1 for real ones, a prefix of the row) -> Outputs."""
        return self.outputs(self.states(input_ids, attention_mask), attention_mask)

    def states(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """What the heads see of each subword: (B, T) -> (B, T, ``encoder.output_size``)."""
        return self.encoder(self.dropout(self.embedding(input_ids)), attention_mask.bool())

    def outputs(self, states: Tensor, attention_mask: Tensor) -> Outputs:
        """What the heads say of ``states``."""
        logits = tag_logits = word_logits = None
        if self.label_head is not None:
            logits = self.label_head(self.dropout(self.encoder.pool(states, attention_mask.bool())))
        if self.tag_head is not None:
            tag_logits = self.tag_head(self.dropout(states))
        if self.word_head is not None:
            word_logits = self.word_head(self.dropout(states)).squeeze(-1)
        return Outputs(logits, tag_logits, word_logits)


def build_student(config: StudentConfig, *, seed: int = 0) -> Student:
    """A student with random weights that depend on ``seed`` alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Student(config)


def save_student(student: Student, tokenizer: Tokenizer, folder: Path) -> None:
    """Write ``config.json``, ``tokenizer.json`` and ``model.safetensors``, each aside and renamed."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: value.detach().cpu().contiguous() for name, value in student.state_dict().items()}
    with write_atomically(folder / "config.json") as path:
        path.write_text(student.config.to_json(), encoding="utf-8")
    with write_atomically(folder / "tokenizer.json") as path:
        path.write_text(tokenizer.to_str(), encoding="utf-8")
    with write_atomically(folder / "model.safetensors") as path:
        save_file(weights, path)


def load_student(folder: Path) -> tuple[Student, Tokenizer]:
    """Read what ``save_student`` wrote; the student is on the CPU, in evaluation mode.

    Raises:
        FtxError: a file is missing or damaged; OSError: it may not be read.
    """
    config = _read(folder / "config.json", lambda content: StudentConfig.from_json(content.decode()))
    student = _read(folder / "model.safetensors", lambda content: _with_weights(config, content))
    tokenizer = _read(folder / "tokenizer.json", lambda content: Tokenizer.from_str(content.decode()))
    return student.eval(), tokenizer


def _read(path: Path, parse: Callable[[bytes], T]) -> T:
    try:
        # Not by safetensors itself, to which a file that may not be read is none.
        content = path.read_bytes()
    except FileNotFoundError:
        raise FtxError(f"{path.parent} is not a student: {path.name} is missing: {_CURE}") from None
    try:
        return parse(content)
    except Exception as error:  # tokenizers raises nothing more precise
        reason = str(error).partition("\n")[0]
        raise FtxError(f"{path} is damaged: {reason}: {_CURE}") from error


def _with_weights(config: StudentConfig, content: bytes) -> Student:
    weights = load(content)
    try:
        student = Student(config)
        student.load_state_dict(weights)
    except RuntimeError as error:  # names every weight
        raise ValueError("its weights are not those of a student as in config.json") from error
    return student


def count_parameters(module: nn.Module) -> int:
    """Number of weights."""
    return sum(parameter.numel() for parameter in module.parameters())
