"""A student from texts and distributions that are at hand, with no distilled mPLM between.

What the baselines and a student of one's own labels share: translated text with the English soft labels, or
labelled text, whose distributions are its labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch

from ftx_edge.distillation.first_layers import start_from_layers
from ftx_edge.distillation.fit import Fit, FitResult, make_accelerator
from ftx_edge.distillation.labelled import Labelled, training_set
from ftx_edge.distillation.precision import resolve_precision
from ftx_edge.distillation.progress import Progress, Silent
from ftx_edge.distillation.start import start_from_mplm
from ftx_edge.distillation.student import mplm_tokenizer, new_student, student_tokenizer
from ftx_edge.distillation.text_states import TextStates
from ftx_edge.errors import DataError
from ftx_edge.files import remove, sha256_of_text
from ftx_edge.mplm.model import MultilingualModel, load_encoder
from ftx_edge.recipe import Recipe
from ftx_edge.runs import RunLayout, finish_stage, write_held_out, write_metrics
from ftx_edge.students.model import Student, count_parameters, save_student
from ftx_edge.tokenization import encode


def train_student(
    train: Labelled,
    held_out: Labelled,
    layout: RunLayout,
    recipe: Recipe,
    *,
    select: str = "loss",
    figures: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> FitResult:
    """Train the recipe's student on ``train`` and leave it in a run, as step 2 does.

    What is finished is not done again; a fit that was killed goes on at its last checkpoint. With
    ``student.init`` other than ``random`` the embeddings start from the *untouched* mPLM.

    Args:
        train: texts of one language with label distributions, tag distributions, or both.
        held_out: the same, to select on; its texts are what the export is checked on.
        layout: of a run that was opened for this recipe and these inputs.
        recipe: read are ``student``, ``step2``, ``mplm``, ``alignment``, ``seed``, ``device``, ``precision``.
        select: ``loss`` or ``agreement``, as in `fit`.
        figures: more for the record of the stage, such as ``{"supervised": True}``.
        progress: is told of every few steps.

    Raises:
        DataError: fewer than two texts to train on, or none to select on.
    """
    stage, lang = f"students/{train.lang}", train.lang
    progress = progress or Silent()
    if (done := layout.finished(stage)) is not None:
        progress.note(f"{stage}: done before")
        return FitResult.of(done)
    if len(train) < 2 or not len(held_out):
        raise DataError(f"{len(train) + len(held_out)} different {lang} utterances are too few to train on")
    tokenizer = student_tokenizer(recipe, train.texts, lang=lang, words=train.words)
    student = new_student(
        recipe,
        tokenizer,
        lang=lang,
        labels=train.labels.labels if train.labels else (),
        tags=train.tags.tags if train.tags else (),
    )
    device = make_accelerator(recipe.device, "fp32").device
    if recipe.student.init != "random":
        _start(student, tokenizer, train, recipe, device)
    sets = [
        training_set(
            encode(tokenizer, part.texts),
            part.labels,
            part.tags,
            alignment=recipe.alignment,
            words=part.words if student.config.word_starts else None,
        )
        for part in (train, held_out)
    ]
    checkpoint = layout.checkpoints / f"{stage.replace('/', '-')}.safetensors"
    accelerator = make_accelerator(recipe.device, resolve_precision(recipe.precision, device))
    result = Fit(
        student,
        sets[0],
        sets[1],
        recipe.step2,
        key=sha256_of_text(layout.read_record()["recipe"], stage, *train.texts),
        checkpoint=checkpoint,
        pad_id=0,
        seed=recipe.seed,
        accelerator=accelerator,
        progress=progress,
        stage=stage,
        select=select,
        record=lambda history: write_metrics(layout, stage, history),
    ).run()
    if accelerator.is_main_process:
        save_student(student, tokenizer, layout.student(lang))
        write_held_out(layout, lang, held_out.texts, held_out.labels)
        write_metrics(layout, stage, result.history)
        counts = {"parameters": count_parameters(student), "texts": len(train)}
        finish_stage(layout, stage, {**asdict(result), **counts, **(figures or {})})
        remove(checkpoint)
    accelerator.wait_for_everyone()
    return result


def _start(student: Student, tokenizer: Any, train: Labelled, recipe: Recipe, device: torch.device) -> None:
    """Embeddings, or layers, from the mPLM as it was before any distillation."""
    mplm = MultilingualModel(
        load_encoder(recipe.mplm.name), labels=student.config.labels, tags=student.config.tags
    )
    their_tokenizer = mplm_tokenizer(recipe.mplm)
    if recipe.student.init == "mplm-layers":
        start_from_layers(student, tokenizer, mplm, their_tokenizer)
        return
    words = train.words if student.config.tags else None
    precision = resolve_precision(recipe.precision, device)
    states = TextStates(mplm, their_tokenizer, train.texts, words, device=device, precision=precision)
    start_from_mplm(student, tokenizer, states)
