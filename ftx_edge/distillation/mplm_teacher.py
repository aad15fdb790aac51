"""The mPLM that step 1 left, and others beside it, as the teacher of target text."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ftx_edge.distillation.corpus import Corpus
from ftx_edge.distillation.ensemble import averaged_by_head
from ftx_edge.distillation.inputs import SOURCE_LANGUAGE
from ftx_edge.distillation.run import Run
from ftx_edge.distillation.text_states import StatesTeacher, TextStates
from ftx_edge.distillation.turning import MOST_ROWS, rotation
from ftx_edge.mplm.model import Laid, load_mplm
from ftx_edge.mplm.states import MeanStates, read_laid, save_center
from ftx_edge.recipe import Recipe
from ftx_edge.runs import RunLayout
from ftx_edge.soft_labels import Teacher
from ftx_edge.teachers import CheckedTeacher
from ftx_edge.teachers.run import laid_in, mplm_teacher, open_run
from ftx_edge.vectors import centred

MOST_CENTERED = 2000
"""Texts of a language whose mean state is taken."""


def teacher_of(run: Run, corpus: Corpus, stage: str, states: TextStates | None = None) -> Teacher:
    """The mPLM after a stage of step 1, moved to the language of ``corpus`` where the recipe says so.

    Args:
        run: whose mPLM it is.
        corpus: whose mean state is the language's.
        stage: of step 1.
        states: of that mPLM, if they are kept of the texts that it will be asked of.
    """
    laid = None
    if _moves(run.recipe, corpus, stage):
        laid = _laid(run, corpus, run.layout.mplm_of(stage), stage, turns=run.recipe.mplm.turns)
    return _opened(run, run.layout.mplm_of(stage), laid, _kept(run, stage), states)


def teacher_of_students(run: Run, corpus: Corpus, states: TextStates | None = None) -> Teacher:
    """The mPLM of this run, averaged with those of the runs that ``ensemble.mplms`` names.

    ``states`` as in ``teacher_of``.
    """
    teachers = [("this run's mPLM", teacher_of(run, corpus, "mplm", states))]
    for number, folder in enumerate(run.recipe.ensemble.mplms, start=1):
        other, laid = RunLayout(Path(folder)), None
        recipe = Recipe.read(other.recipe)
        if _moves(recipe, corpus, "mplm"):
            laid = _laid(run, corpus, other.mplm, f"ensemble{number}", turns=recipe.mplm.turns)
        teachers.append((folder, _opened(run, other.mplm, laid)))
    return averaged_by_head(teachers, alignment=run.recipe.alignment)


def teacher_of_finished(folder: Path, lang: str, *, device: torch.device) -> Teacher:
    """What the students of a finished run learned from, asked of a target language or English."""
    layout = RunLayout(folder)
    recipe = Recipe.read(layout.recipe)
    teachers: list[tuple[str, Teacher]] = [(str(folder), open_run(f"{folder}#mplm@{lang}", device=device))]
    for number, other in enumerate(recipe.ensemble.mplms, start=1):
        teacher = mplm_teacher(
            RunLayout(Path(other)).mplm,
            device=device,
            whole_words=recipe.alignment == "first-subword",
            laid=laid_in(layout, lang, f"ensemble{number}"),
        )
        teachers.append((other, teacher))
    return averaged_by_head(teachers, alignment=recipe.alignment)


def _opened(
    run: Run,
    folder: Path,
    laid: Laid | None,
    kept: Path | None = None,
    states: TextStates | None = None,
) -> Teacher:
    teacher = mplm_teacher(
        folder,
        device=run.device,
        precision=run.precision,
        whole_words=run.recipe.alignment == "first-subword",
        laid=laid,
        kept=kept,
    )
    return CheckedTeacher(teacher if states is None else StatesTeacher(teacher, states), "mPLM")


def _kept(run: Run, stage: str) -> Path | None:
    """Where states are kept of an encoder that the stage does not train; others are asked once."""
    return run.shared if run.recipe.trains_heads_alone(stage) else None


def _moves(recipe: Recipe, corpus: Corpus, stage: str) -> bool:
    """Whether texts of the language are laid on the English ones.

    Not for a language whose text step 1 learned from: its head knows where that lies.
    """
    balance = recipe.balance
    if not (recipe.mplm.center and recipe.teacher.label) or corpus.lang == SOURCE_LANGUAGE:
        return False
    if balance.method != "none" and corpus.lang in balance.translators:
        return False
    return balance.method != "neighbours" or stage == "mplm-naive"


def _laid(run: Run, corpus: Corpus, folder: Path, stage: str, *, turns: int) -> Laid:
    """How the language lies beside English in an mPLM; measured once, kept in the run."""
    places = {lang: run.layout.center(lang, stage) for lang in (SOURCE_LANGUAGE, corpus.lang)}
    if not all(place.is_file() for place in places.values()) and run.accelerator.is_main_process:
        model, tokenizer = load_mplm(folder)
        states = MeanStates(
            model, tokenizer, device=run.device, precision=run.precision, folder=_kept(run, stage)
        )
        most = MOST_ROWS if turns else MOST_CENTERED
        english = run.english_states.get(folder)
        if english is None:
            english = run.english_states[folder] = _states(states, run.source, most, words=run.tagging)
        own = _states(states, corpus, most, words=run.tagging)
        turn = None
        if turns:
            ours, theirs = (centred(rows, rows.mean(axis=0)) for rows in (own, english))
            turn = torch.from_numpy(rotation(ours, theirs, passes=turns, device=run.device))
        save_center(torch.from_numpy(english).mean(dim=0), places[SOURCE_LANGUAGE])
        save_center(torch.from_numpy(own).mean(dim=0), places[corpus.lang], turn)
    run.accelerator.wait_for_everyone()
    return read_laid(places[corpus.lang], places[SOURCE_LANGUAGE])


def _states(states: MeanStates, corpus: Corpus, most: int, *, words: bool) -> NDArray[np.float32]:
    """Of at most so many training texts of a corpus, evenly taken."""
    rows = range(0, len(corpus.train), max(1, len(corpus.train) // most))
    cut = [corpus.train_words[i] for i in rows] if words and corpus.train_words else None
    return states.of([corpus.train[i] for i in rows], cut)
