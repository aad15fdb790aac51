"""A file of utterances through a translator."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftx_edge.data import Utterance, read_utterances
from ftx_edge.errors import FtxError, UsageError
from ftx_edge.files import write_atomically
from ftx_edge.translation.cache import TranslationCache
from ftx_edge.translation.table import HEADER, as_cell
from ftx_edge.translation.texts import Status, Translation, count, translate_texts
from ftx_edge.translation.translator import SEARCHING, open_translator

if TYPE_CHECKING:
    from ftx_edge.distillation.progress import Progress


@dataclass(frozen=True, slots=True)
class TranslateResult:
    """What `translate` did.

    Attributes:
        ok, empty, failed: texts by how their translation came out; their sum is ``total``.
        cached: different texts whose translation was at hand before.
        failures: the first few texts that failed, with the reason.
    """

    source: str
    out: str
    translator: str
    total: int
    ok: int
    empty: int
    failed: int
    cached: int
    failures: tuple[Translation, ...]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        fields = {name: getattr(self, name) for name in self.__slots__ if name != "failures"}
        return {**fields, "failures": [{"text": t.text, "error": t.error} for t in self.failures]}


def translate(
    source: Path | str,
    *,
    mt: str,
    out: Path | str,
    source_lang: str | None = None,
    target_lang: str | None = None,
    beams: int = 1,
    max_length: int = 128,
    device: str = "cpu",
    threads: int = 1,
    batch_size: int = 32,
    partition: str | None = None,
    cache: Path | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> TranslateResult:
    """Translate the texts of a file; labels and spans are not carried over.

    ``out`` has a record for each record of ``source``, in its order, whatever became of it. By its name it is

    - ``.jsonl``: ``{"text": translation, "source": text, "id"?}``, with ``"status": "empty" | "failed"`` and
      ``"error"`` where there is no translation;
    - ``.tsv``: the columns source, text and status; ``table:`` reads it, without what failed;
    - ``.txt``: the translation, a blank line where there is none.

    A call that was killed goes on where it was when it is made again: every batch is in the cache.

    Args:
        mt: a translator by name, see `open_translator`; there also languages, beams, length, device, threads.
        cache: file that keeps translations; default ``translations.sqlite`` in the user's cache folder.
        overwrite: replace an ``out`` that exists; never ``source`` itself.

    Raises:
        UsageError: unknown translator, or an ``out`` of another kind, that exists, or that is ``source``.
        DataError: a ``source`` that cannot be read.
        FtxError: every single text failed; nothing is written.
    """
    source, out = Path(source), Path(out)
    if out.suffix not in _WRITERS:
        raise UsageError(f"{out}: translations are written as {', '.join(_WRITERS)}")
    if out.exists() and source.exists() and out.samefile(source):
        raise UsageError(f"{out} is the file to be translated: choose another --out")
    if out.exists() and not overwrite:
        raise UsageError(f"{out} exists: choose another --out, or add --overwrite")
    if batch_size < 1:
        raise UsageError("batch size must be at least 1")
    if beams > 1 and mt.partition(":")[0] not in SEARCHING:
        raise UsageError(f"translator {mt!r} searches without beams: leave --beams out")
    utterances = read_utterances(source, partition)
    translator = open_translator(
        mt,
        source=source_lang,
        target=target_lang,
        beams=beams,
        max_length=max_length,
        device=device,
        threads=threads,
    )
    kept = TranslationCache(cache or _default_cache())
    texts = [utterance.text for utterance in utterances]
    different = list(dict.fromkeys(texts))
    cached = sum(answer is not None for answer in kept.get(translator.fingerprint, different))
    translations = translate_texts(texts, translator, cache=kept, batch_size=batch_size, progress=progress)
    counts = count(translations)
    failures = tuple(t for t in translations if t.status is Status.FAILED)
    if len(failures) == len(translations):
        raise FtxError(
            f"{mt} translated none of the {len(texts)} texts; the first failed with {failures[0].error}"
        )
    with write_atomically(out) as aside:
        aside.write_text(_WRITERS[out.suffix](utterances, translations), encoding="utf-8")
    return TranslateResult(
        source=str(source),
        out=str(out),
        translator=translator.name,
        total=len(translations),
        ok=counts[Status.OK],
        empty=counts[Status.EMPTY],
        failed=counts[Status.FAILED],
        cached=cached,
        failures=failures[:5],
    )


def _default_cache() -> Path:
    from ftx_edge.mplm.offline import cache_folder

    return cache_folder() / "translations.sqlite"


def _jsonl(utterances: Sequence[Utterance], translations: Sequence[Translation]) -> str:
    lines = []
    for utterance, translation in zip(utterances, translations, strict=True):
        row: dict[str, Any] = {} if utterance.id is None else {"id": utterance.id}
        row |= {"text": translation.translation, "source": utterance.text}
        if translation.status is not Status.OK:
            row["status"] = translation.status.value
        if translation.error is not None:
            row["error"] = translation.error
        lines.append(json.dumps(row, ensure_ascii=False) + "\n")
    return "".join(lines)


def _tsv(utterances: Sequence[Utterance], translations: Sequence[Translation]) -> str:
    rows = [HEADER, *((as_cell(t.text), as_cell(t.translation), t.status.value) for t in translations)]
    return "".join("\t".join(row) + "\n" for row in rows)


def _txt(utterances: Sequence[Utterance], translations: Sequence[Translation]) -> str:
    return "".join(as_cell(translation.translation) + "\n" for translation in translations)


_WRITERS = {".jsonl": _jsonl, ".tsv": _tsv, ".txt": _txt}
