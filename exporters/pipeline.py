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
from ftx_edge.exporters.gate import Agreement, CheckedGraph, Gate, StudentSession
from ftx_edge.exporters.graph import to_onnx
from ftx_edge.exporters.package import (
    archive_of,
    check_size,
    check_target,
    compatibility_files,
    entries,
    write_package,
)
from ftx_edge.exporters.quantize import products, quantize
from ftx_edge.exporters.sensitivity import leave_float
from ftx_edge.exporters.timing import median_latency, processor_name
from ftx_edge.runtime.loading import open_session
from ftx_edge.runtime.manifest import CARD, FP32, INT8, MANIFEST, FileEntry, Manifest
from ftx_edge.runtime.package import Package
from ftx_edge.students import StudentConfig, load_student
from ftx_edge.students.model import count_parameters
from ftx_edge.tokenization import UNSPACED
from ftx_edge.words import Segmenter
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
        kept_float: names of the products that the int8 graph leaves in float32, the most sensitive first;
            usually none.
        products: how many there are that int8 can compute.
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
    kept_float: tuple[str, ...] = ()
    products: int = 0

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
            "kept_float": list(self.kept_float),
            "products": self.products,
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
        max_drop: the most that ``Agreement.drop`` may be, of either graph. An int8 graph above it gets up to
            half of its products back in float32, the most sensitive first.
        max_size: bytes of all files together, as a number or as ``6MB``; also where products stay float32.
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
        UsageError: no held-out text, ``out`` holds something else, a share that is not between 0 and 1, a
            score both given and to be chosen, or no ``teacher_labels`` to choose by.
        FtxError: not a student, or the disk is full.
        MissingExtraError: onnx, or the segmenter, is not installed.
    """
    require("onnx", "export")
    texts = list(held_out)[:MOST_GATE_TEXTS]
    if not texts:
        raise UsageError("no held-out text: without it no export can be checked")
    shares = {"--max-drop": max_drop, "--min-score": min_score, "--min-agreement": min_agreement}
    for name, share in shares.items():
        if share is not None and not 0 <= share <= 1:
            raise UsageError(f"{name} {share:g} is no share: write it between 0 and 1")
    if min_score is not None and min_agreement is not None:
        raise UsageError("--min-score gives the score that --min-agreement is to find: leave one of them out")
    out = Path(out)
    check_target(out, archive)
    cut = segmenter_of(language, segmenter) if segmenter else None
    student, tokenizer = load_student(Path(student_folder))
    files = compatibility_files(student.config, tokenizer.to_str())
    manifest = _manifest(student.config, language, alignment, cut, provenance or {}, entries(files))
    # The text as the package will read it, behind its segmenter if it has one.
    session: Any = StudentSession(student)
    reader = Package(manifest, tokenizer, session, segmenter=cut)
    gate = Gate.of(student, reader, texts)

    wanted = temperature = abstention = None
    # A score set by hand can do without the teacher's labels, on whatever has a label.
    by_hand = min_score is not None and (any(teacher_labels) or not student.config.labels)
    if calibrate or min_agreement is not None or by_hand:
        wanted = columns_of(teacher_labels[: len(texts)], student.config.labels)
    if calibrate and wanted is not None and gate.reference.labels is not None:
        temperature = fit_temperature(gate.reference.labels, wanted)
        scale_labels(student, temperature)
        gate = Gate.of(student, reader, texts)

    full = to_onnx(student)
    graphs = _checked_graphs(full, gate, int8=int8, max_drop=max_drop)
    model_file = INT8 if int8 else FP32
    runs = graphs[model_file]
    if wanted is not None and runs.answers.labels is not None:
        if min_agreement is not None:
            abstention = lowest_score(runs.answers.labels, wanted, min_agreement)
        elif min_score is not None:
            abstention = abstain(runs.answers.labels, wanted, min_score)

    files |= {name: graph.content for name, graph in graphs.items() if name == model_file or fp32}
    sureness: dict[str, Any] = {} if temperature is None else {"temperature": temperature}
    sureness |= {"abstention": abstention.to_dict()} if abstention else {}
    manifest = replace(
        manifest,
        min_score=abstention.min_score if abstention else min_score,
        measured={**(measured or {}), **sureness, "export": _figures(graphs, len(products(full)))},
    )
    precisions = tuple(_PRECISIONS[name] for name in files if name in _PRECISIONS)
    card = model_card(manifest, precisions, count_parameters(student))
    manifest = replace(manifest, files=entries(files))
    files[CARD] = card.encode()
    files[MANIFEST] = manifest.to_json().encode()
    check_size(files, max_size, _left(runs, full) if runs.kept_float else "")

    package = Package(manifest, tokenizer, open_session(runs.content, model_file), segmenter=cut)
    archive_path = archive_of(out) if archive else None
    write_package(files, out, archive_path)
    return ExportResult(
        language=language,
        folder=out,
        archive=archive_path,
        sizes={name: len(files[name]) for name in sorted(files)},
        fp32=graphs[FP32].agreement,
        int8=graphs[INT8].agreement if int8 else None,
        latency_ms=median_latency(package, texts[:200]),
        processor=processor_name(),
        temperature=temperature,
        abstention=abstention,
        kept_float=runs.kept_float,
        products=len(products(full)),
    )


def _manifest(
    config: StudentConfig,
    language: str,
    alignment: str,
    cut: Segmenter | None,
    provenance: Mapping[str, Any],
    files: Mapping[str, FileEntry],
) -> Manifest:
    """What a package says of its student, before anything was measured."""
    return Manifest(
        task=config.task,
        language=language,
        architecture=config.architecture,
        labels=config.labels,
        tags=config.tags,
        max_length=config.max_length,
        files=files,
        span_boundaries=_boundaries(config, language, cut),
        alignment=alignment,
        segmenter=cut.name if cut else None,
        segmenter_options=cut.options if cut else {},
        provenance={
            **provenance,
            **({"segmenter": f"{cut.name} {cut.version}".strip()} if cut else {}),
            "onnx": onnx.__version__,
        },
    )


def _boundaries(config: StudentConfig, language: str, cut: Segmenter | None) -> str:
    """Where spans may begin and end, as ``Manifest.span_boundaries``; a segmenter says it by itself."""
    if language.split("-")[0] not in UNSPACED:
        return "word"
    return "model" if config.word_starts and cut is None else "token"


def _checked_graphs(
    full: onnx.ModelProto, gate: Gate, *, int8: bool, max_drop: float
) -> dict[str, CheckedGraph]:
    """The float32 graph and, if asked for, the int8 one, by the names of their files.

    Raises:
        GateError: above ``max_drop``, the int8 graph also with half of its products in float32.
    """
    graphs = {FP32: gate.check(full, FP32)}
    if int8:
        graphs[INT8] = gate.check(quantize(full), INT8)
    failed = {name: graph.agreement for name, graph in graphs.items() if graph.agreement.drop > max_drop}
    if not failed:
        return graphs
    tried = ""
    # Where the float32 graph fails too, more of it does not help.
    if list(failed) == [INT8] and (mixed := leave_float(full, gate, max_drop)):
        if mixed.agreement.drop <= max_drop:
            return graphs | {INT8: mixed}
        tried = f"; still {mixed.agreement.drop:.2%} {_left(mixed, full)}"
    figures = "; ".join(f"{_PRECISIONS[name]}: {agreement}" for name, agreement in failed.items())
    drop = max(agreement.drop for agreement in failed.values())
    raise GateError(
        f"the export loses {drop:.2%}, above the limit of {max_drop:.2%}: {figures}{tried}: "
        "nothing was written (--max-drop sets the limit)"
    )


def _left(graph: CheckedGraph, full: onnx.ModelProto) -> str:
    return f"with {len(graph.kept_float)} of {len(products(full))} products left in float32"


def _figures(graphs: Mapping[str, CheckedGraph], count: int) -> dict[str, dict[str, Any]]:
    """The gate's figures for the manifest; of a graph with products left in float32, these, of ``count``."""
    figures = {_PRECISIONS[name]: graph.agreement.to_dict() for name, graph in graphs.items()}
    for name, graph in graphs.items():
        if graph.kept_float:
            figures[_PRECISIONS[name]] |= {"products": count, "float32_products": list(graph.kept_float)}
    return figures
