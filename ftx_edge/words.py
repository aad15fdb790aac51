"""The words of a text, as character spans over the text as it is.

Words are needed where a model is trained or measured, and on the device only by packages that say so: a
teacher of tagging reads words, and span F1 is counted over them. Chinese, Japanese and Thai write no spaces,
so their words come from a dictionary; each such segmenter is an extra.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

from ftx_edge.errors import UsageError, require
from ftx_edge.runtime.word_edges import is_word_edge
from ftx_edge.utterance import INVISIBLE, cuts_character

DEFAULT_SEGMENTERS = {"zh": "jieba", "yue": "jieba", "ja": "fugashi", "th": "pythainlp"}

# What separates words: white space, and the zero-width space and byte order mark that no reader sees.
_CHUNK = re.compile(f"[^\\s{INVISIBLE}]+")


class Segmenter:
    """Cuts texts into words; call it with a text, from as many threads as you like.

    Whatever the method, words are in order, disjoint and not empty, together they cover all but white space,
    and no word's edge cuts a character from its combining marks.

    Attributes:
        name: what ``segmenter`` made it from; goes into the recipe and the manifest.
        version: of the library and dictionary behind it, empty where there is none.
        options: what of its library was chosen, for the manifest of packages that need it.
    """

    def __init__(
        self,
        name: str,
        pieces: Callable[[str], Iterable[str]],
        version: str = "",
        options: Mapping[str, str | bool] | None = None,
    ) -> None:
        self.name, self.version, self.options = name, version, dict(options or {})
        self._pieces = pieces

    def __call__(self, text: str) -> list[tuple[int, int]]:
        """The character offsets of each word, end exclusive."""
        words: list[tuple[int, int]] = []
        for chunk in _CHUNK.finditer(text):
            at, end = chunk.span()
            pieces = list(self._pieces(chunk[0]))
            if "".join(pieces) != chunk[0]:
                # A library that normalises what it reads: its pieces cannot be placed, the simple rule can.
                pieces = list(_apart(chunk[0]))
            start = at
            for piece in pieces:
                at += len(piece)
                if at > start and (at == end or not cuts_character(text, at)):
                    words.append((start, at))
                    start = at
        return words

    def __repr__(self) -> str:
        return f"Segmenter({' '.join(filter(None, (self.name, self.version)))!r})"


def segmenter(lang: str, name: str | None = None) -> Segmenter:
    """The segmenter of a language.

    Args:
        lang: language code, as in ``pt``, ``zh`` or ``zh-CN``.
        name: ``whitespace`` (between spaces, and where ``is_word_edge`` says so), ``characters``, ``jieba``
            (zh), ``fugashi`` (ja, with unidic-lite) or ``pythainlp`` (th, newmm); None takes the language's
            own, else ``whitespace``.

    Raises:
        UsageError: no such segmenter, or something that is not a language code.
        MissingExtraError: its library is not installed.
    """
    if not re.fullmatch(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]+)*", lang):
        raise UsageError(f"{lang!r} is not a language code: write it as in pt, ja or zh-CN")
    if name is None:
        name = DEFAULT_SEGMENTERS.get(re.split("[-_]", lang)[0].lower(), "whitespace")
    if name not in _MAKERS:
        raise UsageError(f"{name!r} is not a segmenter: choose from {', '.join(_MAKERS)}")
    for module, extra in _REQUIRED.get(name, ()):
        require(module, extra)
    return _MAKERS[name]()


@dataclass(frozen=True)
class SegmentedText:
    """A text with one space between its words, and where its characters come from.

    Args:
        text: the words, a single space between any two.
        origin: int32 (len(text),), the offset of each character in the untouched text; -1 for the spaces.
    """

    text: str
    origin: NDArray[np.int32]

    def back(self, offsets: NDArray[np.integer] | Sequence[tuple[int, int]]) -> NDArray[np.int32]:
        """Offsets (M, 2) in ``text`` as offsets (M, 2) in the untouched text, int32.

        Spaces at either end of a stretch are left out; a stretch that covers nothing else becomes (0, 0).
        """
        pairs = np.asarray(offsets, dtype=np.int64).reshape(-1, 2).clip(0, len(self.origin))
        real = self.origin >= 0
        # The first real character at or after each position, and the last before it.
        places = np.flatnonzero(real)
        before = np.concatenate([[0], np.cumsum(real)])
        first, last = before[pairs[:, 0]], before[pairs[:, 1]] - 1
        found = last >= first
        result = np.zeros(pairs.shape, dtype=np.int32)
        result[found, 0] = self.origin[places[first[found]]]
        result[found, 1] = self.origin[places[last[found]]] + 1
        return result


def segmented(text: str, words: Sequence[tuple[int, int]]) -> SegmentedText:
    """``text`` with exactly one space between its words: what teachers of unspaced languages are shown."""
    origin: list[int] = []
    for start, end in words:
        if origin:
            origin.append(-1)
        origin.extend(range(start, end))
    return SegmentedText(
        " ".join(text[start:end] for start, end in words), np.asarray(origin, dtype=np.int32).reshape(-1)
    )


def _apart(chunk: str) -> Iterable[str]:
    """Runs of letters, digits and marks; punctuation and symbols one by one, save those within a word."""
    start = 0
    for at in range(1, len(chunk)):
        if is_word_edge(chunk, at):
            yield chunk[start:at]
            start = at
    yield chunk[start:]


def _whitespace() -> Segmenter:
    return Segmenter("whitespace", _apart)


def _characters() -> Segmenter:
    return Segmenter("characters", iter)


@cache
def _jieba() -> Segmenter:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import jieba
    tokenizer = jieba.Tokenizer()
    # What initialize() does, without the cache file that it shares with all users of the machine.
    with tokenizer.get_dict_file() as dictionary:
        tokenizer.FREQ, tokenizer.total = tokenizer.gen_pfdict(dictionary)
    tokenizer.initialized = True
    # Without the model that guesses unknown words: they are joined to their neighbours, across edges of
    # spans.
    return Segmenter("jieba", lambda chunk: tokenizer.cut(chunk, HMM=False), version("jieba"), {"HMM": False})


@cache
def _fugashi() -> Segmenter:
    import fugashi

    # Named, so that another dictionary that happens to be installed does not change the words.
    dictionary = import_module("unidic_lite").DICDIR
    tagger = fugashi.GenericTagger(f'-d "{dictionary}" -r "{dictionary}/mecabrc" -Owakati')
    # One call that gives a string: nodes would point into a lattice that the next call, of another thread
    # perhaps, overwrites.
    return Segmenter(
        "fugashi",
        lambda chunk: tagger.parse(chunk).split(),
        f"{version('fugashi')}, unidic-lite {version('unidic-lite')}",
        {"dictionary": "unidic-lite"},
    )


@cache
def _pythainlp() -> Segmenter:
    from pythainlp.tokenize import word_tokenize

    # The "safe" one is newmm with a bound on the time that an ambiguous text takes.
    return Segmenter(
        "pythainlp",
        lambda chunk: word_tokenize(chunk, engine="newmm-safe"),
        version("pythainlp"),
        {"engine": "newmm-safe"},
    )


_REQUIRED = {
    "jieba": (("jieba", "zh"),),
    "fugashi": (("fugashi", "ja"), ("unidic_lite", "ja")),
    "pythainlp": (("pythainlp", "th"),),
}
_MAKERS: dict[str, Callable[[], Segmenter]] = {
    "whitespace": _whitespace,
    "characters": _characters,
    "jieba": _jieba,
    "fugashi": _fugashi,
    "pythainlp": _pythainlp,
}
