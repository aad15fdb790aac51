"""KD-1: the mPLM learns the source model's distributions (paper, section 2.1; balanced, 2.3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from ftx_edge.batches import TrainingSet
from ftx_edge.distillation.balance import join_sets, translated
from ftx_edge.distillation.corpus import Corpus
from ftx_edge.distillation.fit import FitResult, make_accelerator
from ftx_edge.distillation.function_words import FunctionWordTeacher
from ftx_edge.distillation.inputs import SOURCE_LANGUAGE
from ftx_edge.distillation.labelled import Labelled
from ftx_edge.distillation.labelled_source import LabelledSource
from ftx_edge.distillation.mixed import MixedTeacher
from ftx_edge.distillation.mplm_teacher import teacher_of
from ftx_edge.distillation.nearest import lacks_faiss
from ftx_edge.distillation.neighbours import NeighbourTeacher
from ftx_edge.distillation.priors import PriorTeacher
from ftx_edge.distillation.probe import probe_heads
from ftx_edge.distillation.run import Run
from ftx_edge.distillation.transitions import ChainedTeacher
from ftx_edge.forward import autocast_for
from ftx_edge.mplm.model import MultilingualModel, MultilingualTokenizer, load_encoder, save_mplm
from ftx_edge.recipe_tables import MplmRecipe, StepRecipe
from ftx_edge.soft_labels import KeptTeacher, Teacher
from ftx_edge.students.model import count_parameters
from ftx_edge.translation import TranslationCache
from ftx_edge.words import segmenter

TRANSITIONS_AGAIN = 0.2
"""Of the share of transitions, what is left after the first round: the mPLM has learned from chained tags."""
Parts = Sequence[tuple[Labelled, Labelled]]
"""Of each language the texts to learn from and those for selection."""


def step1(run: Run) -> FitResult:
    """Distil the mPLM, in as many stages as the recipe's balance takes; the last one is ``mplm``."""
    balance, parts = run.recipe.balance, [run.english]
    if balance.method == "none":
        return _fit_mplm(run, "mplm", parts)
    parts += [_translated(run, lang, spec) for lang, spec in balance.translators.items()]
    if balance.method == "translations":
        return _fit_mplm(run, "mplm", parts)
    stage = "" if run.recipe.naive == "none" else "mplm-naive"
    if stage and run.finished(stage) is None:
        _fit_mplm(run, stage, parts)
    for number in range(1, balance.rounds):
        before, stage = stage, f"mplm-round{number}"
        if run.finished(stage) is None:
            _fit_mplm(run, stage, [*parts, *_mixed(run, before)])
    return _fit_mplm(run, "mplm", [*parts, *_mixed(run, stage)])


def mixture(
    run: Run, corpus: Corpus, mplm: Teacher | None, source: LabelledSource, *, again: bool = False
) -> Teacher:
    """What English neighbours, and an mPLM, if there is one yet, say of target text.

    Args:
        run: whose settings count.
        corpus: the target text.
        mplm: after English alone, or after the round before.
        source: what neighbours are looked for in.
        again: the mPLM has learned from such a mixture, and so from chained tags: it counts as much as the
            neighbours, and tags are chained less.
    """
    balance = run.recipe.balance
    weight, tag_weight, transitions = balance.weight, balance.tag_weight, balance.transitions
    if again:
        weight, tag_weight, transitions = 0.5, 0.5, transitions * TRANSITIONS_AGAIN
    texts = (*corpus.train, *corpus.held_out)
    words = None
    if corpus.train_words is not None:
        words = (*corpus.train_words, *(corpus.held_out_words or ()))
    neighbours = NeighbourTeacher(
        source,
        texts,
        words,
        neighbours=balance.neighbours,
        temperature=balance.temperature,
        propagation=balance.propagation,
        tag_propagation=balance.tag_propagation,
        similarity=balance.similarity,
        turns=run.recipe.mplm.turns,
    )
    # Whatever they are mixed with, and however: it is the search that takes long.
    said: Teacher = KeptTeacher(neighbours, run.shared)
    if mplm is not None:
        said = MixedTeacher(
            [said, mplm],
            weights=[weight, 1 - weight],
            tag_weights=[tag_weight, 1 - tag_weight],
            alignment=run.recipe.alignment,
        )
    if balance.priors or (run.tagging and balance.tag_priors):
        said = PriorTeacher(said, source, texts, words, share=balance.priors, tag_share=balance.tag_priors)
    if run.tagging and balance.function_words:
        said = FunctionWordTeacher(said, texts, words, share=balance.function_words)
    if run.tagging and transitions:
        said = ChainedTeacher(said, source, share=transitions, alignment=run.recipe.alignment)
    return said


def _mixed(run: Run, stage: str) -> Parts:
    """The target text of every language with what the neighbours and the mPLM after ``stage`` say of it.

    After a round, near is what the mPLM finds alike that the round left: it knows the task in all languages.
    """
    again = stage not in ("", "mplm-naive")
    if again:
        source = run.labelled_source_after(stage)
    else:
        source = run.labelled_source_beside(stage) if stage else run.labelled_source
    searched = max(len(source.texts), sum(map(len, source.words or ())))
    if lacks_faiss(searched, run.device):
        run.progress.note(
            f"neighbours among {searched:,} English texts or words take long on a CPU: "
            "pip install 'ftx-edge[faiss]'"
        )
    found = []
    for corpus in run.targets.values():
        mplm = teacher_of(run, corpus, stage) if stage else None
        found.append(run.labelled(corpus, mixture(run, corpus, mplm, source, again=again), mixed=True))
    return found


def _fit_mplm(run: Run, stage: str, parts: Parts) -> FitResult:
    """Distil the untouched mPLM on those texts; every language weighs the same."""
    recipe = run.recipe.mplm
    if run.recipe.trains_heads_alone(stage):
        recipe = replace(recipe, train_layers=0, heads="probe")
    tokenizer = run.mplm_tokenizer()
    model = _untrained(run, recipe)
    train, held_out = (_joined(run, which, tokenizer) for which in zip(*parts, strict=True))
    precision = run.precision

    def probe() -> None:
        probe_heads(
            model,
            train,
            held_out,
            pad_id=model.pad_id,
            device=run.device,
            autocast=lambda: autocast_for(run.device, precision),
            means=None if run.tagging or recipe.layers else _means(run, parts),
        )

    result = run.fit(
        model,
        train,
        held_out,
        _settings(run, recipe, languages=len(parts)),
        stage=stage,
        pad_id=model.pad_id,
        accelerator=make_accelerator(run.recipe.device, precision),
        prepare=probe if recipe.heads == "probe" else None,
    )
    if run.accelerator.is_main_process:
        save_mplm(model, tokenizer, run.layout.mplm_of(stage))
    run.finish(stage, result, {"parameters": count_parameters(model), "texts": len(train)})
    return result


def _means(run: Run, parts: Parts) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The mean states in the untouched mPLM of all texts to learn from, and of those for selection."""
    train, held_out = (
        np.concatenate([run.space.texts(part.texts) for part in which]) for which in zip(*parts, strict=True)
    )
    return train, held_out


def _untrained(run: Run, recipe: MplmRecipe) -> MultilingualModel:
    torch.manual_seed(run.recipe.seed)
    encoder = load_encoder(recipe.name)
    model = MultilingualModel(encoder, labels=run.teachers.labels, tags=run.teachers.tags)
    if recipe.layers:
        model.keep_layers(recipe.layers)
    if recipe.train_layers >= 0:
        model.train_layers(recipe.train_layers)
    elif recipe.freeze_embeddings:
        model.freeze_embeddings()
    return model


def _settings(run: Run, recipe: MplmRecipe, *, languages: int) -> StepRecipe:
    settings, balance = run.recipe.step1, run.recipe.balance
    if not recipe.train_layers:
        # Without layers to train, the probe is the whole step: one evaluation of it, no update.
        return replace(settings, epochs=0.0)
    return replace(settings, epochs=balance.epochs) if languages > 1 and balance.epochs else settings


def _joined(run: Run, parts: Sequence[Labelled], tokenizer: MultilingualTokenizer) -> TrainingSet:
    return join_sets([(part.lang, run.training_set(part, tokenizer.encode)) for part in parts])


def _translated(run: Run, lang: str, spec: str) -> tuple[Labelled, Labelled]:
    """The English text in another language, with the English soft labels."""
    translator = run.translator(spec, source=SOURCE_LANGUAGE, target=lang)
    name = run.recipe.data.segmenters.get(lang)
    found = []
    for part in run.english:
        with run.processes.main_process_first():
            result = translated(
                part,
                lang,
                translator,
                cache=TranslationCache.of(run.shared),
                cut=segmenter(lang, name) if run.tagging else None,
                space=run.space,
                temperature=run.recipe.balance.temperature,
                progress=run.progress,
            )
        if result.left_out:
            run.progress.note(
                f"{lang}: {result.left_out} of {len(part)} translations left out: empty, failed or twice"
            )
        found.append(result.labelled)
    return found[0], found[1]
