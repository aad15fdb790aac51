"""The mPLM that step 1 left, as the teacher of target text."""

from __future__ import annotations

from torch import Tensor

from ftx_edge.distillation.corpus import Corpus
from ftx_edge.distillation.run import SOURCE_LANGUAGE, Run
from ftx_edge.forward import autocast_for
from ftx_edge.mplm.model import load_mplm
from ftx_edge.mplm.states import read_shift, save_center, states_of
from ftx_edge.teachers import CheckedTeacher
from ftx_edge.teachers.run import mplm_teacher

MOST_CENTERED = 2000
"""Texts of a language whose mean state is taken."""


def teacher_of(run: Run, corpus: Corpus, stage: str) -> CheckedTeacher:
    """The mPLM after a stage of step 1, moved to the language of ``corpus`` where the recipe says so."""
    teacher = mplm_teacher(
        run.layout.mplm_of(stage),
        device=run.device,
        precision=run.precision(),
        whole_words=run.recipe.alignment == "first-subword",
        shift=_shift(run, corpus, stage),
    )
    return CheckedTeacher(teacher, "mPLM")


def _shift(run: Run, corpus: Corpus, stage: str) -> Tensor | None:
    """How far the language's texts lie from the English ones; measured once, kept in the run.

    None for a language whose text step 1 learned from: its head knows where that lies.
    """
    if not (run.recipe.mplm.center and run.teachers.labels):
        return None
    balance = run.recipe.balance
    if balance.method != "none" and corpus.lang in balance.translators:
        return None
    if balance.method == "neighbours" and stage != "mplm-naive":
        return None
    places = {lang: run.layout.center(lang, stage) for lang in (SOURCE_LANGUAGE, corpus.lang)}
    missing = [c for c in (run.source, corpus) if not places[c.lang].is_file()]
    if missing and run.accelerator.is_main_process:
        model, tokenizer = load_mplm(run.layout.mplm_of(stage))
        for part in missing:
            rows = range(0, len(part.train), max(1, len(part.train) // MOST_CENTERED))
            words = [part.train_words[i] for i in rows] if run.tagging and part.train_words else None
            encoded = tokenizer.encode([part.train[i] for i in rows], words)
            with autocast_for(run.device, run.precision()):
                pooled, _ = states_of(model.to(run.device), encoded, pad_id=model.pad_id, device=run.device)
            save_center(pooled.mean(dim=0), places[part.lang])
    run.accelerator.wait_for_everyone()
    return read_shift(places[corpus.lang], places[SOURCE_LANGUAGE])
