"""KD-2: a compact student learns the mPLM's distributions on target text (paper, section 2.1)."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from tokenizers import Tokenizer
from torch import nn

from ftx_edge.batches import TrainingSet
from ftx_edge.distillation.augment import Cut, Translate, Translations, augment
from ftx_edge.distillation.balance import join_sets
from ftx_edge.distillation.corpus import Corpus
from ftx_edge.distillation.first_layers import start_from_layers
from ftx_edge.distillation.fit import FitResult, make_accelerator
from ftx_edge.distillation.hints import Hinted, hints_of
from ftx_edge.distillation.inputs import SOURCE_LANGUAGE
from ftx_edge.distillation.labelled import Labelled
from ftx_edge.distillation.mplm_teacher import teacher_of_students
from ftx_edge.distillation.replacements import Replacements
from ftx_edge.distillation.run import Run
from ftx_edge.distillation.start import start_from_mplm
from ftx_edge.distillation.step1 import mixture
from ftx_edge.distillation.student import new_student, student_tokenizer
from ftx_edge.distillation.text_states import TextStates
from ftx_edge.files import sha256_of, sha256_of_text
from ftx_edge.mplm.model import piece_embeddings
from ftx_edge.runs import write_held_out
from ftx_edge.soft_labels import SoftLabels, Teacher
from ftx_edge.students.model import Student, count_parameters, save_student
from ftx_edge.tokenization import encode
from ftx_edge.translation import TranslationCache, translate_texts
from ftx_edge.words import segmenter


def step2(run: Run, corpus: Corpus) -> FitResult:
    """Distil a student of the language of ``corpus``, and write it."""
    stage = f"students/{corpus.lang}"
    training = _augmented(run, corpus) if run.recipe.augment.share else corpus
    english = _english(run, corpus)
    states = _states(run, _with(training, english)) if run.tagging and run.recipe.step2.hint_weight else None
    teacher = _teacher(run, corpus, training, states)
    # The words that `replace` brings in are there to be known.
    read = _with(training if "replace" in run.recipe.augment.methods else corpus, english)
    own = len(corpus.train)
    tokenizer = student_tokenizer(
        run.recipe,
        read.train,
        lang=read.lang,
        words=read.train_words,
        own=own if len(read.train) > own else None,
    )
    student = _untrained(run, read, tokenizer, teacher, states)
    train, held_out = _sets(
        run, training, english, tokenizer, teacher, states, word_starts=student.config.word_starts
    )
    learner: nn.Module = student
    if states is not None:
        hints, weights = hints_of(states, train.encoded, range(len(train)))
        train = replace(train, hints=hints, hint_weights=weights)
        learner = Hinted(student, hints.shape[1], seed=run.recipe.seed)
        states.forget()
    result = run.fit(
        learner,
        train,
        held_out,
        run.recipe.step2,
        stage=stage,
        key=corpus.fingerprint,
        pad_id=0,
        accelerator=make_accelerator(run.recipe.device, run.precision),
    )
    if run.accelerator.is_main_process:
        save_student(student, tokenizer, run.layout.student(corpus.lang))
        said = None
        if held_out.label_targets is not None:
            said = SoftLabels(teacher.labels, held_out.label_targets)
        write_held_out(run.layout, corpus.lang, corpus.held_out, said)
    figures = {
        "parameters": count_parameters(student),
        "texts": len(train),
        "segmenter": corpus.segmenter,
    }
    run.finish(stage, result, figures)
    return result


def _states(run: Run, corpus: Corpus) -> TextStates:
    """Of the mPLM that step 1 left, over the training text and, after it, what students are selected on."""
    texts, words = corpus.train + corpus.held_out, None
    if corpus.train_words is not None and corpus.held_out_words is not None:
        words = corpus.train_words + corpus.held_out_words
    states = TextStates(*run.distilled, texts, words, device=run.device, precision=run.precision)
    run.progress.start(f"states of the mPLM, {corpus.lang}", len(texts), unit="utterances")
    states.keep(lambda done: run.progress.update(done, {}))
    run.progress.finish(f"{len(texts):,} utterances")
    return states


def _teacher(run: Run, corpus: Corpus, training: Corpus, states: TextStates | None) -> Teacher:
    """The mPLM, centred on the text as it was given; or its mixture with the neighbours of all text."""
    mplm = teacher_of_students(run, corpus, states)
    return mixture(run, training, mplm, run.labelled_source) if run.recipe.balance.students else mplm


def _english(run: Run, corpus: Corpus) -> Corpus:
    """The English texts that the student learns from as well, by ``seed`` alone; often none."""
    source = run.source
    count = min(len(source.train), round(run.recipe.augment.english * len(corpus.train)))
    if not count:
        return Corpus(SOURCE_LANGUAGE, (), (), 0)
    rows = list(range(len(source.train)))
    random.Random(f"{run.recipe.seed} english").shuffle(rows)
    chosen = sorted(rows[:count])
    texts = tuple(source.train[row] for row in chosen)
    if source.train_words is not None:
        words = tuple(source.train_words[row] for row in chosen)
    else:
        cut = segmenter(SOURCE_LANGUAGE, run.recipe.data.segmenters.get(SOURCE_LANGUAGE))
        words = tuple(tuple(cut(text)) for text in texts)
    return Corpus(SOURCE_LANGUAGE, texts, (), 0, words)


def _with(corpus: Corpus, english: Corpus) -> Corpus:
    """All that the student reads; still a corpus of its language."""
    words = corpus.train_words
    if words is not None and english.train_words is not None:
        words += english.train_words
    return replace(corpus, train=corpus.train + english.train, train_words=words)


def _untrained(
    run: Run, corpus: Corpus, tokenizer: Tokenizer, teacher: Teacher, states: TextStates | None
) -> Student:
    student = new_student(run.recipe, tokenizer, lang=corpus.lang, labels=teacher.labels, tags=teacher.tags)
    if run.recipe.student.init == "mplm-layers":
        count = start_from_layers(student, tokenizer, *run.distilled)
        pieces = f"{count} of {tokenizer.get_vocab_size()} pieces"
        run.progress.note(f"{corpus.lang}: {student.config.layers} layers and {pieces} from the mPLM")
    elif run.recipe.student.init != "random":
        _start(run, student, tokenizer, corpus, states)
    return student


def _start(
    run: Run, student: Student, tokenizer: Tokenizer, corpus: Corpus, states: TextStates | None
) -> None:
    """Embeddings from the mPLM that step 1 left, over the training text."""
    words = corpus.train_words if run.tagging else None
    encoder = sha256_of(run.layout.mplm / "model.safetensors")
    rows = None if states is None else states.rows(corpus.train, words)
    kept_as = run.precision if rows is None else f"{run.precision}, kept"
    parts = (encoder, tokenizer.to_str(), kept_as, str(words), *corpus.train)
    folder = run.shared if run.recipe.trains_heads_alone("mplm") else run.layout.cache
    if states is None or rows is None:
        states = TextStates(*run.distilled, corpus.train, words, device=run.device, precision=run.precision)
    run.progress.start(f"embeddings from the mPLM, {corpus.lang}", 0)
    kept = folder / f"pieces-{sha256_of_text(*parts)[:24]}.safetensors"
    count = start_from_mplm(student, tokenizer, states, rows=rows, kept=kept)
    run.progress.finish(f"{count:,} of {tokenizer.get_vocab_size():,} pieces occur in the text")


def _sets(
    run: Run,
    corpus: Corpus,
    english: Corpus,
    tokenizer: Tokenizer,
    teacher: Teacher,
    states: TextStates | None,
    *,
    word_starts: bool,
) -> tuple[TrainingSet, TrainingSet]:
    """What the student trains on, and what it is selected on: target text alone."""

    def encoded(part: Labelled) -> TrainingSet:
        return run.training_set(part, lambda texts, _words: encode(tokenizer, texts), word_starts=word_starts)

    mixed = run.recipe.balance.students
    train, held_out = (encoded(part) for part in run.labelled(corpus, teacher, mixed=mixed))
    if not english.train:
        return train, held_out
    english_teacher = teacher_of_students(run, english, states)
    part = run.labelled_texts(english.lang, english.train, english.train_words, english_teacher)
    # Under one name, so that every text weighs the same, whatever its language.
    return join_sets([(corpus.lang, train), (corpus.lang, encoded(part))]), held_out


def _augmented(run: Run, corpus: Corpus) -> Corpus:
    """The corpus with new texts in its training part (paper, section 2.3.2)."""
    recipe, lang = run.recipe.augment, corpus.lang
    there, back, within = recipe.there.get(lang), recipe.back.get(lang), recipe.within.get(lang)
    english, sample = SOURCE_LANGUAGE, recipe.sample
    translations = Translations(
        there=_translator(run, there, source=lang, target=english),
        back=_translator(run, back, source=english, target=lang),
        back_again=_translator(run, back, source=english, target=lang, temperature=sample),
        within=_translator(run, within, source=lang, target=lang, temperature=sample),
        english=run.source.train,
    )
    cut = segmenter(lang, run.recipe.data.segmenters.get(lang))
    replacements = _replacements(run, corpus, cut) if "replace" in recipe.methods else None
    with run.processes.main_process_first():
        augmented = augment(
            corpus,
            recipe,
            seed=run.recipe.seed,
            cut=cut,
            translations=translations,
            replacements=replacements,
        )
    run.progress.note(f"{lang}: {len(augmented.train) - len(corpus.train)} texts made from others")
    return augmented


def _replacements(run: Run, corpus: Corpus, cut: Cut) -> Replacements:
    """New pieces as many as the student's vocabulary has room for."""
    words = corpus.train_words or tuple(tuple(cut(text)) for text in corpus.train)
    mplm, tokenizer = run.distilled
    embeddings, vocab_size = piece_embeddings(mplm.encoder), run.recipe.student.vocab_size
    return Replacements(tokenizer, embeddings, corpus.train, words, vocab_size=vocab_size)


def _translator(
    run: Run, spec: str | None, *, source: str, target: str, temperature: float = 0.0
) -> Translate | None:
    """What translates texts, each once in the life of the cache; opened when it is asked."""
    if spec is None:
        return None

    def translate(texts: Sequence[str]) -> list[str]:
        translator = run.translator(spec, source=source, target=target, temperature=temperature)
        cache = TranslationCache.of(run.shared)
        found = translate_texts(texts, translator, cache=cache, progress=run.progress)
        return [translation.translation for translation in found]

    return translate
