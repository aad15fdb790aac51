"""``run:<folder>#mplm`` and ``run:<folder>#<language>``: a run's models as teachers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from ftx_edge.errors import FtxError
from ftx_edge.files import sha256_of
from ftx_edge.mplm.model import Laid, load_mplm
from ftx_edge.mplm.states import MeanStates, read_laid
from ftx_edge.recipe import Recipe
from ftx_edge.runs import RunLayout
from ftx_edge.soft_labels import Said, WordSpans
from ftx_edge.students.model import load_student
from ftx_edge.teachers.model import ModelTeacher
from ftx_edge.tokenization import encode


def open_run(
    name: str, *, device: torch.device, precision: str = "fp32", kept: Path | None = None
) -> ModelTeacher:
    """Open an mPLM (``folder#mplm``, ``folder#mplm-naive``; for another language than English
    ``folder#mplm@pt``) or a student (``folder#pt``). ``kept`` as in ``mplm_teacher``.
    """
    folder, _, part = name.partition("#")
    layout = RunLayout(Path(folder))
    part, _, language = part.partition("@")
    whole_words = layout.recipe.is_file() and Recipe.read(layout.recipe).alignment == "first-subword"
    if part in ("", "mplm") or part.startswith("mplm-"):
        stage = part or "mplm"
        return mplm_teacher(
            layout.mplm_of(stage),
            device=device,
            precision=precision,
            whole_words=whole_words,
            laid=laid_in(layout, language, stage),
            kept=kept,
        )
    if not layout.student(part).is_dir():
        there = ", ".join(["mplm", *layout.languages()])
        raise FtxError(f"{folder} has no student for {part!r}: it has {there}")
    return student_teacher(layout.student(part), device=device, whole_words=whole_words)


def laid_in(layout: RunLayout, language: str, stage: str) -> Laid | None:
    """How a run laid a language on English in an mPLM, as `mplm_teacher` takes it; None if it did not."""
    if language == "en" or not layout.center(language, stage).is_file():
        return None
    return read_laid(layout.center(language, stage), layout.center("en", stage))


def mplm_teacher(
    folder: Path,
    *,
    device: torch.device,
    precision: str = "fp32",
    whole_words: bool = False,
    laid: Laid | None = None,
    kept: Path | None = None,
) -> ModelTeacher:
    """The mPLM that step 1 left in ``folder``.

    Args:
        folder: as ``save_mplm`` wrote it.
        device: where it computes.
        precision: ``fp32``, ``bf16`` or ``fp16``.
        whole_words: as in ``ModelTeacher``.
        laid: as in ``MultilingualModel``.
        kept: folder for the mean states of the texts that a classifier is asked of, and of those that another
            with the same encoder was: for encoders that step 1 did not train.
    """
    model, tokenizer = load_mplm(folder)
    model.laid = laid
    fingerprint = sha256_of(folder / "heads.safetensors") + sha256_of(folder / "model.safetensors")
    fingerprint = f"{fingerprint}:{precision}:{laid.fingerprint if laid else ''}"
    if kept and not model.tags:
        states = MeanStates(model, tokenizer, device=device, precision=precision, folder=kept)
        return _HeadTeacher(states, fingerprint)
    return ModelTeacher(
        model,
        tokenizer.encode,
        labels=model.labels,
        tags=model.tags,
        pad_id=model.pad_id,
        fingerprint=fingerprint,
        device=device,
        precision=precision,
        whole_words=whole_words,
    )


class _HeadTeacher(ModelTeacher):
    """The label head of an mPLM on mean states that may be known already."""

    def __init__(self, states: MeanStates, fingerprint: str) -> None:
        model = states.model.eval()
        super().__init__(
            model,
            states.tokenizer.encode,
            labels=model.labels,
            tags=(),
            pad_id=model.pad_id,
            fingerprint=fingerprint,
            device=states.device,
            precision=states.precision,
        )
        self._states = states

    @torch.inference_mode()
    def ask(self, texts: Sequence[str], words: Sequence[WordSpans] | None = None) -> Said:
        """Labels alone."""
        means = torch.from_numpy(self._states.of(texts)).to(self.device)
        return Said(self._states.model.label_logits(means).softmax(dim=-1).cpu().numpy(), None)


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
