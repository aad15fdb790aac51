"""A source model of one's own, from labels: for those who have them, for the demo and the benchmarks.

Distillation needs none of this: it starts from a model that exists. What is trained here, small and from
scratch with a BPE tokenizer of its own, is an ordinary Hugging Face model of DistilBERT's shape, or a
student, which is written as a run of which ``ftx-edge export`` makes a package.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import nn

from ftx_edge.data import Utterance, read_utterances
from ftx_edge.distillation.direct import train_student
from ftx_edge.distillation.fit import Fit, FitResult, make_accelerator
from ftx_edge.distillation.labelled import Labelled, training_set
from ftx_edge.distillation.progress import Progress, Silent
from ftx_edge.errors import DataError, FtxError, UsageError
from ftx_edge.files import remove, sha256_of, sha256_of_text, write_atomically
from ftx_edge.recipe import Recipe
from ftx_edge.recipe_tables import (
    AugmentRecipe,
    BalanceRecipe,
    DataRecipe,
    EnsembleRecipe,
    StepRecipe,
    StudentRecipe,
    TeacherRecipe,
)
from ftx_edge.runs import open_run
from ftx_edge.runtime.manifest import TASKS
from ftx_edge.soft_labels import SoftLabels, SoftTags
from ftx_edge.spans import bio_tags, spans_to_bio, unaligned
from ftx_edge.students.config import ARCHITECTURES
from ftx_edge.teachers.hf import WithOutputs
from ftx_edge.tokenization import UNSPACED, encode, train_tokenizer
from ftx_edge.words import segmenter

MAX_LENGTH = 128
HUGGING_FACE = "distilbert"
_RECORD = "train_source.json"
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
        out: folder. What is finished there is not trained again; a folder of other labels or settings, or
            of anything else, is refused.
        task: ``classification`` or ``tagging``.
        architecture: ``distilbert`` for a Hugging Face folder; ``transformer``, ``bilstm``, ``cnn`` or
            ``static`` for a run with a student of that kind.
        epochs: passes over the data; None takes the default of ``SETTINGS``.
        seed: everything random depends on it.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        held_out: share of the labelled data on which the best epoch is chosen.
        progress: is told of every few steps.

    Raises:
        UsageError: an unknown task or architecture.
        DataError: utterances without labels, or a single label.
        FtxError: ``out`` is not free.
    """
    if task not in ("classification", "tagging"):
        raise UsageError(f"unknown task {task!r}: classification or tagging")
    if architecture not in (HUGGING_FACE, *ARCHITECTURES):
        raise UsageError(f"unknown architecture {architecture!r}: {HUGGING_FACE}, {', '.join(ARCHITECTURES)}")
    settings = SETTINGS if epochs is None else replace(SETTINGS, epochs=epochs)
    out, progress = Path(out), progress or Silent()
    if architecture != HUGGING_FACE:
        recipe = Recipe(
            step2=settings,
            student=StudentRecipe(architecture=architecture, init="random"),
            data=DataRecipe(held_out=held_out),
            seed=seed,
            device=device,
            precision="fp32",
        )
        result = train_on_labels(labelled, out, recipe, lang="en", task=task, progress=progress)
        return replace(result, teacher=f"run:{out}#en")
    learnt, kept = _labelled_parts(
        labelled, lang="en", task=task, held_out=held_out, seed=seed, progress=progress
    )
    key = sha256_of_text(task, architecture, str(seed), str(settings), sha256_of(Path(labelled)))
    if finished := _finished(out, key):
        progress.note(f"{out}: done before")
        return finished
    labels = learnt.labels.labels if learnt.labels else ()
    tags = learnt.tags.tags if learnt.tags else ()
    tokenizer = train_tokenizer(learnt.texts, lang="en", max_length=MAX_LENGTH)
    torch.manual_seed(seed)
    tagging = task == "tagging"
    model = WithOutputs(
        _distilbert(tokenizer.get_vocab_size(), labels or tags, tagging=tagging), tagging=tagging
    )
    # Hugging Face taggers speak at the first subword of a word, students at every subword.
    sets = [
        training_set(encode(tokenizer, part.texts), part.labels, part.tags, alignment="first-subword")
        for part in (learnt, kept)
    ]
    checkpoint = out.with_name(f".{out.name}.checkpoint.safetensors")
    fitted = Fit(
        model,
        sets[0],
        sets[1],
        settings,
        key=key,
        checkpoint=checkpoint,
        pad_id=0,
        seed=seed,
        accelerator=make_accelerator(device, "fp32"),
        progress=progress,
        stage=f"source model, {task}",
        select="agreement",
    ).run()
    _save(model.model, tokenizer, out, {"key": key, "labels": labels, "tags": tags, "fit": asdict(fitted)})
    remove(checkpoint)
    return SourceResult(out, f"hf:{out}", labels, tags, fitted)


def _finished(out: Path, key: str) -> SourceResult | None:
    """What an earlier call left in ``out``; raises FtxError where something else is there."""
    if not out.name:
        raise UsageError(f"{out}: name a folder for the model")
    try:
        record = json.loads((out / _RECORD).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise FtxError(f"{out} exists and is not a model of train-source: choose another --out") from None
        out.mkdir(parents=True, exist_ok=True)  # now rather than after the training
        return None
    if record["key"] != key:
        raise FtxError(
            f"{out} is a model of other labels or settings: choose another --out, or remove the folder"
        )
    if not (out / "model.safetensors").is_file():
        return None
    labels, tags = tuple(record["labels"]), tuple(record["tags"])
    return SourceResult(out, f"hf:{out}", labels, tags, FitResult(**record["fit"], seconds=0.0))


def train_on_labels(
    labelled: Path | str,
    out: Path | str,
    recipe: Recipe,
    *,
    lang: str,
    task: str = "classification",
    segmenter_name: str | None = None,
    progress: Progress | None = None,
) -> SourceResult:
    """Train a recipe's student on labelled text of its own language: what distillation is to come close to.

    It leaves a run whose record says that labels made it; the same call goes on with a run that was stopped.

    Args:
        labelled: utterances with labels, spans, or both, as the task asks.
        out: run folder.
        recipe: read are ``student``, ``step2``, ``data.held_out``, ``mplm`` (for ``student.init``),
            ``alignment``, ``seed``, ``device`` and ``precision``.
        lang: the language.
        task: ``classification``, ``tagging`` or ``joint``.
        segmenter_name: what cuts words, where it is not the language's own.
        progress: is told of every few steps.

    Raises:
        DataError: utterances without labels or spans, a single label, or too few of them.
        FtxError: ``out`` belongs to another recipe or to other text.
    """
    if task not in TASKS:
        raise UsageError(f"unknown task {task!r}: {', '.join(TASKS)}")
    out = Path(out)
    learnt, kept = _labelled_parts(
        labelled,
        lang=lang,
        task=task,
        held_out=recipe.data.held_out,
        seed=recipe.seed,
        segmenter_name=segmenter_name,
        progress=progress or Silent(),
    )
    # Neither a teacher nor unlabelled text takes part: the record shall not name them.
    recipe = replace(
        recipe,
        teacher=TeacherRecipe(),
        data=DataRecipe(held_out=recipe.data.held_out, targets={lang: str(labelled)}),
        balance=BalanceRecipe(),
        augment=AugmentRecipe(share=0.0),
        ensemble=EnsembleRecipe(),
    )
    layout = open_run(
        out, recipe, {"labelled text": sha256_of_text(task, sha256_of(Path(labelled)))}, method="supervised"
    )
    fitted = train_student(
        learnt, kept, layout, recipe, select="agreement", figures={"supervised": True}, progress=progress
    )
    labels = learnt.labels.labels if learnt.labels else ()
    return SourceResult(out, f"run:{out}#{lang}", labels, learnt.tags.tags if learnt.tags else (), fitted)


def _labelled_parts(
    labelled: Path | str,
    *,
    lang: str,
    task: str,
    held_out: float,
    seed: int,
    progress: Progress,
    segmenter_name: str | None = None,
) -> tuple[Labelled, Labelled]:
    """Training and held-out part of a labelled file: labels and tags as the distributions that they are."""
    path = Path(labelled)
    utterances = read_utterances(path)
    labels = _names(utterances, path, tagging=False) if task != "tagging" else ()
    tags = _names(utterances, path, tagging=True) if task != "classification" else ()
    rows = np.random.default_rng(seed).permutation(len(utterances))
    count = max(1, round(held_out * len(rows)))
    cut = segmenter(lang, segmenter_name) if tags or lang in UNSPACED else None
    parts = [[utterances[i] for i in part] for part in (rows[:count], rows[count:])]
    kept, learnt = (_one_hot(part, lang, labels, tags, cut) for part in parts)
    if tags:
        rounded = sum(
            len(unaligned(utterance.spans or (), own))
            for part, found in zip(parts, (kept, learnt), strict=True)
            for utterance, own in zip(part, found.words or (), strict=True)
        )
        if rounded:
            progress.note(f"{path}: spans that cut a word, taken to its edges: {rounded:,}")
    return learnt, kept


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
    utterances: list[Utterance],
    lang: str,
    labels: tuple[str, ...],
    tags: tuple[str, ...],
    cut: Callable[[str], Sequence[tuple[int, int]]] | None,
) -> Labelled:
    """Certain distributions; tags a word, so that ``cut`` is needed for them."""
    texts = tuple(u.text for u in utterances)
    words = tuple(tuple(cut(text)) for text in texts) if cut else None
    soft_labels = soft_tags = None
    if labels:
        columns = [labels.index(str(u.label)) for u in utterances]
        soft_labels = SoftLabels(labels, np.eye(len(labels), dtype=np.float32)[columns])
    if tags:
        column = {tag: i for i, tag in enumerate(tags)}
        units = []
        for utterance, own in zip(utterances, words or (), strict=True):
            rows = [column[tag] for tag in spans_to_bio(utterance.spans or (), own)]
            units.append((np.asarray(own).reshape(-1, 2), np.eye(len(tags), dtype=np.float32)[rows]))
        soft_tags = SoftTags.join(tags, units)
    return Labelled(lang, texts, words, soft_labels, soft_tags)


def _save(model: nn.Module, tokenizer: Tokenizer, folder: Path, record: dict[str, Any]) -> None:
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
        # Without the time that it took: the same training leaves the same folder.
        del record["fit"]["seconds"]
        (aside / _RECORD).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
