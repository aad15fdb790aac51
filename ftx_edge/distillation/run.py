"""A run as both steps see it: recipe, corpora, devices, the soft-label cache, and what is done."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from accelerate import Accelerator, PartialState
from numpy.typing import NDArray
from torch import nn

from ftx_edge.batches import TrainingSet
from ftx_edge.distillation.corpus import Corpus
from ftx_edge.distillation.curves import draw_curves
from ftx_edge.distillation.fit import Fit, FitResult, make_accelerator
from ftx_edge.distillation.inputs import read_inputs
from ftx_edge.distillation.labelled import Labelled, training_set
from ftx_edge.distillation.labelled_source import LabelledSource
from ftx_edge.distillation.precision import resolve_precision
from ftx_edge.distillation.progress import Progress, Silent
from ftx_edge.distillation.student import mplm_tokenizer
from ftx_edge.errors import FtxError
from ftx_edge.files import remove, sha256_of, sha256_of_text
from ftx_edge.locks import try_lock
from ftx_edge.mplm.model import MultilingualModel, MultilingualTokenizer, load_mplm
from ftx_edge.mplm.space import Space
from ftx_edge.recipe import Recipe
from ftx_edge.recipe_tables import StepRecipe
from ftx_edge.runs import (
    RunLayout,
    finish_stage,
    open_run,
    take_over_step1,
    write_metrics,
)
from ftx_edge.soft_labels import SoftLabelCache, Teacher, WordSpans
from ftx_edge.teachers.model import Encode
from ftx_edge.translation import Translator, open_translator


class Run:
    """Everything that is read and opened before the first step; the run folder is made last.

    Raises what ``distill`` raises.
    """

    def __init__(
        self,
        recipe: Recipe,
        out: Path,
        progress: Progress,
        *,
        reuse: Path | None = None,
        cache: Path | None = None,
    ) -> None:
        self.recipe = recipe
        self.accelerator = make_accelerator(recipe.device, "fp32")
        self.processes = PartialState()
        self.progress = progress if self.accelerator.is_main_process else Silent()
        self.device = self.accelerator.device
        inputs = read_inputs(recipe, device=self.device.type)
        self.teachers, self.tagging = inputs.teachers, inputs.tagging
        self.source, self.targets = inputs.source, inputs.targets
        self._key = sha256_of_text(recipe.fingerprint, self.source.fingerprint, self.teachers.fingerprint)
        with self.processes.main_process_first():
            self.layout = open_run(out, recipe, inputs.fingerprints)
            if reuse is not None and self.accelerator.is_main_process:
                take_over_step1(RunLayout(reuse), self.layout)
        self.shared = cache or self.layout.cache
        self.english_states: dict[Path, NDArray[np.float32]] = {}
        """The mean states of English texts in mPLMs, by folder: every language is laid on them."""
        self._cache = SoftLabelCache(self.layout.cache)

    @property
    def precision(self) -> str:
        """What the recipe's precision means on this device."""
        return resolve_precision(self.recipe.precision, self.device)

    def mplm_tokenizer(self) -> MultilingualTokenizer:
        """The untouched mPLM's."""
        return mplm_tokenizer(self.recipe.mplm)

    @cached_property
    def space(self) -> Space:
        """The untouched mPLM, loaded when it is asked."""
        return Space(
            self.recipe.mplm.name,
            self.mplm_tokenizer(),
            layer=self.recipe.balance.layer,
            device=self.device,
            precision=self.precision,
            kept=self.shared,
        )

    @cached_property
    def distilled(self) -> tuple[MultilingualModel, MultilingualTokenizer]:
        """The mPLM that step 1 left, and its tokenizer, as they were written."""
        return load_mplm(self.layout.mplm)

    def translator(self, spec: str, *, source: str, target: str, temperature: float = 0.0) -> Translator:
        """A translator that the recipe names; ``temperature`` as in ``translation.Options``."""
        return open_translator(
            spec,
            source=source,
            target=target,
            beams=self.recipe.translation.beams,
            max_length=self.recipe.translation.max_length,
            device=self.device.type,
            temperature=temperature,
            seed=self.recipe.seed,
        )

    @cached_property
    def english(self) -> tuple[Labelled, Labelled]:
        """The English text with the source model's distributions: training and held-out part."""
        return self.labelled(self.source, self.teachers)

    @cached_property
    def labelled_source(self) -> LabelledSource:
        """What the neighbours of target text are looked for in, as the untouched mPLM sees it."""
        train, _ = self.english
        context = self.recipe.balance.context
        return LabelledSource(self.space, train.texts, train.words, train.labels, train.tags, context)

    def labelled_source_after(self, stage: str) -> LabelledSource:
        """The same as the mPLM after a stage of step 1 sees it."""
        if self.recipe.trains_heads_alone(stage):
            return self.labelled_source
        return replace(self.labelled_source, space=self._space_after(stage))

    def labelled_source_beside(self, stage: str) -> LabelledSource:
        """The same as the untouched mPLM sees it and, in the closeness of texts, that after a stage."""
        share = self.recipe.balance.learned
        if not share or self.recipe.trains_heads_alone(stage):
            return self.labelled_source
        return replace(self.labelled_source, learned=self._space_after(stage), learned_share=share)

    def _space_after(self, stage: str) -> Space:
        folder = self.layout.mplm_of(stage)
        return Space(
            str(folder),
            self.mplm_tokenizer(),
            layer=self.recipe.balance.layer,
            device=self.device,
            precision=self.precision,
            kept=self.layout.cache,
            identity=sha256_of(folder / "model.safetensors"),
        )

    def labelled(self, corpus: Corpus, teacher: Teacher, *, mixed: bool = False) -> tuple[Labelled, Labelled]:
        """The training and the held-out texts with the teacher's distributions, from the cache if there.

        Args:
            corpus: the texts.
            teacher: whom to ask.
            mixed: it is a ``mixture``: the first texts wait for the neighbours of all, and how many are done
                says nothing of the time left.
        """
        lang = corpus.lang
        train = self.labelled_texts(lang, corpus.train, corpus.train_words, teacher, mixed=mixed)
        return train, self.labelled_texts(lang, corpus.held_out, corpus.held_out_words, teacher, mixed=mixed)

    def labelled_texts(
        self,
        lang: str,
        texts: tuple[str, ...],
        words: tuple[WordSpans, ...] | None,
        teacher: Teacher,
        *,
        mixed: bool = False,
    ) -> Labelled:
        """Those texts with the teacher's distributions, from the cache if there; ``mixed``: as above."""
        stage = "neighbours and soft labels" if mixed else "soft labels"
        self.progress.start(f"{stage}, {lang}", 0 if mixed else len(texts), unit="utterances")

        def told(done: int) -> None:
            self.progress.update(done, {})

        with self.processes.main_process_first():
            labels, tags = self._cache.said(teacher, texts, words, None if mixed else told)
        self.progress.finish(f"{len(texts):,} utterances")
        return Labelled(lang, texts, words, labels, tags)

    def training_set(self, part: Labelled, encode_texts: Encode, *, word_starts: bool = False) -> TrainingSet:
        """The learner's subwords with the teacher's distributions, and where words begin if it says that."""
        encoded = encode_texts(part.texts, part.words if self.tagging else None)
        words = part.words if word_starts else None
        return training_set(encoded, part.labels, part.tags, alignment=self.recipe.alignment, words=words)

    def fit(
        self,
        model: nn.Module,
        train: TrainingSet,
        held_out: TrainingSet,
        settings: StepRecipe,
        *,
        stage: str,
        pad_id: int,
        accelerator: Accelerator,
        key: str = "",
        prepare: Callable[[], None] | None = None,
    ) -> FitResult:
        """Train and select, from the stage's checkpoint if there is one; ``key`` as in ``Fit``."""
        if len(train) < 2 * accelerator.num_processes:
            raise FtxError(f"{stage}: {len(train)} utterances are fewer than a batch for each process")
        return Fit(
            model,
            train,
            held_out,
            settings,
            key=sha256_of_text(self._key, stage, key),
            checkpoint=self._checkpoint(stage),
            pad_id=pad_id,
            seed=self.recipe.seed,
            accelerator=accelerator,
            progress=self.progress,
            stage=stage,
            record=lambda history: write_metrics(self.layout, stage, history),
            prepare=prepare,
        ).run()

    def finished(self, stage: str, *, needed: bool = True, by: str = "before") -> FitResult | None:
        """How a stage ended that was done ``by`` whom or when; ``needed`` as in `RunLayout.finished`."""
        figures = self.layout.finished(stage, needed=needed)
        if figures is None:
            return None
        self.progress.note(f"{stage}: done {by}")
        return FitResult.of(figures)

    @contextmanager
    def taking(self, stage: str) -> Iterator[bool]:
        """Whether this process may do a stage; False while another one is at it.

        The processes of ``accelerate launch`` do every stage together: of them, none is asked.
        """
        if self.accelerator.num_processes > 1:
            yield True
            return
        with try_lock(self.layout.locks, stage) as mine:
            yield mine

    def finish(self, stage: str, result: FitResult, figures: Mapping[str, object]) -> None:
        """Note that a stage is done; its model has been written."""
        if self.accelerator.is_main_process:
            write_metrics(self.layout, stage, result.history)
            draw_curves(self.layout)
            # Last: what is noted as done is not looked at again.
            finish_stage(self.layout, stage, {**asdict(result), **figures})
            remove(self._checkpoint(stage))
        self.accelerator.wait_for_everyone()

    def _checkpoint(self, stage: str) -> Path:
        return self.layout.checkpoints / f"{stage.replace('/', '-')}.safetensors"
