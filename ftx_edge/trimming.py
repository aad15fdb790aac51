"""The student's tokenizer cut out of the mPLM's: those of its pieces that the language's text uses.

A multilingual vocabulary has 250,000 pieces, of which one language and domain use a few thousand; trimming
it loses next to nothing (Abdaoui et al. 2020, Load What You Need). Text is normalised as for every student
(NFKC, lower case): case tells little in utterances, people on a device type as they like, and each piece has
more text to learn from.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, models

from ftx_edge.errors import UsageError
from ftx_edge.pieces import METASPACE, is_writable, most_alike, script, scripts_of
from ftx_edge.soft_labels import WordSpans
from ftx_edge.tokenization import SPECIAL_TOKENS, UNK, bare_tokenizer, finished_tokenizer, segmented_texts


def scored_pieces(tokenizer: Tokenizer) -> dict[str, float]:
    """The pieces of a Unigram tokenizer and their log-probabilities, without its special tokens.

    Raises:
        UsageError: its model is another one.
    """
    content = json.loads(tokenizer.to_str())
    if content["model"]["type"] != "Unigram":
        raise UsageError(
            "a student with the mPLM's pieces needs an mPLM with a Unigram vocabulary (XLM-R, E5), "
            f'and this one has {content["model"]["type"]}: use "mplm-embeddings"'
        )
    special = {token["content"] for token in content["added_tokens"]}
    return {piece: score for piece, score in content["model"]["vocab"] if piece not in special}


def trimmed_tokenizer(
    mplm: Tokenizer,
    texts: Sequence[str],
    *,
    lang: str,
    words: Sequence[WordSpans] | None = None,
    own: int | None = None,
    cut: Callable[[str], Sequence[tuple[int, int]]] | None = None,
    vocab_size: int = 10_000,
    spare_pieces: int = 0,
    embeddings: NDArray[np.float32] | None = None,
    max_length: int = 128,
) -> Tokenizer:
    """A Unigram tokenizer of the mPLM's pieces that occur in ``texts``, most frequent first.

    Words that the text does not hold, and those whose pieces were too rare to be kept, fall apart into the
    pieces that are there, at worst into characters: every character of the text is a piece. Spare pieces let
    more of such words stay whole; their embeddings are not trained, but start near those of words like them.

    Args:
        mplm: the mPLM's tokenizer.
        texts: unlabelled training text of the language.
        lang: decides how words begin, as in ``train_tokenizer``.
        words: the words of each text, for unspaced languages: no piece is counted across two of them.
        own: so many of the texts, the first, are the language's own; others are made. All, if None.
        cut: the segmenter of an unspaced language; pieces of made texts alone that it cuts in two are left
            out: where words do not belong together, it does not see where they end.
        vocab_size: most pieces that occur in the text, special tokens included.
        spare_pieces: so many more that do not, in the scripts of the text, those most like its own pieces.
        embeddings: float32 (V, H), the mPLM's, which say what is alike; needed for spare pieces.
        max_length: longest encoding, ``[CLS]`` included; the rest is cut off.

    Raises:
        UsageError: the mPLM's tokenizer is no Unigram model, or there are more characters than
            ``vocab_size``.
    """
    scores = scored_pieces(mplm)
    whole = bare_tokenizer(models.Unigram([(UNK, 0.0), *scores.items()], unk_id=0), lang)
    counts: Counter[str] = Counter()
    characters: Counter[str] = Counter()
    segmented = list(segmented_texts(texts, words))
    encoded = whole.encode_batch(segmented)
    for text, encoding in zip(segmented, encoded, strict=True):
        counts.update(encoding.tokens)
        characters.update(whole.normalizer.normalize_str(text).replace(" ", ""))
    if cut is not None and own is not None:
        seen = {piece for encoding in encoded[:own] for piece in encoding.tokens}
        for piece in [piece for piece in counts if piece not in seen and len(cut(piece)) > 1]:
            del counts[piece]
    if METASPACE in "".join(encoding for encoding in counts):
        characters[METASPACE] = 1

    needed = sorted(characters, key=lambda c: (-characters[c], c))
    room = vocab_size - len(SPECIAL_TOKENS) - len(needed)
    if room < 0:
        raise UsageError(f"student.vocab_size {vocab_size}: the text has {len(needed)} different characters")
    frequent = [p for p, _ in sorted(counts.items(), key=lambda x: (-x[1], x[0])) if p in scores]
    alone = set(needed)
    kept = [piece for piece in frequent if piece not in alone][:room]
    # Characters that the mPLM does not know are less likely than any piece, and more than the unknown.
    lowest = min(scores.values()) - 1.0
    ranked = sorted([*kept, *needed], key=lambda p: (-counts[p], p))
    spare = []
    if spare_pieces:
        assert embeddings is not None
        spare = _spare(mplm, embeddings, scores, counts, characters, whole)[:spare_pieces]
    vocabulary = [(name, 0.0) for name in SPECIAL_TOKENS]
    vocabulary += [(piece, scores.get(piece, lowest)) for piece in (*ranked, *spare)]
    tokenizer = bare_tokenizer(models.Unigram(vocabulary, unk_id=SPECIAL_TOKENS.index(UNK)), lang)
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    return finished_tokenizer(tokenizer, max_length)


def _spare(
    mplm: Tokenizer,
    embeddings: NDArray[np.float32],
    scores: Mapping[str, float],
    counts: Mapping[str, int],
    characters: Mapping[str, int],
    whole: Tokenizer,
) -> list[str]:
    """Pieces that the text could hold and does not, those most like its own first."""
    scripts = scripts_of(characters)
    if METASPACE in characters:
        scripts.add(script(METASPACE))
    others = [
        piece
        for piece in sorted(scores)
        if piece not in counts
        and piece not in characters
        and is_writable(piece, scripts, whole.normalizer.normalize_str)
    ]
    own = sorted(piece for piece in counts if piece in scores)
    row = mplm.get_vocab()
    order = most_alike(*(embeddings[[row[piece] for piece in pieces]] for pieces in (own, others)))
    return [others[place] for place in order]
