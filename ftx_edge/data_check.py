"""What is in some data files, and what looks wrong with it: read before a long run, not after."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from pathlib import Path

from ftx_edge.data import read_numbered
from ftx_edge.errors import DataError
from ftx_edge.spans import unaligned
from ftx_edge.tokenization import UNSPACED
from ftx_edge.utterance import Utterance
from ftx_edge.words import Segmenter, segmenter

MAX_CHARACTERS = 400
MAX_WORDS = 64
SHOWN = 5

# Scripts that one language alone, or nearly so, is written in; others (Latin, Cyrillic, Arabic ...) tell
# nothing.
_LANGUAGE_OF_SCRIPT = {
    "HANGUL": "ko",
    "THAI": "th",
    "HEBREW": "he",
    "GREEK": "el",
    "TAMIL": "ta",
    "TELUGU": "te",
    "KANNADA": "kn",
    "MALAYALAM": "ml",
    "GUJARATI": "gu",
    "ARMENIAN": "hy",
    "GEORGIAN": "ka",
    "KHMER": "km",
    "LAO": "lo",
    "MYANMAR": "my",
    "SINHALA": "si",
}

_MARKUP = re.compile(r"<[A-Za-z/!][^<>]*>|&(?:[a-z]{2,8}|#\d{1,6});|https?://|\]\(|\*\*|```")


@dataclass(frozen=True)
class Finding:
    """Something about one line that is worth a look.

    Args:
        path: the file.
        line: its line, counted from 1.
        kind: ``markup``, ``replacement-character``, ``control-character``, ``too-long``, ``no-letters``,
            ``edge-space``, ``cut-word`` (a span that begins or ends inside one), or ``unusable``.
        detail: what was found.
    """

    path: Path
    line: int
    kind: str
    detail: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.kind}: {self.detail}"


@dataclass(frozen=True)
class Repeat:
    """A text that a file holds more than once.

    Args:
        text: the text as it first stands; case, width and white space do not make it another.
        lines: where it stands.
        labels: the different labels that it has: with more than one, at least one is wrong or the text is
        ambiguous.
    """

    text: str
    lines: tuple[int, ...]
    labels: tuple[str, ...]


@dataclass(frozen=True)
class FileReport:
    """What one file holds.

    Args:
        path: the file.
        utterances: how many.
        distinct: how many, texts that repeat counted once.
        labels: how often each label occurs, by name; empty where there are none.
        span_labels: how often each span label occurs, by name.
        labelled, tagged: utterances with a label, and with spans known (none is known, too).
        scripts: share of the letters in each script, the most frequent first.
        language: what the scripts alone tell, None where they tell nothing (as with Latin letters).
        characters, words: median, 99 % point and maximum of a text; words are what white space separates.
        repeats: texts that occur more than once, most frequent first.
        findings: suspicious lines, in order.
        unusable: lines whose record every other command would refuse, in order; they count nowhere else.
    """

    path: Path
    utterances: int
    distinct: int
    labels: dict[str, int]
    span_labels: dict[str, int]
    labelled: int
    tagged: int
    scripts: dict[str, float]
    language: str | None
    characters: tuple[int, int, int]
    words: tuple[int, int, int]
    repeats: tuple[Repeat, ...]
    findings: tuple[Finding, ...]
    unusable: tuple[Finding, ...]


@dataclass(frozen=True)
class Overlap:
    """Texts that two files share: a test set that the training text contains measures memory.

    Args:
        first, second: the files.
        texts: how many different texts are in both.
        share: of the smaller one's different texts.
        lines: up to five pairs of lines, one of each file, where the same text stands.
    """

    first: Path
    second: Path
    texts: int
    share: float
    lines: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class DataReport:
    """What ``check_data`` found."""

    files: tuple[FileReport, ...]
    overlaps: tuple[Overlap, ...]

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The suspicious lines of all files."""
        return tuple(finding for file in self.files for finding in file.findings)

    @property
    def unusable(self) -> tuple[Finding, ...]:
        """The lines of all files that nothing can read."""
        return tuple(finding for file in self.files for finding in file.unusable)

    @property
    def clean(self) -> bool:
        """No suspicious or unusable line, no text with two labels, nothing in two files."""
        ambiguous = any(len(repeat.labels) > 1 for file in self.files for repeat in file.repeats)
        return not (self.findings or self.unusable or self.overlaps or ambiguous)


def check_data(
    files: Sequence[Path | str], *, max_characters: int = MAX_CHARACTERS, max_words: int = MAX_WORDS
) -> DataReport:
    """Read files and report what is in them.

    Args:
        files: in any format of ``read_utterances``.
        max_characters: a longer text is a finding.
        max_words: so is one with more words (by white space; where there is none, only characters count).

    Raises:
        DataError: a file that cannot be read, or in which no line can be used.
        UsageError: a format that is not known.
    """
    reports: list[FileReport] = []
    texts: list[dict[str, int]] = []
    for path in map(Path, files):
        unusable: list[DataError] = []
        numbered = read_numbered(path, unusable=unusable)
        places: dict[str, list[int]] = defaultdict(list)
        for index, (_, utterance) in enumerate(numbered):
            places[_key(utterance.text)].append(index)
        refused = tuple(Finding(path, error.line or 0, "unusable", error.problem) for error in unusable)
        reports.append(_file_report(path, numbered, refused, places, max_characters, max_words))
        texts.append({key: numbered[where[0]][0] for key, where in places.items()})
    overlaps = []
    for one, other in combinations(range(len(reports)), 2):
        shared = [key for key in texts[one] if key in texts[other]]
        if shared:
            overlaps.append(
                Overlap(
                    reports[one].path,
                    reports[other].path,
                    len(shared),
                    len(shared) / min(len(texts[one]), len(texts[other])),
                    tuple((texts[one][key], texts[other][key]) for key in shared[:SHOWN]),
                )
            )
    return DataReport(tuple(reports), tuple(overlaps))


def _file_report(
    path: Path,
    numbered: Sequence[tuple[int, Utterance]],
    unusable: tuple[Finding, ...],
    places: dict[str, list[int]],
    max_characters: int,
    max_words: int,
) -> FileReport:
    utterances = [utterance for _, utterance in numbered]
    scripts = _scripts(utterances)
    language = _language(scripts)
    # Languages with spaces have the same words.
    cut = segmenter("en") if language not in UNSPACED else None
    repeated = sorted((where for where in places.values() if len(where) > 1), key=lambda where: -len(where))
    return FileReport(
        path=path,
        utterances=len(utterances),
        distinct=len(places),
        labels=_counts(u.label for u in utterances if u.label is not None),
        span_labels=_counts(span.label for u in utterances for span in u.spans or ()),
        labelled=sum(u.label is not None for u in utterances),
        tagged=sum(u.spans is not None for u in utterances),
        scripts=scripts,
        language=language,
        characters=_spread([len(u.text) for u in utterances]),
        words=_spread([len(u.text.split()) for u in utterances]),
        repeats=tuple(
            Repeat(
                utterances[where[0]].text,
                tuple(numbered[index][0] for index in where),
                tuple(sorted({label for index in where if (label := utterances[index].label) is not None})),
            )
            for where in repeated
        ),
        findings=tuple(
            Finding(path, line, kind, detail)
            for line, utterance in numbered
            for kind, detail in (
                *_suspicions(utterance.text, max_characters, max_words),
                *_cut_words(utterance, cut),
            )
        ),
        unusable=unusable,
    )


def _suspicions(text: str, max_characters: int, max_words: int) -> Iterator[tuple[str, str]]:
    words = len(text.split())
    if len(text) > max_characters:
        yield "too-long", f"{len(text)} characters, more than {max_characters}"
    elif words > max_words:
        yield "too-long", f"{words} words, more than {max_words}"
    if markup := _MARKUP.search(text):
        yield "markup", f"{markup[0][:40]!r}: is this a text that a person says or types?"
    if "\ufffd" in text:
        yield "replacement-character", "U+FFFD: the file was decoded wrongly on its way here"
    if odd := next((char for char in text if char != "\t" and unicodedata.category(char) == "Cc"), None):
        yield "control-character", f"U+{ord(odd):04X}"
    if not any(char.isalpha() for char in text):
        yield "no-letters", f"{text[:40]!r}: only digits, punctuation or symbols"
    if text != text.strip():
        yield "edge-space", "white space at the start or end of the text"


def _cut_words(utterance: Utterance, cut: Segmenter | None) -> Iterator[tuple[str, str]]:
    """Spans that do not begin and end with words; where a dictionary makes the words, none is looked for."""
    if not utterance.spans or cut is None:
        return
    for span in unaligned(utterance.spans, cut(utterance.text)):
        covered = utterance.text[span.start : span.end]
        yield "cut-word", f"{span.label} {covered[:40]!r}: a tagger's spans begin and end with whole words"


def _key(text: str) -> str:
    """What makes two texts the same: case, width, composition of accents and white space do not count."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _counts(names: Iterator[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items()))


def _spread(sizes: list[int]) -> tuple[int, int, int]:
    ordered = sorted(sizes)
    last = len(ordered) - 1
    return ordered[last // 2], ordered[round(0.99 * last)], ordered[last]


def _scripts(utterances: Sequence[Utterance]) -> dict[str, float]:
    letters: Counter[str] = Counter()
    for char, count in Counter(char for u in utterances for char in u.text).items():
        if char.isalpha():
            letters[_script(char)] += count
    total = letters.total()
    return {script: count / total for script, count in letters.most_common()}


@lru_cache(maxsize=1 << 16)
def _script(char: str) -> str:
    """The script of a letter, as the first word of its Unicode name."""
    name = unicodedata.name(unicodedata.normalize("NFKC", char)[0], "UNKNOWN")
    return "HAN" if name.startswith("CJK") else name.split()[0].split("-")[0]


def _language(scripts: dict[str, float]) -> str | None:
    """The language, where the script alone tells it: Japanese by its kana, Chinese by Han without kana."""
    kana = scripts.get("HIRAGANA", 0) + scripts.get("KATAKANA", 0)
    if kana >= 0.2:
        return "ja"
    if scripts.get("HAN", 0) >= 0.5 and kana < 0.02:
        return "zh"
    first = next(iter(scripts), "")
    return _LANGUAGE_OF_SCRIPT.get(first) if scripts.get(first, 0) >= 0.5 else None
