"""A student becomes a package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import onnx

from ftx_edge.errors import GateError, UsageError, require
from ftx_edge.exporters.card import model_card
from ftx_edge.exporters.confidence import (
    Abstention,
    abstain,
    columns_of,
    fit_temperature,
    lowest_score,
    scale_labels,
)
from ftx_edge.exporters.gate import Agreement, StudentSession, answers, check_lengths, compare
from ftx_edge.exporters.graph import to_onnx
from ftx_edge.exporters.package import (
    check_size,
    check_target,
    compatibility_files,
    entries,
    write_package,
)
from ftx_edge.exporters.quantize import quantize
from ftx_edge.exporters.timing import median_latency, processor_name
from ftx_edge.runtime.loading import open_session
from ftx_edge.runtime.manifest import FP32, INT8, MANIFEST, Manifest
from ftx_edge.runtime.package import Package
from ftx_edge.students import load_student
from ftx_edge.students.model import count_parameters
from ftx_edge.tokenization import UNSPACED
from ftx_edge.words import segmenter as segmenter_of

_PRECISIONS = {FP32: "fp32", INT8: "int8"}

MOST_GATE_TEXTS = 1000
"""Held-out texts that the gate reads at most: seconds, and enough to see 1 % of change."""


@dataclass(frozen=True, slots=True)
class ExportResult:
    """A package that was written.

    Args:
        language: of the student.
        folder: the package.
        archive: the same as one ``.ftx`` file; None if it was not asked for.
        sizes: bytes of each file.
        fp32: agreement of the float32 graph with the student.
        int8: agreement of the int8 graph with the student; None without it.
        temperature: by which the label's logits were divided; None: as the student gives them.
        abstention: what the package withholds; None: nothing, or what the run cannot tell.
        latency_ms: median time of a prediction with the graph that runs, tokenizer included, one thread.
            It is not in the package: the same run exports the same bytes on a slower day too.
        processor: that it was measured on.
    """

    language: str
    folder: Path
    archive: Path | None
    sizes: Mapping[str, int]
    fp32: Agreement
    int8: Agreement | None
    latency_ms: float
    processor: str
    temperature: float | None = None
    abstention: Abstention | None = None

    @property
    def size(self) -> int:
        """Bytes of all files of the package."""
        return sum(self.sizes.values())

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "language": self.language,
            "folder": str(self.folder),
            "archive": None if self.archive is None else str(self.archive),
            "size": self.size,
            "sizes": dict(self.sizes),
            "fp32": self.fp32.to_dict(),
            "int8": None if self.int8 is None else self.int8.to_dict(),
            "temperature": self.temperature,
            "abstention": None if self.abstention is None else self.abstention.to_dict(),
            "latency_ms": round(self.latency_ms, 4),
            "processor": self.processor,
        }


def export_student(
    student_folder: Path | str,
    held_out: Sequence[str],
    out: Path | str,
    *,
    language: str,
    int8: bool = True,
    fp32: bool = False,
    max_drop: float = 0.01,
    max_size: int | str | None = None,
    archive: bool = True,
    alignment: str = "character-bridge",
    segmenter: str | None = None,
    teacher_labels: Sequence[str | None] = (),
    calibrate: bool = False,
    min_score: float | None = None,
    min_agreement: float | None = None,
    provenance: Mapping[str, Any] | None = None,
    measured: Mapping[str, Any] | None = None,
) -> ExportResult:
    """Export one student as a package. Nothing is written before everything was checked.

    The same student and texts give the same bytes: nothing that is measured in time goes into the package.

    Args:
        student_folder: as ``save_student`` writes it.
        held_out: unlabelled texts for the gate; the first 1,000 are read.
        out: the package folder; ``out`` with ``.ftx`` appended is the archive. A package that lies
            there is replaced.
        language: code of the language that the student serves.
        int8: write the int8 graph.
        fp32: write the float32 graph; without ``int8`` it is written in any case.
        max_drop: the most that ``Agreement.drop`` may be, of either graph.
        max_size: bytes of all files together, as a number or as ``6MB``.
        archive: write the ``.ftx`` file too.
        alignment: of the tags that the student learned, as in the recipe.
        segmenter: name of a word segmenter, as in ``words.segmenter``, that the package will need on the
            device; the gate checks the graph behind it.
        teacher_labels: what the student's teacher calls each held-out text; needed by the next ones.
        calibrate: divide the label's logits by the temperature at which the scores say best how often the
            teacher gives the same label.
        min_score: the score below which the package withholds its label.
        min_agreement: choose that score: the lowest that keeps agreement with the teacher, among held-out
            texts that are answered, at this share.
        provenance: goes into the manifest and the model card.
        measured: likewise; the gate's figures are added as ``export``.

    Raises:
        GateError: a graph says something else than the student, the package is too large, or no score
            keeps ``min_agreement``.
        UsageError: no held-out text, ``out`` holds something else, a score both given and to be chosen, or
            no ``teacher_labels`` to choose by.
        FtxError: not a student, or the disk is full.
        MissingExtraError: onnx, or the segmenter, is not installed.
    """
    require("onnx", "export")
    texts = list(held_out)[:MOST_GATE_TEXTS]
    if not texts:
        raise UsageError("no held-out text: without it no export can be checked")
    if min_score is not None and min_agreement is not None:
        raise UsageError("--min-score gives the score that --min-agreement is to find: leave one of them out")
    out = Path(out)
    check_target(out)
    cut = segmenter_of(language, segmenter) if segmenter else None
    student, tokenizer = load_student(Path(student_folder))
    config = student.config
    files = compatibility_files(config, tokenizer.to_str())
    manifest = Manifest(
        task=config.task,
        language=language,
        architecture=config.architecture,
        labels=config.labels,
        tags=config.tags,
        max_length=config.max_length,
        files=entries(files),
        span_boundaries="token" if language.split("-")[0] in UNSPACED else "word",
        alignment=alignment,
        segmenter=cut.name if cut else None,
        segmenter_options=cut.options if cut else {},
        provenance={
            **(provenance or {}),
            **({"segmenter": f"{cut.name} {cut.version}".strip()} if cut else {}),
            "onnx": onnx.__version__,
        },
    )
    # The text as the package will read it, behind its segmenter if it has one.
    session: Any = StudentSession(student)
    reader = Package(manifest, tokenizer, session, segmenter=cut)
    encoded = [reader.encode(text) for text in texts]
    reference = answers(session, student, encoded)

    wanted = temperature = abstention = None
    # A score set by hand can do without the teacher's labels, on whatever has a label.
    by_hand = min_score is not None and (any(teacher_labels) or not config.labels)
    if calibrate or min_agreement is not None or by_hand:
        wanted = columns_of(teacher_labels[: len(texts)], config.labels)
    if calibrate and wanted is not None and reference.labels is not None:
        temperature = fit_temperature(reference.labels, wanted)
        scale_labels(student, temperature)
        reference = answers(session, student, encoded)

    full = to_onnx(student)
    graphs = {FP32: full.SerializeToString(deterministic=True)}
    if int8:
        graphs[INT8] = quantize(full).SerializeToString(deterministic=True)
    files |= {name: content for name, content in graphs.items() if name == INT8 or fp32 or not int8}
    model_file = INT8 if int8 else FP32

    agreements: dict[str, Agreement] = {}
    for name, content in graphs.items():
        session = open_session(content, name)
        check_lengths(session, student, exact=name == FP32)
        graph = answers(session, student, encoded)
        agreements[_PRECISIONS[name]] = compare(reference, graph, texts, encoded, reader)
        if name == model_file and wanted is not None and graph.labels is not None:
            if min_agreement is not None:
                abstention = lowest_score(graph.labels, wanted, min_agreement)
            elif min_score is not None:
                abstention = abstain(graph.labels, wanted, min_score)
    _check_drop(agreements, max_drop)

    sureness: dict[str, Any] = {} if temperature is None else {"temperature": temperature}
    sureness |= {"abstention": abstention.to_dict()} if abstention else {}
    manifest = replace(
        manifest,
        min_score=abstention.min_score if abstention else min_score,
        measured={
            **(measured or {}),
            **sureness,
            "export": {precision: figures.to_dict() for precision, figures in agreements.items()},
        },
    )
    precisions = tuple(_PRECISIONS[name] for name in files if name in _PRECISIONS)
    card = model_card(manifest, precisions, count_parameters(student))
    files["README.md"] = card.encode()
    manifest = replace(manifest, files=entries(files))
    files[MANIFEST] = manifest.to_json().encode()
    check_size(files, max_size)

    session = open_session(graphs[model_file], model_file)
    package = Package(manifest, tokenizer, session, segmenter=cut)
    archive_path = out.with_name(f"{out.name}.ftx") if archive else None
    write_package(files, out, archive_path)
    return ExportResult(
        language=language,
        folder=out,
        archive=archive_path,
        sizes={name: len(files[name]) for name in sorted(files)},
        fp32=agreements["fp32"],
        int8=agreements.get("int8"),
        latency_ms=median_latency(package, texts[:200]),
        processor=processor_name(),
        temperature=temperature,
        abstention=abstention,
    )


def _check_drop(agreements: Mapping[str, Agreement], max_drop: float) -> None:
    failed = {name: figures for name, figures in agreements.items() if figures.drop > max_drop}
    if failed:
        figures = "; ".join(f"{name}: {agreement}" for name, agreement in failed.items())
        drop = max(agreement.drop for agreement in failed.values())
        raise GateError(
            f"the export loses {drop:.2%}, above the limit of {max_drop:.2%}: {figures}: nothing was written "
            "(--max-drop sets the limit)"
        )
