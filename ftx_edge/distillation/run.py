"""A run as both steps see it: recipe, corpora, devices, the soft-label cache, and what is done."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import cached_property
from pathlib import Path

from accelerate import Accelerator, PartialState
from torch import nn

from ftx_edge.batches import TrainingSet
from ftx_edge.distillation.corpus import Corpus, read_corpus
from ftx_edge.distillation.curves import draw_curves
from ftx_edge.distillation.fit import Fit, FitResult, make_accelerator
from ftx_edge.distillation.labelled import Labelled, training_set
from ftx_edge.distillation.neighbours import LabelledSource
from ftx_edge.distillation.precision import resolve_precision
from ftx_edge.distillation.progress import Progress, Silent
from ftx_edge.distillation.source_teachers import open_teachers
from ftx_edge.distillation.student import mplm_tokenizer, student_config
from ftx_edge.errors import FtxError, UsageError
from ftx_edge.files import remove, sha256_of, sha256_of_text
from ftx_edge.mplm.model import MultilingualTokenizer, load_config
from ftx_edge.mplm.space import Space
from ftx_edge.recipe import Recipe
from ftx_edge.recipe_tables import TRIMMED, StepRecipe
from ftx_edge.runs import (
    OTHER_MPLM,
    RunLayout,
    finish_stage,
    open_run,
    take_over_step1,
    write_metrics,
)
from ftx_edge.soft_labels import SoftLabelCache, Teacher, WordSpans
from ftx_edge.teachers.model import Encode
from ftx_edge.tokenization import UNSPACED
from ftx_edge.translation import Translator, open_translator
from ftx_edge.trimming import scored_pieces

SOURCE_LANGUAGE = "en"


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
        self.teachers = open_teachers(recipe, device=self.device.type)
        self.tagging = self.teachers.tags != ()
        self.source = self._corpus(SOURCE_LANGUAGE, recipe.data.source)
        self.targets = {lang: self._corpus(lang, path) for lang, path in recipe.data.targets.items()}
        # Before the run folder is made: a wrong name leaves nothing behind.
        student_config(recipe, vocab_size=1, labels=self.teachers.labels, tags=self.teachers.tags)
        load_config(recipe.mplm.name)
        if recipe.student.init in TRIMMED:
            scored_pieces(self.mplm_tokenizer().backend)
        inputs = {"source text": self.source.fingerprint, "teacher": self.teachers.fingerprint}
        self._key = sha256_of_text(recipe.fingerprint, *inputs.values())
        inputs |= {f"{lang} text": corpus.fingerprint for lang, corpus in self.targets.items()}
        inputs |= {f"{OTHER_MPLM} {run}": _other_mplm(run) for run in recipe.ensemble.mplms}
        with self.processes.main_process_first():
            self.layout = open_run(out, recipe, inputs)
            if reuse is not None and self.accelerator.is_main_process:
                take_over_step1(RunLayout(reuse), self.layout)
        self.shared = cache or self.layout.cache
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
        """What the neighbours of target text are looked for in."""
        train, _ = self.english
        return LabelledSource(self.space, train.texts, train.words, train.labels, train.tags)

    def labelled(self, corpus: Corpus, teacher: Teacher) -> tuple[Labelled, Labelled]:
        """The training and the held-out texts with the teacher's distributions, from the cache if there."""
        train = self.labelled_texts(corpus.lang, corpus.train, corpus.train_words, teacher)
        return train, self.labelled_texts(corpus.lang, corpus.held_out, corpus.held_out_words, teacher)

    def labelled_texts(
        self, lang: str, texts: tuple[str, ...], words: tuple[WordSpans, ...] | None, teacher: Teacher
    ) -> Labelled:
        """Those texts with the teacher's distributions, from the cache if there."""
        self.progress.start(f"soft labels, {lang}", len(texts))
        with self.processes.main_process_first():
            labels = self._cache.labels(teacher, texts) if teacher.labels else None
            tags = self._cache.tags(teacher, texts, words or ()) if teacher.tags else None
        self.progress.finish(f"{len(texts)} utterances")
        return Labelled(lang, texts, words, labels, tags)

    def training_set(self, part: Labelled, encode_texts: Encode) -> TrainingSet:
        """The learner's subwords with the teacher's distributions."""
        encoded = encode_texts(part.texts, part.words if self.tagging else None)
        return training_set(encoded, part.labels, part.tags, alignment=self.recipe.alignment)

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

    def finished(self, stage: str) -> FitResult | None:
        """How a stage ended that was done before."""
        figures = self.layout.read_record()["stages"].get(stage)
        if figures is None:
            return None
        self.progress.note(f"{stage}: done before")
        return FitResult(**{k: figures[k] for k in FitResult.__dataclass_fields__})

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

    def _corpus(self, lang: str, path: str) -> Corpus:
        return read_corpus(
            path,
            lang=lang,
            held_out=self.recipe.data.held_out,
            seed=self.recipe.seed,
            words=self.tagging or lang in UNSPACED,
            segmenter_name=self.recipe.data.segmenters.get(lang),
        )


def mplm_fingerprint(layout: RunLayout) -> str:
    """Of the mPLM that step 1 left in a run."""
    return sha256_of_text(*(sha256_of(layout.mplm / f"{part}.safetensors") for part in ("model", "heads")))


def _other_mplm(folder: str) -> str:
    """The fingerprint of the mPLM of another run."""
    layout = RunLayout(Path(folder))
    if "mplm" not in layout.read_record()["stages"]:
        raise UsageError(f"ensemble.mplms: step 1 of {folder} is not done: distil it first")
    return mplm_fingerprint(layout)
