"""Where a chunk of text without white space falls into words: at punctuation marks, save those within a word.

Words are Unicode's (UAX 29, rules WB6, WB7, WB11 and WB12) with two changes: hyphens join letters, as in
``terça-feira``, and what is elided before a word is a word of its own, as in treebanks: ``l'`` | ``heure``.
"""

from __future__ import annotations

import re
import unicodedata

APOSTROPHES = "'\u2019"
HYPHENS = "-\u2010\u2011"
IN_NUMBERS = ".,:"

# French, Italian, Catalan: the articles, pronouns and conjunctions that lose their vowel before another.
_ELIDED = re.compile(
    "(?:[cdjlmnstv]|qu|jusqu|lorsqu|puisqu|quoiqu|all|dall|dell|nell|sull|quell|un)", re.IGNORECASE
)
_LONGEST = 6


def is_word_edge(text: str, at: int) -> bool:
    """Whether one word ends and the next begins at offset ``at``, 0 < at < len(text).

    For two characters that are not white space; the edges of white space are for the caller to see.
    """
    before, after = text[at - 1], text[at]
    if _is_mark(after):
        return not _is_within_word(text, at)
    if _is_mark(before):
        return not _is_within_word(text, at - 1) or (before in APOSTROPHES and _is_elided(text, at - 1))
    return False


def _is_mark(character: str) -> bool:
    """Punctuation and symbols."""
    return not character.isalnum() and unicodedata.category(character)[0] in "PS"


def _is_within_word(text: str, at: int) -> bool:
    """Whether the mark at ``at`` stands between letters or digits that it joins."""
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
    start = at
    while start > 0 and at - start <= _LONGEST and text[start - 1].isalpha():
        start -= 1
    return _ELIDED.fullmatch(text, start, at) is not None
