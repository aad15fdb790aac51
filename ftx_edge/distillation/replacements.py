"""Words that a corpus does not hold, put in the place of those that it does.

A student knows the words of its text, and people use others. The mPLM knows many more: pieces that are like
those of the language's text, by a linear probe on their embeddings, take the place of pieces that are near to
them. So TinyBERT (Jiao et al. 2020, appendix A) makes text, with the words near to each in GloVe and with
BERT's own proposals; here the mPLM's embeddings alone are asked.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ftx_edge.distillation.nearest import nearest
from ftx_edge.mplm.model import MultilingualTokenizer
from ftx_edge.pieces import is_wordpiece, is_writable, most_alike, parts, script, scripts_of
from ftx_edge.soft_labels import WordSpans
from ftx_edge.tokenization import Encoded, normalized
from ftx_edge.vectors import centred

NEIGHBOURS = 16


class Replacements:
    """For each piece that a corpus uses, new ones that could stand there.

    Args:
        tokenizer: the mPLM's.
        embeddings: float32 (V, H), of its pieces.
        texts: unlabelled text of one language.
        words: its words.
        vocab_size: so many pieces in all, the corpus's own included: new ones are those most like them.
        neighbours: how many of them a piece may give way to, those nearest to it.
    """

    def __init__(
        self,
        tokenizer: MultilingualTokenizer,
        embeddings: NDArray[np.float32],
        texts: Sequence[str],
        words: Sequence[WordSpans],
        *,
        vocab_size: int,
        neighbours: int = NEIGHBOURS,
    ) -> None:
        self._tokenizer = tokenizer
        self._near: dict[int, list[str]] = {}
        vocabulary = tokenizer.backend.get_vocab(with_added_tokens=False)
        wordpiece = is_wordpiece(vocabulary)
        pieces = {row: parts(piece, wordpiece=wordpiece) for piece, row in vocabulary.items()}
        used = _used(tokenizer.encode(texts, words)) & pieces.keys()
        own = [row for row in sorted(used) if any(map(str.isalpha, pieces[row][1]))]
        scripts = scripts_of(Counter(character for text in texts for character in normalized(text)))
        others = [
            row
            for row, (_, letters) in sorted(pieces.items())
            if row not in used and letters and is_writable(letters, scripts, normalized)
        ]
        order = most_alike(embeddings[own], embeddings[others])[: max(vocab_size - len(used), 0)]
        new = [others[place] for place in order]
        for kind in sorted({_kind(*pieces[row]) for row in new}):
            mine, theirs = ([row for row in rows if _kind(*pieces[row]) == kind] for rows in (own, new))
            keys = embeddings[theirs]
            centre = keys.mean(axis=0)
            found, _ = nearest(centred(embeddings[mine], centre), centred(keys, centre), neighbours)
            for row, places in zip(mine, found, strict=True):
                self._near[row] = [pieces[theirs[place]][1] for place in places]

    def __call__(self, text: str, words: WordSpans, rate: float, rng: random.Random) -> str:
        """Replace pieces that have neighbours with the probability ``rate``, one at least; "" if none has."""
        encoded = self._tokenizer.encode([text], [words])
        places = [
            (int(start), int(end), self._near[int(row)])
            for row, (start, end) in zip(encoded.ids, encoded.offsets, strict=True)
            if end > start and int(row) in self._near
        ]
        if not places:
            return ""
        chosen = [place for place in places if rng.random() < rate] or [rng.choice(places)]
        made, at = [], 0
        for start, end, near in chosen:
            if start >= at:
                made += [text[at:start], rng.choice(near)]
                at = end
        return "".join(made) + text[at:]


def _used(encoded: Encoded) -> set[int]:
    """The pieces of the texts themselves: not the prefix, nor special ones."""
    own = encoded.offsets[:, 1] > encoded.offsets[:, 0]
    return set(np.unique(encoded.ids[own]).tolist())


def _kind(begins: bool, letters: str) -> tuple[bool, str]:
    """What a piece shares with those that may take its place: where it stands in a word, and its script."""
    return begins, script(letters[0])
