"""``run:<folder>#mplm`` and ``run:<folder>#<language>``: a run's models as teachers."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ftx_edge.errors import FtxError
from ftx_edge.files import sha256_of, sha256_of_text
from ftx_edge.mplm.model import load_mplm
from ftx_edge.mplm.states import read_shift
from ftx_edge.recipe import Recipe
from ftx_edge.runs import RunLayout
from ftx_edge.students.model import load_student
from ftx_edge.teachers.model import ModelTeacher
from ftx_edge.tokenization import encode


def open_run(name: str, *, device: torch.device, precision: str = "fp32") -> ModelTeacher:
    """Open an mPLM (``folder#mplm``, ``folder#mplm-naive``; for another language than English
    ``folder#mplm@pt``) or a student (``folder#pt``).
    """
    folder, _, part = name.partition("#")
    layout = RunLayout(Path(folder))
    part, _, language = part.partition("@")
    whole_words = layout.recipe.is_file() and Recipe.read(layout.recipe).alignment == "first-subword"
    if part in ("", "mplm") or part.startswith("mplm-"):
        stage, shift = part or "mplm", None
        if language != "en" and layout.center(language, stage).is_file():
            shift = read_shift(layout.center(language, stage), layout.center("en", stage))
        return mplm_teacher(
            layout.mplm_of(stage),
            device=device,
            precision=precision,
            whole_words=whole_words,
            shift=shift,
        )
    if not layout.student(part).is_dir():
        there = ", ".join(["mplm", *layout.languages()])
        raise FtxError(f"{folder} has no student for {part!r}: it has {there}")
    return student_teacher(layout.student(part), device=device, whole_words=whole_words)


def mplm_teacher(
    folder: Path,
    *,
    device: torch.device,
    precision: str = "fp32",
    whole_words: bool = False,
    shift: Tensor | None = None,
) -> ModelTeacher:
    """The mPLM that step 1 left in ``folder``; ``shift`` as in ``MultilingualModel``."""
    model, tokenizer = load_mplm(folder)
    moved = ""
    if shift is not None:
        model.shift.copy_(shift)
        moved = sha256_of_text(str(shift.tolist()))
    fingerprint = sha256_of(folder / "heads.safetensors") + sha256_of(folder / "model.safetensors")
    return ModelTeacher(
        model,
        tokenizer.encode,
        labels=model.labels,
        tags=model.tags,
        pad_id=model.pad_id,
        fingerprint=f"{fingerprint}:{precision}:{moved}",
        device=device,
        precision=precision,
        whole_words=whole_words,
    )


def student_teacher(folder: Path, *, device: torch.device, whole_words: bool = False) -> ModelTeacher:
    """The student in ``folder``; it reads raw text and gives a tag for every subword, or every word."""
    student, tokenizer = load_student(folder)
    return ModelTeacher(
        student,
        lambda texts, _words: encode(tokenizer, texts),
        labels=student.config.labels,
        tags=student.config.tags,
        pad_id=0,
        fingerprint=sha256_of(folder / "model.safetensors"),
        device=device,
        whole_words=whole_words,
    )
