"""Where a chunk of text without white space falls into words: at punctuation marks, save those within a word.

Close to Unicode's words (UAX 29), but for spans: hyphens join letters, as in ``terça-feira``, full stops do
not; ``.``, ``,`` and ``:`` join digits; apostrophes stay with the shorter side, as in treebanks: ``l'`` |
``heure``, ``Leo`` | ``'s``, ``Ankara`` | ``'da``, but ``aujourd'hui``, ``o'clock``, ``п'ять``.
"""

from __future__ import annotations

import unicodedata

APOSTROPHES = "'\u2019"
HYPHENS = "-\u2010\u2011"
IN_NUMBERS = ".,:"

# What loses its vowel before another, in French, Italian and Catalan.
_FRENCH = {"qu", "jusqu", "lorsqu", "puisqu", "quoiqu"}
_ITALIAN = {"all", "dall", "dell", "nell", "sull", "quell", "un", "com", "dov"}
_ELIDED = frozenset("cdjlmnstv") | _FRENCH | _ITALIAN
# What is no word without what follows the apostrophe.
_HALVES = frozenset({"aujourd", "presqu", "prud", "entr", "grand", "o"})
_LONGEST = max(map(len, _ELIDED | _HALVES))


def is_word_edge(text: str, at: int) -> bool:
    """Whether one word ends and the next begins at offset ``at``, 0 < at < len(text).

    For two characters that are not white space; the edges of white space are for the caller to see.
    """
    if _is_mark(text[at]):
        return not _joins(text, at) or (text[at] in APOSTROPHES and _begins_suffix(text, at))
    if _is_mark(text[at - 1]):
        return not _joins(text, at - 1) or (text[at - 1] in APOSTROPHES and _is_elided(text, at - 1))
    return False


def _is_mark(character: str) -> bool:
    """Punctuation and symbols."""
    return not character.isalnum() and unicodedata.category(character)[0] in "PS"


def _joins(text: str, at: int) -> bool:
    """Whether the mark at ``at`` belongs to letters or digits before it or after it."""
    mark = text[at]
    if mark not in APOSTROPHES + HYPHENS + IN_NUMBERS or not 0 < at < len(text) - 1:
        return False
    before, after = text[at - 1], text[at + 1]
    if mark in IN_NUMBERS:
        return before.isdigit() and after.isdigit()
    return (before.isalpha() or unicodedata.category(before)[0] == "M") and (
        after.isalpha() or (mark in HYPHENS and after.isdigit())
    )


def _is_elided(text: str, at: int) -> bool:
    """Whether the letters before the apostrophe at ``at`` are a word that lost its vowel."""
    return _letters_before(text, at) in _ELIDED


def _begins_suffix(text: str, at: int) -> bool:
    """Whether the apostrophe at ``at`` parts a word from its suffix, as in English and Turkish."""
    if not unicodedata.name(text[at - 1], "").startswith("LATIN"):
        return False
    return _letters_before(text, at) not in _ELIDED | _HALVES


def _letters_before(text: str, at: int) -> str:
    """The letters that end at ``at``, in lower case; of long words the last ones."""
    start = at
    while start > 0 and at - start <= _LONGEST and text[start - 1].isalpha():
        start -= 1
    return text[start:at].lower()
