"""The training loop: one learner, one set of soft labels, selection without labels, resume at any step.

Everything random is a function of ``(seed, step)``: the order of the batches of ``(seed, epoch)``, dropout
of ``(seed, step, process)``. A checkpoint therefore holds weights, optimizer and a few numbers, and a
killed run ends in the weights of one that was not.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor, nn

from ftx_edge.batches import Batch, TrainingSet, collate, epoch_batches
from ftx_edge.distillation.checkpoint import DamagedCheckpoint, read_checkpoint, write_checkpoint
from ftx_edge.distillation.held_out import held_out_figures
from ftx_edge.distillation.losses import distillation_loss
from ftx_edge.distillation.progress import Progress
from ftx_edge.distillation.range_test import STEPS, range_test
from ftx_edge.errors import FtxError
from ftx_edge.recipe_tables import StepRecipe
from ftx_edge.runs import kept_evaluation

CHECKPOINT_SECONDS = 60.0


@dataclass
class FitState:
    """Where a fit stands; all that a checkpoint holds besides tensors."""

    key: str
    learning_rate: float = 0.0
    step: int = 0
    best_step: int = 0
    best_loss: float = math.inf
    best_agreement: float = 0.0
    evaluations_since_best: int = 0
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)
    finished: bool = False
    scaler: dict[str, Any] = field(default_factory=dict)
    """Of the loss in fp16; empty in other precisions."""


@dataclass(frozen=True)
class FitResult:
    """How a fit ended.

    ``loss`` and ``agreement`` are against the teacher on held-out text, at the step that was kept:
    KL(teacher || learner) at temperature 1, and the share of texts (or of subwords; of both, as the loss
    weighs them) whose most likely label is the teacher's.
    """

    learning_rate: float
    steps: int
    best_step: int
    loss: float
    agreement: float
    seconds: float
    history: list[dict[str, float]]

    @property
    def kept(self) -> dict[str, float]:
        """The evaluation at the step that was kept."""
        return kept_evaluation(vars(self))

    @classmethod
    def of(cls, figures: Mapping[str, Any]) -> FitResult:
        """From the record of a stage, which may hold more."""
        return cls(**{f.name: figures[f.name] for f in fields(cls)})


def make_accelerator(device: str, precision: str) -> Accelerator:
    """The engine for devices and processes; raises FtxError for a device that this machine lacks."""
    if device == "cuda" and not torch.cuda.is_available():
        raise FtxError("device cuda: torch finds no CUDA GPU here; use --device auto or cpu")
    if device == "mps" and not torch.backends.mps.is_available():
        raise FtxError("device mps: torch finds no Apple GPU here; use --device auto or cpu")
    AcceleratorState._reset_state()  # precision differs between the mPLM's fit and a student's
    return Accelerator(cpu=device == "cpu", mixed_precision="no" if precision == "fp32" else precision)


@dataclass
class Fit:
    """Trains ``model`` in place on ``train`` and leaves it with the weights that do best on ``held_out``.

    Args:
        model: ``forward(input_ids, attention_mask) -> Outputs``; frozen parameters stay as they are.
        train: texts with the teacher's distributions.
        held_out: the same, for selection: no label takes part.
        settings: epochs, rate, batches, loss.
        key: identifies model, data and settings; a checkpoint with another key is not used.
        checkpoint: file, kept until the caller removes it.
        pad_id: the learner's padding subword.
        seed: everything random depends on it.
        accelerator: from ``make_accelerator``.
        progress: is told of every few steps.
        stage: name of this fit in progress and metrics.
        select: keep the weights with the least ``loss``, or with the most ``agreement``.
        record: is given the evaluations so far after each of them, in the first process.
        prepare: is called before the first step, and not where a checkpoint is resumed.
    """

    model: nn.Module
    train: TrainingSet
    held_out: TrainingSet
    settings: StepRecipe
    _: KW_ONLY
    key: str
    checkpoint: Path
    pad_id: int
    seed: int
    accelerator: Accelerator
    progress: Progress
    stage: str
    select: str = "loss"
    record: Callable[[list[dict[str, float]]], None] | None = None
    prepare: Callable[[], None] | None = None

    def __post_init__(self) -> None:
        trainable = [p for p in self.model.parameters() if p.requires_grad]
        groups: list[dict[str, Any]] = [
            {"params": [p for p in trainable if p.ndim > 1]},
            {"params": [p for p in trainable if p.ndim <= 1], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, weight_decay=self.settings.weight_decay, fused=True)
        self.model, self.optimizer = self.accelerator.prepare(self.model, optimizer)
        # prepare() may have moved the parameters: the names stand for the moved ones.
        unwrapped = self.accelerator.unwrap_model(self.model)
        self.trainable = {n: p for n, p in unwrapped.named_parameters() if p.requires_grad}
        self.state = FitState(self.key)
        self.best: dict[str, Tensor] = {}
        self.epoch_steps = len(self._batches(epoch=0)) // self.accelerator.num_processes
        total = math.ceil(self.settings.epochs * self.epoch_steps)
        self.total = min(total, self.settings.max_steps) if self.settings.max_steps else total
        self.evaluate_every = max(1, round(self.settings.evaluate_every * self.epoch_steps))

    def run(self) -> FitResult:
        """From the checkpoint, if there is one, to the end; raises FtxError where the loss diverges."""
        self._resume()
        if not self.state.finished:
            if self.prepare and self.state.learning_rate == 0.0:
                self.prepare()
            if self.total:
                self._train()
            else:
                self.progress.start(self.stage, 0)
                self._evaluate(None, 0.0)
        if not self.best:
            raise FtxError(
                f"{self.stage} diverged: its loss is no number at any evaluation; set a learning_rate below "
                f"{self.state.learning_rate:.2g}"
            )
        self._copy_into(self.best)
        state = self.state
        self.progress.finish(
            f"KL {state.best_loss:.4f}, agreement {state.best_agreement:.1%} at step {state.best_step}"
        )
        return FitResult(
            learning_rate=state.learning_rate,
            steps=state.step,
            best_step=state.best_step,
            loss=state.best_loss,
            agreement=state.best_agreement,
            seconds=state.seconds,
            history=state.history,
        )

    def _train(self) -> None:
        if self.state.learning_rate == 0.0:
            self.state.learning_rate = self._find_learning_rate()
        self.progress.start(self.stage, self.total, self.state.step)
        self._loop()

    def _loop(self) -> None:
        state, last_save, since = self.state, time.monotonic(), time.monotonic()
        losses: list[Tensor] = []
        texts = 0
        while state.step < self.total and not state.finished:
            epoch, first = divmod(state.step, self.epoch_steps)
            for batch in self._own_batches(epoch, first):
                rate = self._set_rate(state.learning_rate * self._schedule(state.step))
                losses.append(self._step(batch, state.step))
                texts += batch.size * self.accelerator.num_processes
                state.step += 1
                ends = state.step == self.total
                if state.step % 10 == 0 or ends:
                    seconds = time.monotonic() - since
                    figures = {"loss": float(torch.stack(losses[-50:]).mean()), "learning_rate": rate}
                    figures |= {"utterances_per_second": texts / seconds}
                    figures |= {"agreement": state.history[-1]["agreement"]} if state.history else {}
                    self.progress.update(state.step, figures)
                if state.step % self.evaluate_every == 0 or ends:
                    train_loss = float(torch.stack(losses).mean())
                    losses.clear()
                    self._evaluate(train_loss, rate)
                    state.finished = ends or state.evaluations_since_best >= self.settings.patience
                save_now = time.monotonic() - last_save > CHECKPOINT_SECONDS
                if self.accelerator.num_processes > 1:
                    save_now = state.step % 200 == 0  # clocks differ: all must save at one step
                if save_now or state.finished:
                    state.seconds += time.monotonic() - since
                    since, texts = time.monotonic(), 0
                    self._save()
                    last_save = time.monotonic()
                if state.finished or ends:
                    break

    def _step(self, batch: Batch, step: int) -> Tensor:
        """One update; returns the loss before it, detached."""
        self.model.train()
        # Dropout depends on the step alone, so that a resumed run draws what it would have drawn.
        torch.manual_seed((self.seed * 1_000_003 + step) * 1_009 + self.accelerator.process_index)
        with self.accelerator.autocast():
            outputs = self.model(batch.input_ids, batch.attention_mask)
        loss = distillation_loss(outputs, batch, self.settings)
        self.accelerator.backward(loss)
        self.accelerator.clip_grad_norm_(list(self.trainable.values()), self.settings.max_grad_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return loss.detach()

    def _evaluate(self, train_loss: float | None, rate: float) -> None:
        """KL and agreement on held-out text; keep the weights if they are the best so far."""
        state = self.state
        figures = held_out_figures(
            self.model, self.held_out, self.settings, pad_id=self.pad_id, accelerator=self.accelerator
        )
        loss, agreement = figures["loss"], figures["agreement"]
        row = {"step": state.step, "epoch": state.step / self.epoch_steps}
        row |= {} if train_loss is None else {"train_loss": train_loss}
        row |= {**figures, "learning_rate": rate}
        state.history.append(row)
        if self.record and self.accelerator.is_main_process:
            self.record(state.history)
        better = agreement > state.best_agreement if self.select == "agreement" else loss < state.best_loss
        if math.isfinite(loss) and (better or not self.best):
            state.best_loss, state.best_agreement, state.best_step = loss, agreement, state.step
            state.evaluations_since_best = 0
            self.best = {n: p.detach().to("cpu", copy=True) for n, p in self.trainable.items()}
        else:
            state.evaluations_since_best += 1

    def _schedule(self, step: int) -> float:
        """Linear warm-up, then linear decay to zero."""
        warmup = max(1, round(self.settings.warmup * self.total))
        return min((step + 1) / warmup, (self.total - step) / max(1, self.total - warmup))

    def _set_rate(self, rate: float) -> float:
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        return rate

    def _batches(self, epoch: int) -> list[np.ndarray]:
        return epoch_batches(
            self.train,
            batch_size=self.settings.batch_size,
            batch_tokens=self.settings.batch_tokens,
            seed=self.seed,
            epoch=epoch,
            shards=self.accelerator.num_processes,
        )

    def _own_batches(self, epoch: int, first: int):  # type: ignore[no-untyped-def]
        """This process's batches of an epoch, from step ``first`` of it."""
        shards, shard = self.accelerator.num_processes, self.accelerator.process_index
        pin = self.accelerator.device.type == "cuda"
        for rows in self._batches(epoch)[shard::shards][first:]:
            yield collate(self.train, rows, pad_id=self.pad_id, pin=pin).to(self.accelerator.device)

    def _find_learning_rate(self) -> float:
        if isinstance(self.settings.learning_rate, float):
            return self.settings.learning_rate
        before = {n: p.detach().clone() for n, p in self.trainable.items()}
        self.progress.start(f"{self.stage}: learning-rate range test", STEPS)
        batches = self._endless_batches()

        def loss_at(step: int, rate: float) -> float:
            self._set_rate(rate)
            loss = float(self.accelerator.reduce(self._step(next(batches), step), "mean"))
            self.progress.update(step + 1, {"loss": loss, "learning_rate": rate})
            return loss

        rate = range_test(loss_at)
        self._copy_into(before)
        self.optimizer.state.clear()
        self.progress.finish(f"learning rate {rate:.2g}")
        return rate

    def _endless_batches(self):  # type: ignore[no-untyped-def]
        epoch = 0
        while True:
            yield from self._own_batches(epoch, 0)
            epoch += 1

    @torch.no_grad()
    def _copy_into(self, values: dict[str, Tensor]) -> None:
        for name, value in values.items():
            self.trainable[name].copy_(value)

    def _save(self) -> None:
        """Weights, best weights, optimizer and state."""
        if not self.accelerator.is_main_process:
            return
        if self.accelerator.scaler is not None:
            self.state.scaler = self.accelerator.scaler.state_dict()
        tensors = {f"best/{n}": t for n, t in self.best.items()}
        if not self.state.finished:
            tensors |= {f"model/{n}": p.detach() for n, p in self.trainable.items()}
            for name, parameter in self.trainable.items():
                for part, value in self.optimizer.state.get(parameter, {}).items():
                    tensors[f"optimizer/{part}/{name}"] = value
        write_checkpoint(self.checkpoint, asdict(self.state), tensors)

    def _resume(self) -> None:
        try:
            state, tensors = read_checkpoint(self.checkpoint)
            found = FitState(**state)
        except FileNotFoundError:
            return
        except (DamagedCheckpoint, TypeError):
            self.progress.note(f"{self.checkpoint}: damaged checkpoint, {self.stage} starts anew")
            return
        if found.key != self.key:
            return
        self.state = found
        self.best = {n.removeprefix("best/"): t for n, t in tensors.items() if n.startswith("best/")}
        if found.finished:
            return
        self._copy_into({n.removeprefix("model/"): t for n, t in tensors.items() if n.startswith("model/")})
        if self.accelerator.scaler is not None and found.scaler:
            self.accelerator.scaler.load_state_dict(found.scaler)
        for name, parameter in self.trainable.items():
            parts = {p: f"optimizer/{p}/{name}" for p in ("step", "exp_avg", "exp_avg_sq")}
            if parts["step"] in tensors:
                self.optimizer.state[parameter] = {
                    part: tensors[full].to(parameter.device) for part, full in parts.items()
                }
        self.progress.note(f"{self.stage}: resumes at step {found.step}")
