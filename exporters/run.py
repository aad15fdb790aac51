"""The students of a run become packages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ftx_edge.data import read_utterances
from ftx_edge.errors import FtxError, GateError, UsageError
from ftx_edge.exporters.pipeline import ExportResult, export_student
from ftx_edge.recipe import Recipe
from ftx_edge.runs import RunLayout, kept_evaluation
from ftx_edge.students import load_student
from ftx_edge.tokenization import UNSPACED
from ftx_edge.utterance import Utterance
from ftx_edge.words import segmenter as segmenter_of


def export(
    run: Path | str,
    languages: str | Sequence[str] | None = None,
    *,
    int8: bool = True,
    fp32: bool = False,
    out: Path | str | None = None,
    max_drop: float = 0.01,
    max_size: int | str | None = None,
    archive: bool = True,
    segmenter: str | None = None,
    calibrate: bool = False,
    min_score: float | None = None,
    min_agreement: float | None = None,
) -> list[ExportResult]:
    """Export the students of a run, each as a package ``<language>`` and ``<language>.ftx``.

    Args:
        run: a run folder.
        languages: which students, or one; None: all that are finished.
        int8: write the int8 graph.
        fp32: write the float32 graph; without ``int8`` it is written in any case.
        out: the folder that the packages go into; None: ``packages`` of the run.
        max_drop: see ``export_student``.
        max_size: see ``export_student``.
        archive: write the ``.ftx`` file too.
        segmenter: see ``export_student``; None: what the students need. A tagger that learned first subwords
            of a language without spaces needs the segmenter that it learned with, others need none.
        calibrate, min_score, min_agreement: see ``export_student``.

    Raises:
        FtxError: not a run, or one of its files is missing or damaged.
        UsageError: a language that it has no finished student of.
        And what ``export_student`` raises.
    """
    layout = RunLayout(Path(run))
    record = layout.read_record()
    finished = layout.languages()
    chosen = [languages] if isinstance(languages, str) else list(dict.fromkeys(languages or finished))
    if unknown := sorted(set(chosen) - set(finished)):
        raise UsageError(
            f"{run} has no finished student of {', '.join(unknown)}; it has: {', '.join(finished) or 'none'}"
        )
    if not chosen:
        raise UsageError(f"{run} has no finished student: run ftx-edge distill on it first")
    recipe = Recipe.read(layout.recipe)
    results: list[ExportResult] = []
    for language in chosen:
        stage = record["stages"][f"students/{language}"]
        held_out = _held_out(layout.held_out(language))
        try:
            result = export_student(
                layout.student(language),
                [utterance.text for utterance in held_out],
                layout.package(language) if out is None else Path(out) / language,
                language=language,
                int8=int8,
                fp32=fp32,
                max_drop=max_drop,
                max_size=max_size,
                archive=archive,
                alignment=recipe.alignment,
                segmenter=segmenter or _needed_segmenter(layout, recipe, language, stage),
                teacher_labels=[utterance.label for utterance in held_out],
                calibrate=calibrate,
                min_score=min_score,
                min_agreement=min_agreement,
                provenance={
                    "recipe": record.get("recipe"),
                    "seed": record.get("seed"),
                    "inputs": record.get("inputs", {}),
                    "versions": record.get("versions", {}),
                    "supervised": bool(stage.get("supervised")),
                },
                measured={"student": _student_figures(stage, len(held_out))},
            )
        except GateError as error:
            if len(chosen) == 1:
                raise
            before = ", ".join(result.language for result in results) or "none"
            raise GateError(f"{language}: {error}; packages written before it: {before}") from error
        results.append(result)
    return results


def _student_figures(stage: Mapping[str, Any], held_out: int) -> dict[str, Any]:
    """The student against its teacher on so many held-out texts, as its training has measured it."""
    kept = kept_evaluation(stage)
    heads: dict[str, Any] = {n: kept[n] for n in ("label_agreement", "tag_agreement") if n in kept}
    figures = {"kl": stage.get("loss"), **(heads or {"agreement": stage.get("agreement")}), "texts": held_out}
    return {name: round(value, 4) for name, value in figures.items() if value is not None}


def _held_out(path: Path) -> list[Utterance]:
    """Held-out texts, with the labels that the teacher gives them (None where the run does not say)."""
    if not path.is_file():
        raise FtxError(f"{path} is missing: the gate has nothing to check the export on")
    return read_utterances(path)


def _needed_segmenter(
    layout: RunLayout, recipe: Recipe, language: str, stage: Mapping[str, Any]
) -> str | None:
    """What a tagger of first subwords learned with; none where spaces and punctuation say the same."""
    name = stage.get("segmenter") or recipe.data.segmenters.get(language)
    is_spaced = language.split("-")[0] not in UNSPACED and name in (None, "whitespace")
    if recipe.alignment != "first-subword" or is_spaced:
        return None
    student, _ = load_student(layout.student(language))
    return (name or segmenter_of(language).name) if student.config.tags else None
