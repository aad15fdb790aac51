"""Many texts through a translator: cached, batched, and with an answer for every one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from ftx_edge.translation.cache import TranslationCache
from ftx_edge.translation.translator import Translator

if TYPE_CHECKING:
    from ftx_edge.distillation.progress import Progress


class Status(StrEnum):
    """How a translation came out."""

    OK = "ok"
    EMPTY = "empty"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Translation:
    """A text and its translation: "" unless the status is ok; ``error`` is why it failed."""

    text: str
    translation: str
    status: Status
    error: str | None = None


def translate_texts(
    texts: Sequence[str],
    translator: Translator,
    *,
    cache: TranslationCache | None = None,
    batch_size: int = 32,
    progress: Progress | None = None,
) -> list[Translation]:
    """One `Translation` for each text, in the order of the texts.

    A text that occurs twice is translated once. Texts go in batches of like length; a batch that fails is cut
    in two until the failing texts stand alone, and only these are marked. Answers, empty ones too, go to
    ``cache`` after each batch; failures do not, so that the next call tries them again.
    """
    different = list(dict.fromkeys(texts))
    known = cache.get(translator.fingerprint, different) if cache else [None] * len(different)
    done = {
        text: _answered(text, answer)
        for text, answer in zip(different, known, strict=True)
        if answer is not None
    }
    missing = sorted((text for text in different if text not in done), key=len, reverse=True)
    if progress:
        progress.start(f"translate ({translator.name})", total=len(different), done=len(done), unit="texts")
    for start in range(0, len(missing), batch_size):
        batch = _translate_batch(missing[start : start + batch_size], translator)
        if cache:
            answered = [(t.text, t.translation) for t in batch if t.status is not Status.FAILED]
            cache.put(translator.fingerprint, answered)
        done.update((translation.text, translation) for translation in batch)
        if progress:
            counts = count(done.values())
            progress.update(len(done), {"empty": counts[Status.EMPTY], "failed": counts[Status.FAILED]})
    translations = [done[text] for text in texts]
    if progress:
        progress.finish(", ".join(f"{number} {status}" for status, number in count(translations).items()))
    return translations


def _translate_batch(texts: Sequence[str], translator: Translator) -> list[Translation]:
    try:
        answers = translator.translate(texts)
        if len(answers) != len(texts):
            raise ValueError(f"{len(answers)} translations of {len(texts)} texts")
    # Whatever a back end raises, the other texts shall have their translation.
    except Exception as error:
        if len(texts) == 1:
            return [Translation(texts[0], "", Status.FAILED, f"{type(error).__name__}: {error}")]
        middle = len(texts) // 2
        return _translate_batch(texts[:middle], translator) + _translate_batch(texts[middle:], translator)
    return [_answered(text, answer) for text, answer in zip(texts, answers, strict=True)]


def _answered(text: str, answer: str) -> Translation:
    answer = answer.strip()
    return Translation(text, answer, Status.OK if answer else Status.EMPTY)


def count(translations: Iterable[Translation]) -> dict[Status, int]:
    """How many came out how."""
    counts = dict.fromkeys(Status, 0)
    for translation in translations:
        counts[translation.status] += 1
    return counts
