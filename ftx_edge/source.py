"""A source model of one's own, from labels: for those who have them, for the demo and the benchmarks.

Distillation needs none of this: it starts from a model that exists. What is trained here, small and from
scratch with a BPE tokenizer of its own, is an ordinary Hugging Face model of DistilBERT's shape, or one of
the students' architectures, which is written as a run of which ``ftx-edge export`` makes a package.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import nn

from ftx_edge.batches import TrainingSet
from ftx_edge.data import Utterance, read_utterances, write_jsonl
from ftx_edge.distillation.fit import Fit, FitResult, make_accelerator
from ftx_edge.distillation.labelled import training_set
from ftx_edge.distillation.progress import Progress, Silent
from ftx_edge.errors import DataError, UsageError
from ftx_edge.files import remove, sha256_of, sha256_of_text, write_atomically
from ftx_edge.recipe import StepRecipe
from ftx_edge.runs import RunLayout, versions
from ftx_edge.soft_labels import SoftTags
from ftx_edge.spans import bio_tags, spans_to_bio
from ftx_edge.students.config import ARCHITECTURES, StudentConfig
from ftx_edge.students.model import build_student, save_student
from ftx_edge.teachers.hf import WithOutputs
from ftx_edge.tokenization import encode, train_tokenizer
from ftx_edge.words import segmenter

MAX_LENGTH = 128
HUGGING_FACE = "distilbert"
SETTINGS = StepRecipe(epochs=30, learning_rate=1e-3, batch_size=32, patience=8, weight_decay=0.01)


@dataclass(frozen=True)
class SourceResult:
    """Where the model is, what it knows, and how its training ended.

    ``fit.agreement`` is the accuracy on the held-out part of the labelled file; ``teacher`` is what a recipe
    calls the model.
    """

    folder: Path
    teacher: str
    labels: tuple[str, ...]
    tags: tuple[str, ...]
    fit: FitResult


def train_source(
    labelled: Path | str,
    out: Path | str,
    *,
    task: str = "classification",
    architecture: str = HUGGING_FACE,
    epochs: float | None = None,
    seed: int = 0,
    device: str = "auto",
    held_out: float = 0.1,
    progress: Progress | None = None,
) -> SourceResult:
    """Train an English classifier or tagger from labels and write it as a Hugging Face folder.

    Args:
        labelled: utterances with labels (``classification``) or spans (``tagging``).
        out: folder; replaced when the new model is whole.
        task: ``classification`` or ``tagging``.
        architecture: ``distilbert`` for a Hugging Face folder; ``transformer``, ``bilstm``, ``cnn`` or
            ``static`` for a run with a student of that kind.
        epochs: passes over the data; None takes the default of ``SETTINGS``.
        seed: everything random depends on it.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        held_out: share of the labelled data on which the best epoch is chosen.
        progress: is told of every few steps.

    Raises:
        DataError: utterances without labels, or a single label.
    """
    utterances = read_utterances(labelled)
    tagging = task == "tagging"
    if task not in ("classification", "tagging"):
        raise UsageError(f"unknown task {task!r}: classification or tagging")
    if architecture not in (HUGGING_FACE, *ARCHITECTURES):
        raise UsageError(f"unknown architecture {architecture!r}: {HUGGING_FACE}, {', '.join(ARCHITECTURES)}")
    names = _names(utterances, Path(labelled), tagging=tagging)
    rows = np.random.default_rng(seed).permutation(len(utterances))
    count = max(1, round(held_out * len(rows)))
    kept, learnt = [[utterances[i] for i in part] for part in (rows[:count], rows[count:])]
    tokenizer = train_tokenizer([u.text for u in learnt], lang="en", max_length=MAX_LENGTH)
    labels, tags = ((), names) if tagging else (names, ())
    torch.manual_seed(seed)
    model: nn.Module
    if architecture == HUGGING_FACE:
        model = WithOutputs(_distilbert(tokenizer.get_vocab_size(), names, tagging=tagging), tagging=tagging)
    else:
        config = StudentConfig(architecture, tokenizer.get_vocab_size(), labels, tags, MAX_LENGTH)
        model = build_student(config, seed=seed)
    # Hugging Face taggers speak at the first subword of a word, students at every subword.
    every = architecture != HUGGING_FACE
    sets = [_one_hot(part, names, tokenizer, tagging=tagging, every=every) for part in (learnt, kept)]
    settings = SETTINGS if epochs is None else replace(SETTINGS, epochs=epochs)
    out = Path(out)
    checkpoint = out.with_name(f".{out.name}.checkpoint.safetensors")
    texts = (u.text + "\0" + str(u.label) + str(u.spans) for u in utterances)
    result = Fit(
        model,
        sets[0],
        sets[1],
        settings,
        key=sha256_of_text(task, architecture, str(seed), str(settings), *texts),
        checkpoint=checkpoint,
        pad_id=0,
        seed=seed,
        accelerator=make_accelerator(device, "fp32"),
        progress=progress or Silent(),
        stage=f"source model, {task}",
        select="agreement",
    ).run()
    if isinstance(model, WithOutputs):
        _save(model.model, tokenizer, out)
        teacher = f"hf:{out}"
    else:
        _save_run(model, tokenizer, out, result, seed, labelled=Path(labelled), held_out=kept)
        teacher = f"run:{out}#en"
    remove(checkpoint)
    return SourceResult(out, teacher, labels, tags, result)


def _names(utterances: list[Utterance], path: Path, *, tagging: bool) -> tuple[str, ...]:
    """Labels, or BIO tags, in order of name; raises DataError where an utterance has none."""
    for number, utterance in enumerate(utterances, start=1):
        if (utterance.spans if tagging else utterance.label) is None:
            raise DataError(f"utterance {number} has no {'spans' if tagging else 'label'}", path=path)
    if tagging:
        names = bio_tags(sorted({s.label for u in utterances for s in u.spans or ()}))
    else:
        names = tuple(sorted({str(u.label) for u in utterances}))
    if len(names) < 2:
        raise DataError(f"{len(names)} different labels; there must be two at least", path=path)
    return names


def _distilbert(vocab_size: int, names: tuple[str, ...], *, tagging: bool) -> nn.Module:
    """256 wide, 4 layers: 4M parameters with 4,000 subwords."""
    from transformers import (
        DistilBertConfig,
        DistilBertForSequenceClassification,
        DistilBertForTokenClassification,
    )

    config = DistilBertConfig(
        vocab_size=vocab_size,
        dim=256,
        n_layers=4,
        n_heads=4,
        hidden_dim=768,
        max_position_embeddings=MAX_LENGTH,
        pad_token_id=0,
        dropout=0.1,
        attention_dropout=0.1,
        seq_classif_dropout=0.1,
        id2label=dict(enumerate(names)),
        label2id={name: i for i, name in enumerate(names)},
    )
    return (DistilBertForTokenClassification if tagging else DistilBertForSequenceClassification)(config)


def _one_hot(
    utterances: list[Utterance], names: tuple[str, ...], tokenizer: Tokenizer, *, tagging: bool, every: bool
) -> TrainingSet:
    """Labels as the distributions that they are; tags at ``every`` subword, or at the first of each word."""
    encoded = encode(tokenizer, [u.text for u in utterances])
    column = {name: i for i, name in enumerate(names)}
    if not tagging:
        targets = np.zeros((len(utterances), len(names)), dtype=np.float32)
        targets[np.arange(len(utterances)), [column[str(u.label)] for u in utterances]] = 1
        return TrainingSet(encoded, label_targets=targets)
    cut, texts = segmenter("en"), []
    for utterance in utterances:
        words = cut(utterance.text)
        tags = [column[tag] for tag in spans_to_bio(utterance.spans or (), words)]
        texts.append((np.asarray(words).reshape(-1, 2), np.eye(len(names), dtype=np.float32)[tags]))
    gold = SoftTags.join(names, texts)
    return training_set(encoded, None, gold, alignment="character-bridge" if every else "first-subword")


def _save(model: nn.Module, tokenizer: Tokenizer, folder: Path) -> None:
    from transformers import PreTrainedTokenizerFast

    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        model_max_length=MAX_LENGTH,
        model_input_names=["input_ids", "attention_mask"],
    )
    with write_atomically(folder) as aside:
        model.save_pretrained(aside, safe_serialization=True)  # type: ignore[operator]
        wrapped.save_pretrained(aside)


def _save_run(
    student: nn.Module,
    tokenizer: Tokenizer,
    folder: Path,
    result: FitResult,
    seed: int,
    *,
    labelled: Path,
    held_out: list[Utterance],
) -> None:
    """A run with one finished student, which says that labels made it."""
    with write_atomically(folder) as aside:
        layout = RunLayout(aside)
        save_student(student, tokenizer, layout.student("en"))  # type: ignore[arg-type]
        write_jsonl(layout.held_out("en"), [Utterance(u.text) for u in held_out])
        figures = {**asdict(result), "supervised": True}
        record = {"format": 1, "seed": seed, "versions": versions(), "stages": {"students/en": figures}}
        layout.write_record(record | {"inputs": {"labelled text": sha256_of(labelled)}})
