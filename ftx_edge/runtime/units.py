"""Tokens that one tag decision is for: the units that spans are made of."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from ftx_edge.runtime.word_edges import is_word_edge
from ftx_edge.utterance import INVISIBLE, ZERO_WIDTH_JOINER


def units_of_tokens(
    offsets: list[tuple[int, int]],
    text: str | None,
    whole_words: bool,
    begins: Sequence[bool] | None = None,
) -> list[list[int]]:
    """Tokens that one tag decision is for: those of one character, or of one word.

    Words are what ``whole_words`` finds between spaces, or from where ``begins`` is true to where it is next.
    """
    units: list[list[int]] = []
    begun, ended = 0, 0
    for token, (start, end) in enumerate(offsets):
        if start >= end:
            continue
        joined = start < ended or (begins is not None and start == ended and not begins[token])
        if text is not None:
            first = text[start]
            if first.isspace() and text[start:end].isspace():
                continue
            # One that begins with a space, as most do, or with ASCII after no word, begins a unit.
            if not joined and first != " " and ((start == ended and whole_words) or not first.isascii()):
                joined = _joined(text, start, ended, whole_words)
        if not joined or not units:
            units.append([token])
            begun = start
        # A lone word-start piece lies on the first character of the piece that follows it.
        elif start == begun and len(units[-1]) == 1 and end > ended:
            units[-1] = [token]
        else:
            units[-1].append(token)
        if end > ended:
            ended = end
    return units


def units_of_words(
    offsets: list[tuple[int, int]], words: Sequence[tuple[int, int]], first_subword: bool
) -> tuple[list[list[int]], list[tuple[int, int]]]:
    """For each word its tokens, and its place; words beyond the last token are left out.

    A token belongs to the first word that it overlaps. With ``first_subword`` a word whose first token
    belongs to the word before goes with it: no token of its own was trained for it.
    """
    units: list[list[int]] = []
    places: list[tuple[int, int]] = []
    token, reached = 0, 0
    for start, end in words:
        own = []
        while token < len(offsets) and offsets[token][0] < end:
            if max(offsets[token][0], start) < offsets[token][1] and not _is_word_start(offsets, token):
                own.append(token)
            token += 1
        if units and start < reached and (first_subword or not own):
            units[-1].extend(own)
            places[-1] = (places[-1][0], end)
        elif own:
            units.append(own)
            places.append((start, end))
        if own:
            reached = max(reached, *(offsets[t][1] for t in own))
    return units, places


def _is_word_start(offsets: list[tuple[int, int]], token: int) -> bool:
    """Whether it is a lone word-start piece, on the first character of the piece that follows it."""
    start, end = offsets[token]
    return token + 1 < len(offsets) and offsets[token + 1][0] == start and offsets[token + 1][1] > end


def _joined(text: str, start: int, before: int, whole_words: bool) -> bool:
    """Whether the token that begins at ``start`` cannot be cut off from the one that ends at ``before``."""
    if start == 0:
        return False
    first, last = text[start], text[start - 1]
    if whole_words and start == before:
        # Letters and digits, as most tokens begin and end, are no marks.
        if first.isalnum() and last.isalnum():
            return True
        if not (_separates(first) or _separates(last) or is_word_edge(text, start)):
            return True
    return not first.isascii() and (last == ZERO_WIDTH_JOINER or is_mark(first))


def _separates(character: str) -> bool:
    """White space, and what separates without being seen."""
    return character.isspace() or character in INVISIBLE


def is_mark(character: str) -> bool:
    """Combining marks, vowel signs, variation selectors and the joiner belong to the character before."""
    return character == ZERO_WIDTH_JOINER or unicodedata.category(character)[0] == "M"
