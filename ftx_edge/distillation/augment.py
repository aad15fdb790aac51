"""More unlabelled text of a language, made from what is there (FreeTransfer-X, section 2.3.2).

Whatever comes out is labelled by the teacher, so it need not mean what it was made from: it only has to show
the teacher off where the student will be used. Masking and cropping are those of Tang et al. 2019,
*Distilling Task-Specific Knowledge from BERT into Simple Neural Networks*, dropping is that of Wei and Zou
2019, *EDA*; mixing puts a stretch of one text into another; replacing brings in words that no text holds
(`Replacements`). With a translator there are paraphrases by way of English, code-switched texts (Qin et al.
2020, *CoSDA-ML*), and the English corpus in translation.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from ftx_edge.distillation.corpus import Corpus
from ftx_edge.distillation.replacements import Replacements
from ftx_edge.recipe_tables import AugmentRecipe
from ftx_edge.soft_labels import WordSpans
from ftx_edge.words import segmenter

MASK = "\ue000"
"""A private-use character: no tokenizer knows it, so it is the unknown piece to teacher and student, which a
student would otherwise meet for the first time on the device."""
_ATTEMPTS = 4

Cut = Callable[[str], Sequence[tuple[int, int]]]
Translate = Callable[[Sequence[str]], Sequence[str]]
"""Texts to as many texts, "" where there is none."""


@dataclass(frozen=True)
class Translations:
    """What the methods need that translate; each may be None where no method asks for it.

    Args:
        there: into English.
        back: from English.
        back_again: from English, of what ``there`` gave; it may draw its translations.
        within: from the language into itself; likewise.
        english: unlabelled English text.
    """

    there: Translate | None = None
    back: Translate | None = None
    back_again: Translate | None = None
    within: Translate | None = None
    english: Sequence[str] = ()


def augment(
    corpus: Corpus,
    recipe: AugmentRecipe,
    *,
    seed: int,
    cut: Cut,
    translations: Translations | None = None,
    replacements: Replacements | None = None,
) -> Corpus:
    """The corpus with ``recipe.share`` new training texts for each that it has; the held-out part stays.

    New texts are different from each other and from every text of the corpus, held-out ones too; where a text
    gives nothing new, there are fewer of them.

    Args:
        corpus: unlabelled text of one language.
        recipe: what to make of it, and how much.
        seed: everything random depends on it, and on the language.
        cut: the language's segmenter.
        translations: needed for ``translate``, ``round-trip``, ``paraphrase`` and ``switch``.
        replacements: needed for ``replace``.
    """
    rng = random.Random(f"{seed} augment {corpus.lang}")
    words = corpus.train_words or tuple(tuple(cut(text)) for text in corpus.train)
    known = {*corpus.train, *corpus.held_out}
    wanted = round(recipe.share * len(corpus.train))
    rows = _passes(len(corpus.train), wanted, rng)
    methods = [recipe.methods[i % len(recipe.methods)] for i in range(wanted)]
    given = _translated(corpus, list(zip(methods, rows, strict=True)), translations or Translations(), rng)
    cut_english = segmenter("en")
    made: list[str] = []
    candidates: Iterable[str]
    for i, (row, method) in enumerate(zip(rows, methods, strict=True)):
        if method in _WHOLE:
            candidates = [given[i]]
        elif method == "replace":
            assert replacements is not None
            replace = partial(replacements, corpus.train[row], words[row], recipe.rate, rng)
            candidates = (replace() for _ in range(_ATTEMPTS))
        else:
            other = rng.randrange(len(corpus.train))
            partner, partner_words = corpus.train[other], words[other]
            if method == "switch":
                partner = given[i]
                partner_words = tuple(cut_english(partner))
            make = _METHODS[method]
            candidates = [
                make(corpus.train[row], words[row], partner, partner_words, recipe.rate, rng)
                for _ in range(_ATTEMPTS)
            ]
        new = next((text for text in candidates if text.strip() and text not in known), None)
        if new is not None:
            known.add(new)
            made.append(new)
    train_words = None
    if corpus.train_words is not None:
        train_words = (*corpus.train_words, *(tuple(cut(text)) for text in made))
    return Corpus(
        corpus.lang,
        (*corpus.train, *made),
        corpus.held_out,
        corpus.duplicates,
        train_words,
        corpus.held_out_words,
        corpus.segmenter,
    )


def _passes(count: int, wanted: int, rng: random.Random) -> list[int]:
    """So many rows: whole passes over ``count`` of them, each in an order of its own."""
    rows: list[int] = []
    while count and len(rows) < wanted:
        order = list(range(count))
        rng.shuffle(order)
        rows += order
    return rows[:wanted]


def _translated(
    corpus: Corpus, tasks: Sequence[tuple[str, int]], by: Translations, rng: random.Random
) -> dict[int, str]:
    """By the number of the task what translators give for it, "" where nothing."""
    of_method = {name: [i for i, (method, _) in enumerate(tasks) if method == name] for name in _TRANSLATING}
    texts = {name: [corpus.train[tasks[i][1]] for i in chosen] for name, chosen in of_method.items()}
    # Each English text once: more of them there are not.
    rows = _passes(len(by.english), min(len(texts["translate"]), len(by.english)), rng)
    texts["translate"] = [by.english[row] for row in rows]
    texts["round-trip"] = _once(by.there, texts["round-trip"])
    by_method = {
        "translate": by.back,
        "round-trip": by.back_again,
        "paraphrase": by.within,
        "switch": by.there,
    }
    found = dict.fromkeys(range(len(tasks)), "")
    for name, translate in by_method.items():
        found |= dict(zip(of_method[name], _once(translate, texts[name]), strict=False))
    return found


def _once(translate: Translate | None, texts: Sequence[str]) -> list[str]:
    """Each text translated, equal ones once; "" stays what it is."""
    distinct = sorted({text for text in texts if text})
    if not distinct:
        return [""] * len(texts)
    assert translate is not None
    known = dict(zip(distinct, translate(distinct), strict=True))
    return [known.get(text, "") for text in texts]


def drop(text: str, words: WordSpans, _text: str, _words: WordSpans, rate: float, rng: random.Random) -> str:
    """Leave each word out with the probability ``rate``; one stays at least."""
    return _replace(text, words, _chosen(words, rate, rng), "")


def mask(text: str, words: WordSpans, _text: str, _words: WordSpans, rate: float, rng: random.Random) -> str:
    """Put the unknown in the place of each word with the probability ``rate``; one stays at least."""
    return _replace(text, words, _chosen(words, rate, rng), MASK)


def crop(text: str, words: WordSpans, _text: str, _words: WordSpans, _rate: float, rng: random.Random) -> str:
    """A stretch of words: half of them at least, never all."""
    if len(words) < 2:
        return ""
    length = rng.randint((len(words) + 1) // 2, len(words) - 1)
    start = rng.randint(0, len(words) - length)
    return text[words[start][0] : words[start + length - 1][1]]


def mix(
    text: str, words: WordSpans, other: str, other_words: WordSpans, _rate: float, rng: random.Random
) -> str:
    """Put a stretch of another text in the place of a stretch: a third of the words each, one at least."""
    if len(words) < 2 or not other_words:
        return ""
    (start, end), (other_start, other_end) = _third(words, rng), _third(other_words, rng)
    return text[:start] + other[other_start:other_end] + text[end:]


def switch(
    text: str, words: WordSpans, other: str, other_words: WordSpans, _rate: float, rng: random.Random
) -> str:
    """Put a stretch of the text's translation in the place of the stretch that lies as far along in it."""
    if len(words) < 2 or not other_words:
        return ""
    first, end = _third_of(len(words), rng)
    there = len(other_words) / len(words)
    other_first = min(round(first * there), len(other_words) - 1)
    other_end = max(other_first + 1, round(end * there))
    own = text[: words[first][0]], text[words[end - 1][1] :]
    stretch = other[other_words[other_first][0] : other_words[min(other_end, len(other_words)) - 1][1]]
    return own[0] + stretch + own[1]


_WHOLE = ("translate", "round-trip", "paraphrase")
"""Methods that take what a translator gives as it is."""
_TRANSLATING = (*_WHOLE, "switch")
_METHODS = {"drop": drop, "mask": mask, "crop": crop, "mix": mix, "switch": switch}


def _third(words: WordSpans, rng: random.Random) -> tuple[int, int]:
    """The characters at which a random third of the words begins and ends."""
    first, end = _third_of(len(words), rng)
    return words[first][0], words[end - 1][1]


def _third_of(count: int, rng: random.Random) -> tuple[int, int]:
    """Where a random third of so many words begins and ends, one word at least."""
    length = max(1, round(count / 3))
    first = rng.randint(0, count - length)
    return first, first + length


def _chosen(words: WordSpans, rate: float, rng: random.Random) -> list[int]:
    """Each word with the probability ``rate``, one at least and not all."""
    if len(words) < 2:
        return []
    chosen = [i for i in range(len(words)) if rng.random() < rate] or [rng.randrange(len(words))]
    if len(chosen) == len(words):
        chosen.remove(rng.choice(chosen))
    return chosen


def _replace(text: str, words: WordSpans, chosen: Sequence[int], new: str) -> str:
    """``text`` with the chosen words replaced; where nothing takes their place, nor does a second space."""
    parts, at = [], 0
    for index in chosen:
        start, end = words[index]
        parts.append(text[at:start] + new)
        at = end
    whole = "".join(parts) + text[at:]
    return whole if new else " ".join(whole.split())
