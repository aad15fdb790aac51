"""Words, characters and subwords of one text brought together (numpy only).

Teacher and student cut a text differently. Both say where each of their units (words or pieces) stands as
character offsets, and here the distributions over BIO tags that one gives for its units become distributions
for the other's.

- ``bridge``: through the characters; every token gets a target. The default.
- ``first_subword``: only the first token of each word gets one (FreeTransfer-X, section 2.2.2).
- ``words_from_tokens``: back from tokens to words, to compare models that cut differently.

Units must not hold the white space that some tokenizers count to a piece, or a span that begins with the
piece
seems to begin at the space: ``visible_offsets`` takes it off.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ftx_edge.spans import bio_tags, tag_labels
from ftx_edge.utterance import INVISIBLE

ALIGNMENTS = ("character-bridge", "first-subword")
SPACE_MARKERS = "\u2581\u0120 "
"""What SentencePiece and byte-level BPE write for a space."""

Floats = NDArray[np.float32]
Offsets = NDArray[np.int64]


def bridge(
    unit_offsets: ArrayLike, unit_probs: ArrayLike, token_offsets: ArrayLike, tags: Sequence[str]
) -> tuple[Floats, Floats]:
    """Carry tag distributions from one segmentation of a text to another, over its characters.

    *Units to characters.* A unit's first character carries the unit's distribution; its later characters
    carry the same with all ``B-x`` mass moved to ``I-x``, for they continue what the first one began. A
    character under several units belongs to the first of them.

    *Characters to tokens.* A token sees the characters that it covers and that some unit covers. Its mass for
    ``O`` and for each label x (``B-x`` and ``I-x`` together) is the mean over them. What is ``B-x`` and what
    ``I-x`` is decided where the token begins: as far as the first character already has mass for x, the
    token's mass is split between ``B-x`` and ``I-x`` as that character splits it; what goes beyond comes from
    a span that begins inside the token, and is ``B-x``. Of tokens that share their first character (the bytes
    of one letter) only the first can start there; for the others it continues.

    So the same segmentation on both sides changes nothing; a token inside a unit gives ``B-x`` only where the
    unit starts; a token over units ``B-x I-x`` is ``B-x``, one over ``I-x I-x`` is ``I-x``, one over ``O
    B-x`` is half ``O``, half ``B-x``.

    Args:
        unit_offsets: int (U, 2), character offsets, end exclusive; empty (0, 0) for units that cover no text.
        unit_probs: float (U, K), a distribution over ``tags`` a unit.
        token_offsets: int (T, 2), of the tokens that the targets are for; empty for special ones and padding.
        tags: K BIO tags, with ``B-x`` and ``I-x`` of each label, in the order of the columns.

    Returns:
        targets float32 (T, K), rows sum to what the units' rows sum to; weight float32 (T,), 1 where the
        token covers a character that a unit covers, else 0 (and its target is zero).

    Raises:
        ValueError: shapes that do not fit, or a tag set that is not BIO.
    """
    units, probs = _offsets(unit_offsets), _probs(unit_probs, len(tags))
    tokens = _offsets(token_offsets)
    if len(units) != len(probs):
        raise ValueError(f"{len(units)} units but {len(probs)} distributions")
    outside, begin, inside = tag_columns(tuple(tags))
    targets = np.zeros((len(tokens), len(tags)), dtype=np.float32)
    weight = np.zeros(len(tokens), dtype=np.float32)

    length = int(max(units.max(initial=0), tokens.max(initial=0)))
    owner = _owners(units, length)

    # One row for every (token, labelled character) pair, in order of token and character.
    token, character = _covered(tokens)
    labelled = owner[character] >= 0
    token, character = token[labelled], character[labelled]
    if not len(token):
        return targets, weight
    unit = owner[character]
    first = np.concatenate([[True], token[1:] != token[:-1]])
    rows = np.flatnonzero(first)
    seen = token[rows]
    counts = np.diff(np.append(rows, len(token))).astype(np.float32)[:, None]
    mass = probs[:, begin] + probs[:, inside]

    # At the first character: mass for each label, and how much of it continues a span from before the token.
    first_mass = mass[unit[rows]]
    starts = (character[rows] == units[unit[rows], 0]) & (_owners(tokens, length)[character[rows]] == seen)
    continues = np.where(starts[:, None], probs[unit[rows]][:, inside], first_mass)
    share = np.divide(continues, first_mass, out=np.zeros_like(continues), where=first_mass > 0)

    # Means over the characters of each token: of O, of each label, and of what was there from the first
    # character on.
    which = np.cumsum(first) - 1
    pair_mass = mass[unit]
    total = np.add.reduceat(pair_mass, rows) / counts
    lasting = np.add.reduceat(np.minimum(pair_mass, first_mass[which]), rows) / counts
    targets[seen, outside] = np.add.reduceat(probs[unit, outside], rows) / counts[:, 0]
    targets[np.ix_(seen, inside)] = lasting * share
    targets[np.ix_(seen, begin)] = np.maximum(total - lasting * share, 0)
    weight[seen] = 1.0
    return targets, weight


def first_subword(
    word_offsets: ArrayLike, word_probs: ArrayLike, token_offsets: ArrayLike
) -> tuple[Floats, Floats]:
    """Give each word's distribution to the first token that overlaps it (FreeTransfer-X, section 2.2.2).

    A token that is first for several words keeps the first of them; words that no token overlaps (cut off by
    the token limit) get none.

    Args:
        word_offsets: int (W, 2), character offsets in order, end exclusive.
        word_probs: float (W, K).
        token_offsets: int (T, 2), in order; empty (0, 0) for special tokens and padding.

    Returns:
        targets float32 (T, K); weight float32 (T,), 1 on the first tokens, else 0 (and the target is zero).

    Raises:
        ValueError: shapes that do not fit.
    """
    probs = _probs(word_probs, None)
    tokens = _offsets(token_offsets)
    first = _first_overlapping(_offsets(word_offsets), tokens)
    if len(first) != len(probs):
        raise ValueError(f"{len(first)} words but {len(probs)} distributions")
    targets = np.zeros((len(tokens), probs.shape[1]), dtype=np.float32)
    weight = np.zeros(len(tokens), dtype=np.float32)
    found = np.flatnonzero(first >= 0)[::-1]  # the first word last, so that it stays
    targets[first[found]] = probs[found]
    weight[first[found]] = 1.0
    return targets, weight


def words_from_tokens(
    token_offsets: ArrayLike,
    token_probs: ArrayLike,
    word_offsets: ArrayLike,
    mode: str,
    tags: Sequence[str] = (),
) -> tuple[Floats, Floats]:
    """A distribution a word from distributions a token.

    Args:
        token_offsets: int (T, 2), in order; empty (0, 0) for special tokens and padding.
        token_probs: float (T, K).
        word_offsets: int (W, 2).
        mode: ``first-subword``, the first token that overlaps the word, or ``character-bridge`` (``bridge``).
        tags: K BIO tags; only ``character-bridge`` needs them.

    Returns:
        probs float32 (W, K); weight float32 (W,), 0 for words that no token overlaps (their row is zero):
        words beyond the token limit.

    Raises:
        ValueError: shapes that do not fit, or another mode.
    """
    if mode == "character-bridge":
        return bridge(token_offsets, token_probs, word_offsets, tags)
    if mode != "first-subword":
        raise ValueError(f"{mode!r} is not an alignment: choose from {', '.join(ALIGNMENTS)}")
    probs = _probs(token_probs, None)
    tokens = _offsets(token_offsets)
    if len(tokens) != len(probs):
        raise ValueError(f"{len(tokens)} tokens but {len(probs)} distributions")
    first = _first_overlapping(_offsets(word_offsets), tokens)
    found = first >= 0
    words = np.zeros((len(first), probs.shape[1]), dtype=np.float32)
    words[found] = probs[first[found]]
    return words, found.astype(np.float32)


def visible_offsets(text: str, offsets: ArrayLike, pieces: Sequence[str] | None = None) -> Offsets:
    """Offsets without the white space at their ends; (0, 0) where nothing else is left.

    Tokenizers differ in whether the space before a word belongs to its first piece, and some give it a piece
    of its own. Such a piece must not carry a word's tag; SentencePiece even puts one before words that no
    space precedes, and gives it their first character, which only its name betrays.

    Args:
        text: the text.
        offsets: int (M, 2).
        pieces: what the tokenizer calls the units; one that is nothing but a space marker becomes (0, 0).

    Returns:
        int64 (M, 2).

    Raises:
        ValueError: another number of pieces than offsets.
    """
    pairs = _offsets(offsets).clip(0, len(text))
    visible = np.fromiter((not char.isspace() and char not in INVISIBLE for char in text), bool, len(text))
    places = np.flatnonzero(visible)
    before = np.concatenate([[0], np.cumsum(visible)])
    first, last = before[pairs[:, 0]], before[pairs[:, 1]] - 1
    result = np.zeros_like(pairs)
    found = last >= first
    if pieces is not None:
        if len(pieces) != len(pairs):
            raise ValueError(f"{len(pieces)} pieces but {len(pairs)} offsets")
        found &= np.fromiter((bool(piece.strip(SPACE_MARKERS)) for piece in pieces), bool, len(pairs))
    result[found, 0] = places[first[found]]
    result[found, 1] = places[last[found]] + 1
    return result


def _offsets(offsets: ArrayLike) -> Offsets:
    """Checked, and without the pieces that only mark the beginning of a word.

    SentencePiece puts such a piece before a word that no space precedes and gives it the word's first
    character, where the next piece begins too and goes on.
    """
    array = np.asarray(offsets, dtype=np.int64)
    if array.size == 0:
        return np.zeros((0, 2), dtype=np.int64)
    if array.ndim != 2 or array.shape[1] != 2:
        raise ValueError(f"offsets must have the shape (count, 2), not {array.shape}")
    if array.min() < 0:
        raise ValueError(f"offsets must not be negative: {int(array.min())}")
    marker = (array[:-1, 0] == array[1:, 0]) & (array[:-1, 1] < array[1:, 1])
    if marker.any():
        array = array.copy()
        array[:-1][marker] = 0
    return array


def _probs(probs: ArrayLike, columns: int | None) -> Floats:
    array = np.asarray(probs, dtype=np.float32)
    if array.size == 0:
        return np.zeros((0, array.shape[-1] if columns is None else columns), dtype=np.float32)
    if array.ndim != 2 or columns not in (None, array.shape[1]):
        raise ValueError(f"distributions have the shape {array.shape}, expected (count, {columns or 'tags'})")
    return array


@lru_cache(maxsize=64)
def tag_columns(tags: tuple[str, ...]) -> tuple[int, Offsets, Offsets]:
    """The column of ``O``, and those of ``B-x`` and of ``I-x``, in the order of the labels.

    Raises:
        ValueError: not a whole set of BIO tags.
    """
    at = {tag: column for column, tag in enumerate(tags)}
    labels = tag_labels(tags)
    missing = [tag for tag in bio_tags(labels) if tag not in at]
    if missing:
        raise ValueError(f"not a whole set of BIO tags: {', '.join(missing)} missing")
    if len(at) < len(tags):
        raise ValueError("not a set of BIO tags: one is in it twice")
    begin = np.array([at[f"B-{label}"] for label in labels], dtype=np.int64)
    inside = np.array([at[f"I-{label}"] for label in labels], dtype=np.int64)
    return at["O"], begin, inside


def _covered(offsets: Offsets) -> tuple[Offsets, Offsets]:
    """Each (row, character) pair of rows that cover characters, in order of row, then character."""
    lengths = np.maximum(offsets[:, 1] - offsets[:, 0], 0)
    row = np.repeat(np.arange(len(offsets)), lengths)
    skipped = np.cumsum(lengths) - lengths
    return row, np.arange(len(row)) - skipped[row] + offsets[row, 0]


def _owners(offsets: Offsets, length: int) -> Offsets:
    """For each of ``length`` characters and one more the first row that covers it, -1 where none does."""
    owner = np.full(length + 1, -1, dtype=np.int64)
    row, character = _covered(offsets[::-1])
    owner[character] = len(offsets) - 1 - row  # the first row is written last, and stays
    return owner


def _first_overlapping(words: Offsets, tokens: Offsets) -> Offsets:
    """For each word the index of the first token that shares a character with it, -1 where none does."""
    owner = _owners(tokens, int(max(words.max(initial=0), tokens.max(initial=0))))
    owner[owner < 0] = len(tokens)
    first = np.full(len(words), len(tokens), dtype=np.int64)
    word, character = _covered(words)
    np.minimum.at(first, word, owner[character])
    return np.where(first < len(tokens), first, -1)
