"""``distill``: a recipe in, a run folder with an mPLM and a student per language out."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator, PartialState
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor, nn

from ftx_edge.batches import TrainingSet
from ftx_edge.distillation.augment import augment
from ftx_edge.distillation.balance import Labelled, join_sets, translated
from ftx_edge.distillation.corpus import Corpus, read_corpus
from ftx_edge.distillation.curves import draw_curves
from ftx_edge.distillation.fit import FitResult, fit, make_accelerator
from ftx_edge.distillation.neighbours import LabelledSource, MixedTeacher, NeighbourTeacher
from ftx_edge.distillation.probe import probe_heads
from ftx_edge.distillation.progress import Progress, Silent
from ftx_edge.distillation.start import start_from_mplm
from ftx_edge.distillation.student import mplm_tokenizer, new_student, student_tokenizer
from ftx_edge.errors import DataError, FtxError, UsageError
from ftx_edge.files import remove, sha256_of_text
from ftx_edge.forward import autocast_for
from ftx_edge.mplm.model import (
    MultilingualModel,
    MultilingualTokenizer,
    load_config,
    load_encoder,
    load_mplm,
    save_mplm,
)
from ftx_edge.mplm.space import Space
from ftx_edge.mplm.states import read_shift, save_center, states_of
from ftx_edge.recipe import Recipe, StepRecipe
from ftx_edge.runs import (
    RunLayout,
    finish_stage,
    open_run,
    take_over_step1,
    write_held_out,
    write_metrics,
)
from ftx_edge.soft_labels import SoftLabelCache, SoftLabels, SoftTags, Teacher, WordSpans
from ftx_edge.students.model import Student, count_parameters, save_student
from ftx_edge.teachers import CheckedTeacher, open_teacher
from ftx_edge.teachers.model import Encode
from ftx_edge.teachers.run import mplm_teacher
from ftx_edge.tokenization import UNSPACED, Encoded, encode
from ftx_edge.translation import TranslationCache, open_translator, translate_texts
from ftx_edge.trimming import scored_pieces
from ftx_edge.words import segmenter

SOURCE_LANGUAGE = "en"
MOST_CENTERED = 2000
"""Texts of a language whose mean state is taken."""


@dataclass(frozen=True)
class DistillResult:
    """Where the run is and how each fit ended; ``students`` by language."""

    run: Path
    mplm: FitResult
    students: Mapping[str, FitResult]
    seconds: float


def distill(
    recipe: Recipe,
    out: Path | str,
    *,
    reuse: Path | str | None = None,
    translations: Path | str | None = None,
    progress: Progress | None = None,
) -> DistillResult:
    """Distil the source model into one student a target language; label-free throughout.

    What is finished in ``out`` is not done again; a killed run goes on at its last checkpoint and ends with
    the weights of one that was not killed.

    Args:
        recipe: everything that decides the run.
        out: run folder; created, or resumed if the same recipe started it.
        reuse: another run, whose mPLM and soft labels are taken over where this recipe would make the same;
            so that several students are compared on one step 1.
        translations: file that keeps translations, for runs that share them; one in the run by default.
        progress: is told of every stage.

    Raises:
        UsageError: the recipe asks for what does not exist, or ``reuse`` did another step 1.
        DataError: a corpus or a recorded teacher cannot be used; names file and line.
        FtxError: ``out`` belongs to another recipe; the device is not there.
    """
    recipe.check()
    run = _Run(recipe, Path(out), progress or Silent(), reuse=Path(reuse) if reuse else None)
    run.translations = Path(translations) if translations else run.translations
    return run.run()


class _Run:
    def __init__(self, recipe: Recipe, out: Path, progress: Progress, *, reuse: Path | None) -> None:
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
        load_config(recipe.mplm.name)
        if recipe.student.init == "mplm":
            scored_pieces(self._mplm_tokenizer().backend)
        inputs = {"source text": self.source.fingerprint, "teacher": self.teachers.fingerprint}
        self.key = sha256_of_text(recipe.fingerprint, *inputs.values())
        inputs |= {f"{lang} text": corpus.fingerprint for lang, corpus in self.targets.items()}
        with self.processes.main_process_first():
            self.layout = open_run(out, recipe, inputs)
            if reuse is not None and self.accelerator.is_main_process:
                take_over_step1(RunLayout(reuse), self.layout)
        self.cache = SoftLabelCache(self.layout.cache)
        self.translations = self.layout.cache / "translations.sqlite"
        self._untouched: Space | None = None
        self._neighbour_source: LabelledSource | None = None

    def run(self) -> DistillResult:
        since = time.monotonic()
        for corpus in (self.source, *self.targets.values()):
            if corpus.duplicates:
                self.progress.note(f"{corpus.lang}: {corpus.duplicates} duplicate utterances left out")
        mplm = self._finished("mplm") or self._step1()
        students = {}
        for lang, corpus in self.targets.items():
            students[lang] = self._finished(f"students/{lang}") or self._step2(corpus)
        return DistillResult(self.layout.root, mplm, students, time.monotonic() - since)

    def _step1(self) -> FitResult:
        """KD-1: the mPLM learns the source model's distributions (paper, section 2.1; balanced, 2.3.1)."""
        balance, parts = self.recipe.balance, [self._english]
        if balance.method == "none":
            return self._fit_mplm("mplm", parts)
        for lang, spec in balance.translators.items():
            parts.append(self._translated(lang, spec))
        if balance.method == "translations":
            return self._fit_mplm("mplm", parts)
        stage = "" if balance.naive == "none" else "mplm-naive"
        if stage and self._finished(stage) is None:
            self._fit_mplm(stage, parts)
        for number in range(1, balance.rounds + 1):
            before, stage = stage, "mplm" if number == balance.rounds else f"mplm-round{number}"
            result = self._finished(stage)
            if result is None:
                mixed = [self._labelled(c, self._mixture(c, before)) for c in self.targets.values()]
                result = self._fit_mplm(stage, [*parts, *mixed])
        return result  # type: ignore[return-value]

    def _fit_mplm(self, stage: str, parts: Sequence[tuple[Labelled, Labelled]]) -> FitResult:
        """Distil the untouched mPLM on those texts, training and held-out; every language weighs the same."""
        recipe = self.recipe.mplm
        if stage == "mplm-naive" and self.recipe.balance.naive == "heads":
            recipe = replace(recipe, train_layers=0, heads="probe")
        tokenizer = self._mplm_tokenizer()
        torch.manual_seed(self.recipe.seed)
        encoder = load_encoder(recipe.name)
        model = MultilingualModel(encoder, labels=self.teachers.labels, tags=self.teachers.tags)
        if recipe.layers:
            model.keep_layers(recipe.layers)
        if recipe.train_layers >= 0:
            model.train_layers(recipe.train_layers)
        elif recipe.freeze_embeddings:
            model.freeze_embeddings()
        train, held_out = (
            join_sets([(part.lang, self._set(part, tokenizer.encode)) for part in which])
            for which in zip(*parts, strict=True)
        )
        settings, balance = self.recipe.step1, self.recipe.balance
        if len(parts) > 1 and balance.epochs:
            settings = replace(settings, epochs=balance.epochs)
        precision = resolve_precision(self.recipe.precision, self.device, large=True)

        def probe() -> None:
            probe_heads(
                model,
                train,
                pad_id=pad_id_of(model),
                device=self.device,
                autocast=lambda: autocast_for(self.device, precision),
            )

        # Without layers to train, the probe is the whole step: one evaluation of it, no update.
        settings = settings if recipe.train_layers else replace(settings, epochs=0.0)
        result = self._fit(
            model,
            train,
            held_out,
            settings,
            stage=stage,
            pad_id=pad_id_of(model),
            accelerator=make_accelerator(self.recipe.device, precision),
            prepare=probe if recipe.heads == "probe" else None,
        )
        if self.accelerator.is_main_process:
            save_mplm(model, tokenizer, self.layout.mplm_of(stage))
        self._finish(stage, result, {"parameters": count_parameters(model), "texts": len(train)})
        return result

    def _mixture(self, corpus: Corpus, stage: str) -> Teacher:
        """What the English neighbours and an mPLM of this run (none for "") say of target text."""
        balance = self.recipe.balance
        if self._neighbour_source is None:
            train, _ = self._english
            self._neighbour_source = LabelledSource(
                self._space(), train.texts, train.words, train.labels, train.tags
            )
        texts = (*corpus.train, *corpus.held_out)
        words = (*(corpus.train_words or ()), *(corpus.held_out_words or ()))
        neighbours = NeighbourTeacher(
            self._neighbour_source,
            texts,
            words,
            neighbours=balance.neighbours,
            temperature=balance.temperature,
            propagation=balance.propagation,
        )
        if not stage:
            return neighbours
        return MixedTeacher(
            [neighbours, self._mplm_teacher(corpus, stage)],
            weights=[balance.weight, 1 - balance.weight],
            alignment=self.recipe.alignment,
        )

    def _translated(self, lang: str, spec: str) -> tuple[Labelled, Labelled]:
        """The English text in another language, with the English soft labels."""
        translator = open_translator(spec, source=SOURCE_LANGUAGE, target=lang, device=self.device.type)
        name = self.recipe.data.segmenters.get(lang)
        found = []
        for part in self._english:
            with self.processes.main_process_first():
                result = translated(
                    part,
                    lang,
                    translator,
                    cache=TranslationCache(self.translations),
                    cut=segmenter(lang, name) if self.tagging else None,
                    space=self._space(),
                    temperature=self.recipe.balance.temperature,
                    progress=self.progress,
                )
            if result.left_out:
                self.progress.note(
                    f"{lang}: {result.left_out} of {len(part)} translations left out: empty, failed or twice"
                )
            found.append(result.labelled)
        return found[0], found[1]

    @cached_property
    def _english(self) -> tuple[Labelled, Labelled]:
        """The English text with the source model's distributions: training and held-out part."""
        return self._labelled(self.source, self.teachers)

    def _space(self) -> Space:
        """The untouched mPLM, loaded when it is asked."""
        if self._untouched is None:
            self._untouched = Space(
                self.recipe.mplm.name,
                self._mplm_tokenizer(),
                layer=self.recipe.balance.layer,
                device=self.device,
                precision=resolve_precision(self.recipe.precision, self.device, large=True),
            )
        return self._untouched

    def _mplm_tokenizer(self) -> MultilingualTokenizer:
        return mplm_tokenizer(self.recipe.mplm)

    def _mplm_teacher(self, corpus: Corpus, stage: str) -> CheckedTeacher:
        teacher = mplm_teacher(
            self.layout.mplm_of(stage),
            device=self.device,
            precision=resolve_precision(self.recipe.precision, self.device, large=True),
            whole_words=self.recipe.alignment == "first-subword",
            shift=self._shift(corpus, stage),
        )
        return CheckedTeacher(teacher, "mPLM")

    def _step2(self, corpus: Corpus) -> FitResult:
        """KD-2: a compact student learns the mPLM's distributions on target text (paper, section 2.1)."""
        mixed = self.recipe.balance.students
        teacher = self._mixture(corpus, "mplm") if mixed else self._mplm_teacher(corpus, "mplm")
        recipe = self.recipe.student
        tokenizer = student_tokenizer(self.recipe, corpus.train, lang=corpus.lang, words=corpus.train_words)
        student = new_student(
            recipe, tokenizer, labels=teacher.labels, tags=teacher.tags, seed=self.recipe.seed
        )
        if recipe.init != "random":
            self._start(student, tokenizer, corpus)
        training = self._augmented(corpus) if self.recipe.augment.share else corpus
        train, held_out = self._sets(training, teacher, lambda texts, _words: encode(tokenizer, texts))
        result = self._fit(
            student,
            train,
            held_out,
            self.recipe.step2,
            stage=f"students/{corpus.lang}",
            key=corpus.fingerprint,
            pad_id=0,
            accelerator=make_accelerator(
                self.recipe.device, resolve_precision(self.recipe.precision, self.device, large=False)
            ),
        )
        if self.accelerator.is_main_process:
            save_student(student, tokenizer, self.layout.student(corpus.lang))
            said = (
                None if held_out.label_targets is None else SoftLabels(teacher.labels, held_out.label_targets)
            )
            write_held_out(self.layout, corpus.lang, corpus.held_out, said)
        figures = {
            "parameters": count_parameters(student),
            "texts": len(train),
            "segmenter": corpus.segmenter,
        }
        self._finish(f"students/{corpus.lang}", result, figures)
        return result

    def _augmented(self, corpus: Corpus) -> Corpus:
        """The corpus with new texts in its training part (paper, section 2.3.2)."""
        recipe, lang = self.recipe.augment, corpus.lang
        round_trip = None
        if "round-trip" in recipe.methods:
            translators = (
                open_translator(
                    recipe.there[lang], source=lang, target=SOURCE_LANGUAGE, device=self.device.type
                ),
                open_translator(
                    recipe.back[lang], source=SOURCE_LANGUAGE, target=lang, device=self.device.type
                ),
            )

            def round_trip(texts: Sequence[str]) -> list[str]:
                for translator in translators:
                    found = translate_texts(
                        texts,
                        translator,
                        cache=TranslationCache(self.translations),
                        progress=self.progress,
                    )
                    texts = [translation.translation for translation in found]
                return list(texts)

        cut = segmenter(lang, self.recipe.data.segmenters.get(lang))
        with self.processes.main_process_first():
            augmented = augment(corpus, recipe, seed=self.recipe.seed, cut=cut, round_trip=round_trip)
        self.progress.note(f"{lang}: {len(augmented.train) - len(corpus.train)} texts made from others")
        return augmented

    def _start(self, student: Student, tokenizer: Tokenizer, corpus: Corpus) -> None:
        """Embeddings from the mPLM that step 1 left, over the training text."""
        model, mplm_tokenizer = load_mplm(self.layout.mplm)
        self.progress.start(f"embeddings from the mPLM, {corpus.lang}", len(corpus.train))
        count = start_from_mplm(
            student,
            tokenizer,
            model,
            mplm_tokenizer,
            corpus.train,
            corpus.train_words if self.tagging else None,
            device=self.device,
            precision=resolve_precision(self.recipe.precision, self.device, large=True),
        )
        self.progress.finish(f"{count} of {tokenizer.get_vocab_size()} pieces occur in the text")

    def _shift(self, corpus: Corpus, stage: str) -> Tensor | None:
        """How far the language's texts lie from the English ones; measured once, kept in the run.

        None for a language whose text step 1 learned from: its head knows where that lies.
        """
        if not (self.recipe.mplm.center and self.teachers.labels):
            return None
        balance = self.recipe.balance
        if balance.method != "none" and corpus.lang in balance.translators:
            return None
        if balance.method == "neighbours" and stage != "mplm-naive":
            return None
        places = {c.lang: self.layout.center(c.lang, stage) for c in (self.source, corpus)}
        missing = [c for c in (self.source, corpus) if not places[c.lang].is_file()]
        if missing and self.accelerator.is_main_process:
            model, tokenizer = load_mplm(self.layout.mplm_of(stage))
            precision = resolve_precision(self.recipe.precision, self.device, large=True)
            for part in missing:
                rows = range(0, len(part.train), max(1, len(part.train) // MOST_CENTERED))
                words = [part.train_words[i] for i in rows] if self.tagging and part.train_words else None
                encoded = tokenizer.encode([part.train[i] for i in rows], words)
                with autocast_for(self.device, precision):
                    pooled, _ = states_of(
                        model.to(self.device), encoded, pad_id=pad_id_of(model), device=self.device
                    )
                save_center(pooled.mean(dim=0), places[part.lang])
        self.accelerator.wait_for_everyone()
        return read_shift(places[corpus.lang], places[SOURCE_LANGUAGE])

    def _fit(
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
        if len(train) < 2 * accelerator.num_processes:
            raise FtxError(f"{stage}: {len(train)} utterances are fewer than a batch for each process")
        checkpoint = self.layout.checkpoints / f"{stage.replace('/', '-')}.safetensors"
        return fit(
            model,
            train,
            held_out,
            settings,
            key=sha256_of_text(self.key, stage, key),
            checkpoint=checkpoint,
            pad_id=pad_id,
            seed=self.recipe.seed,
            accelerator=accelerator,
            progress=self.progress,
            stage=stage,
            record=lambda history: write_metrics(self.layout, stage, history),
            prepare=prepare,
        )

    def _sets(
        self, corpus: Corpus, teacher: Teacher, encode_texts: Encode
    ) -> tuple[TrainingSet, TrainingSet]:
        """Training and held-out set: the learner's subwords with the teacher's distributions."""
        train, held_out = self._labelled(corpus, teacher)
        return self._set(train, encode_texts), self._set(held_out, encode_texts)

    def _set(self, part: Labelled, encode_texts: Encode) -> TrainingSet:
        encoded = encode_texts(part.texts, part.words if self.tagging else None)
        return training_set(encoded, part.labels, part.tags, alignment=self.recipe.alignment)

    def _labelled(self, corpus: Corpus, teacher: Teacher) -> tuple[Labelled, Labelled]:
        """The training and the held-out texts with the teacher's distributions, from the cache if there."""
        parts = ((corpus.train, corpus.train_words), (corpus.held_out, corpus.held_out_words))
        found = []
        for texts, words in parts:
            self.progress.start(f"soft labels, {corpus.lang}", len(texts))
            with self.processes.main_process_first():
                labels = self.cache.labels(teacher, texts) if teacher.labels else None
                tags = self.cache.tags(teacher, texts, words or ()) if teacher.tags else None
            self.progress.finish(f"{len(texts)} utterances")
            found.append(Labelled(corpus.lang, texts, words, labels, tags))
        return found[0], found[1]

    def _corpus(self, lang: str, path: str) -> Corpus:
        return read_corpus(
            path,
            lang=lang,
            held_out=self.recipe.data.held_out,
            seed=self.recipe.seed,
            words=self.tagging or lang in UNSPACED,
            segmenter_name=self.recipe.data.segmenters.get(lang),
        )

    def _finished(self, stage: str) -> FitResult | None:
        figures = self.layout.read_record()["stages"].get(stage)
        if figures is None:
            return None
        self.progress.note(f"{stage}: done before")
        return FitResult(**{k: figures[k] for k in FitResult.__dataclass_fields__})

    def _finish(self, stage: str, result: FitResult, figures: Mapping[str, object]) -> None:
        if self.accelerator.is_main_process:
            write_metrics(self.layout, stage, result.history)
            draw_curves(self.layout)
            # Last: what is noted as done is not looked at again.
            finish_stage(self.layout, stage, {**asdict(result), **figures})
            remove(self.layout.checkpoints / f"{stage.replace('/', '-')}.safetensors")
        self.accelerator.wait_for_everyone()


class SourceTeachers:
    """The source classifier, the source tagger, or both, as one teacher."""

    def __init__(self, label: Teacher | None, tag: Teacher | None) -> None:
        self._label, self._tag = label, tag
        self.labels = label.labels if label else ()
        self.tags = tag.tags if tag else ()
        self.fingerprint = sha256_of_text(*(t.fingerprint if t else "" for t in (label, tag)))

    def soft_labels(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(N, C) float32."""
        assert self._label is not None
        return self._label.soft_labels(texts)

    def soft_tags(self, texts: Sequence[str], words: Sequence[WordSpans]) -> SoftTags:
        """Units as the tagger cuts them."""
        assert self._tag is not None
        return self._tag.soft_tags(texts, words)


def open_teachers(recipe: Recipe, *, device: str) -> SourceTeachers:
    """Open what ``[teacher]`` names; raises UsageError where it has not the head that is asked for.

    A corpus that is not there is a DataError, raised first.
    """
    # Before a model is looked for, perhaps on a hub: a mistyped file is found out at once.
    for path in (recipe.data.source, *recipe.data.targets.values()):
        if not Path(path).exists():
            raise DataError("no such file", path=path)
    label = open_teacher(recipe.teacher.label, device=device) if recipe.teacher.label else None
    tag = open_teacher(recipe.teacher.tag, tagging=True, device=device) if recipe.teacher.tag else None
    if label is not None and not label.labels:
        raise UsageError(
            f"teacher.label {recipe.teacher.label} is a tagger: name it teacher.tag (--tag-teacher)"
        )
    return SourceTeachers(label, tag)


def training_set(
    encoded: Encoded, labels: SoftLabels | None, tags: SoftTags | None, *, alignment: str
) -> TrainingSet:
    """Bring a teacher's distributions and a learner's subwords of the same texts together."""
    if tags is None:
        return TrainingSet(encoded, labels.probs if labels else None)
    from ftx_edge.alignment import bridge, first_subword

    targets = np.zeros((len(encoded.ids), len(tags.tags)), dtype=np.float32)
    weights = np.zeros(len(encoded.ids), dtype=np.float32)
    for row in range(len(encoded)):
        part = slice(int(encoded.splits[row]), int(encoded.splits[row + 1]))
        units, probs = tags.of_text(row)
        if alignment == "first-subword":
            targets[part], weights[part] = first_subword(units, probs, encoded.offsets[part])
        else:
            targets[part], weights[part] = bridge(units, probs, encoded.offsets[part], tags.tags)
    return TrainingSet(encoded, labels.probs if labels else None, targets, weights)


def resolve_precision(precision: str, device: torch.device, *, large: bool) -> str:
    """What ``auto`` means: bf16 where the device computes it natively and the model gains by it."""
    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
    if device.type == "cpu" and large and _cpu_computes_bf16():
        return "bf16"
    return "fp32"


def _cpu_computes_bf16() -> bool:
    """AVX512-BF16 or AMX: without them bf16 is emulated and slow."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return any(
                flag in line
                for line in file
                if line.startswith("flags")
                for flag in ("avx512_bf16", "amx_bf16")
            )
    except OSError:
        return False


def pad_id_of(model: MultilingualModel) -> int:
    """The encoder's padding subword."""
    return int(getattr(model.encoder.config, "pad_token_id", None) or 0)
