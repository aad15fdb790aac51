"""What caching and batching by length are worth: the naive training loop against ours, over the same epochs.

The naive loop is that of the paper's code: the teacher runs in every epoch, and teacher and student alike see
every text padded to 128 subwords.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import torch
import typer
from accelerate import Accelerator
from torch import Tensor, nn

from ftx_edge.batches import TrainingSet
from ftx_edge.benchmarks.machine import Machine, this_machine
from ftx_edge.benchmarks.program import run_program
from ftx_edge.benchmarks.tables import rich_table
from ftx_edge.data import read_texts
from ftx_edge.distillation.fit import Fit, make_accelerator
from ftx_edge.distillation.losses import kl
from ftx_edge.distillation.progress import Silent
from ftx_edge.errors import UsageError
from ftx_edge.mplm.model import MultilingualModel, default_prefix, load_encoder, load_tokenizer
from ftx_edge.recipe import Recipe
from ftx_edge.recipe_tables import StepRecipe
from ftx_edge.students.model import build_student
from ftx_edge.teachers import open_teacher
from ftx_edge.teachers.model import Encode, ModelTeacher
from ftx_edge.tokenization import Encoded, encode, train_tokenizer

if TYPE_CHECKING:
    from rich.table import Table

PADDED_TO = 128
LEARNING_RATE = 1e-4


@dataclass(frozen=True, slots=True)
class StepTimes:
    """Seconds of one distillation step over the same texts and epochs, both ways.

    Attributes:
        name: ``step 1`` (source model to mPLM) or ``step 2`` (mPLM to student).
        texts, epochs: how much was trained.
        mean_length: subwords of a text, as the learner cuts it.
        naive: seconds of the naive loop.
        ours: seconds of ours, the soft labels and its evaluation included.
        soft_labels: of it, the soft labels, which more epochs would not make again.
    """

    name: str
    texts: int
    epochs: int
    mean_length: float
    naive: float
    ours: float
    soft_labels: float

    @property
    def ratio(self) -> float:
        """How many times longer the naive loop takes."""
        return self.naive / self.ours


@dataclass(frozen=True)
class NaiveReport:
    """Both steps, and what they were measured on."""

    steps: tuple[StepTimes, ...]
    mplm: str
    student: str
    threads: int
    machine: Machine

    @property
    def ratio(self) -> float:
        """How many times longer the naive loop takes, both steps together."""
        return sum(step.naive for step in self.steps) / sum(step.ours for step in self.steps)

    def to_dict(self) -> dict[str, Any]:
        """For JSON: plain values."""
        steps = [{**asdict(step), "ratio": step.ratio} for step in self.steps]
        return {**asdict(self), "steps": steps, "ratio": self.ratio}

    def __rich__(self) -> Table:
        rows = [
            {
                "step": step.name,
                "texts": step.texts,
                "epochs": step.epochs,
                "subwords": f"{step.mean_length:.1f}",
                "naive s": f"{step.naive:.1f}",
                "ours s": f"{step.ours:.1f}",
                "naive / ours": f"{step.ratio:.1f}",
            }
            for step in self.steps
        ]
        rows.append({"step": "both", "naive / ours": f"{self.ratio:.1f}"})
        threads = f"{self.threads} thread{'s' if self.threads > 1 else ''}"
        return rich_table(rows, title=f"{self.mplm}, {self.student} student, {threads}, {self.machine}")


def benchmark_naive(
    recipe: Recipe, *, utterances: int = 128, epochs: int = 3, threads: int = 1
) -> NaiveReport:
    """Train a few epochs of both steps of a recipe the naive way and ours, in fp32, and time each.

    The first target language of the recipe stands for step 2. With more epochs the difference grows, as ours
    makes the soft labels once.

    Args:
        recipe: of a classifier whose teacher has weights (``hf:``, ``run:``); a recording does not run again.
        utterances: how many of each corpus.
        epochs: passes over them.
        threads: of torch.

    Raises:
        UsageError: a teacher that the naive loop cannot run.
    """
    recipe.check()
    if utterances < 2 or epochs < 1 or threads < 1:
        raise UsageError("at least 2 utterances, 1 epoch and 1 thread")
    accelerator = make_accelerator(recipe.device, "fp32")
    source = getattr(open_teacher(recipe.teacher.label, device=accelerator.device.type), "teacher", None)
    if not isinstance(source, ModelTeacher) or not source.labels:
        raise UsageError(
            f"teacher {recipe.teacher.label}: the naive loop needs a classifier with weights (hf:, run:)"
        )
    language, target = next(iter(recipe.data.targets.items()))
    english, texts = _texts(recipe.data.source, utterances), _texts(target, utterances)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        mplm = _mplm(recipe, source.labels)
        student = _student(recipe, source.labels, texts, language)
        first = _step("step 1", source, mplm, english, recipe.step1, epochs, accelerator)
        second = _step(
            "step 2", _as_teacher(mplm, accelerator), student, texts, recipe.step2, epochs, accelerator
        )
    finally:
        torch.set_num_threads(before)
    return NaiveReport(
        (first, second), recipe.mplm.name, recipe.student.architecture, threads, this_machine()
    )


@dataclass(frozen=True)
class _Learner:
    model: nn.Module
    encode: Encode
    pad_id: int
    labels: tuple[str, ...]


def _mplm(recipe: Recipe, labels: tuple[str, ...]) -> _Learner:
    settings = recipe.mplm
    prefix = default_prefix(settings.name) if settings.prefix == "auto" else settings.prefix
    model = MultilingualModel(load_encoder(settings.name), labels=labels, tags=())
    if settings.layers:
        model.keep_layers(settings.layers)
    if settings.freeze_embeddings:
        model.freeze_embeddings()
    tokenizer = load_tokenizer(settings.name, prefix=prefix, max_length=PADDED_TO)
    return _Learner(model, tokenizer.encode, model.pad_id, labels)


def _student(recipe: Recipe, labels: tuple[str, ...], texts: Sequence[str], language: str) -> _Learner:
    settings = replace(recipe.student, max_length=PADDED_TO)
    tokenizer = train_tokenizer(texts, lang=language, vocab_size=settings.vocab_size, max_length=PADDED_TO)
    config = settings.config(vocab_size=tokenizer.get_vocab_size(), labels=labels, tags=())
    student = build_student(config)
    return _Learner(student, lambda batch, _words: encode(tokenizer, batch), 0, labels)


def _as_teacher(learner: _Learner, accelerator: Accelerator) -> ModelTeacher:
    return ModelTeacher(
        learner.model,
        learner.encode,
        labels=learner.labels,
        tags=(),
        pad_id=learner.pad_id,
        fingerprint="",
        device=accelerator.device,
    )


def _texts(path: str, utterances: int) -> list[str]:
    """Evenly spaced ones, so that an ordered file is represented by all its parts."""
    texts = list(dict.fromkeys(read_texts(path)))
    return [texts[i * len(texts) // utterances] for i in range(min(utterances, len(texts)))]


def _step(
    name: str,
    teacher: ModelTeacher,
    learner: _Learner,
    texts: Sequence[str],
    settings: StepRecipe,
    epochs: int,
    accelerator: Accelerator,
) -> StepTimes:
    """Ours first: it leaves other weights behind, which take the naive loop no other time."""
    encoded = learner.encode(texts, None)
    start = time.perf_counter()
    train = TrainingSet(encoded, teacher.ask(texts).labels)
    soft_labels = time.perf_counter() - start
    fixed = replace(settings, epochs=epochs, max_steps=0, learning_rate=LEARNING_RATE, evaluate_every=epochs)
    with tempfile.TemporaryDirectory() as folder:
        Fit(
            learner.model,
            train,
            train,
            fixed,
            key=name,
            checkpoint=Path(folder) / "checkpoint.safetensors",
            pad_id=learner.pad_id,
            seed=0,
            accelerator=accelerator,
            progress=Silent(),
            stage=name,
        ).run()
    ours = time.perf_counter() - start
    start = time.perf_counter()
    _train_naively(teacher, learner, texts, settings.batch_size, epochs, accelerator.device)
    naive = time.perf_counter() - start
    mean_length = float(encoded.lengths.mean())
    return StepTimes(name, len(texts), epochs, mean_length, naive, ours, soft_labels)


def _train_naively(
    teacher: ModelTeacher,
    learner: _Learner,
    texts: Sequence[str],
    batch_size: int,
    epochs: int,
    device: torch.device,
) -> None:
    """Every epoch asks the teacher again; every text is ``PADDED_TO`` subwords long."""
    seen = _padded(teacher.encode(texts, None), teacher.pad_id, device)
    own = _padded(learner.encode(texts, None), learner.pad_id, device)
    model = learner.model.to(device)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=LEARNING_RATE)
    order = np.random.default_rng(0)
    for _ in range(epochs):
        for rows in torch.from_numpy(order.permutation(len(texts))).split(batch_size):
            teacher.model.eval()
            with torch.no_grad():
                probs = teacher.model(seen[0][rows], seen[1][rows]).logits.softmax(dim=-1)
            model.train()
            loss = kl(model(own[0][rows], own[1][rows]).logits, probs).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    if device.type == "cuda":
        torch.cuda.synchronize()


def _padded(encoded: Encoded, pad_id: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Subwords and mask, (N, PADDED_TO) int64."""
    ids = np.full((len(encoded), PADDED_TO), pad_id, dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, length in enumerate(np.minimum(encoded.lengths, PADDED_TO)):
        first = int(encoded.splits[row])
        ids[row, :length], mask[row, :length] = encoded.ids[first : first + length], 1
    return torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device)


app = typer.Typer(help=__doc__)


@app.command()
def _naive(
    recipe: Annotated[Path, typer.Argument(help="Recipe whose models and corpora are taken.")],
    utterances: Annotated[int, typer.Option(min=2, help="Utterances of each corpus.")] = 128,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over them.")] = 3,
    threads: Annotated[int, typer.Option(min=1, help="Threads of torch.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Time the naive training loop and ours."""
    from rich.console import Console

    report = benchmark_naive(Recipe.read(recipe), utterances=utterances, epochs=epochs, threads=threads)
    if as_json:
        typer.echo(json.dumps(report.to_dict(), indent=2))
    else:
        Console().print(report)


if __name__ == "__main__":
    run_program(app)
