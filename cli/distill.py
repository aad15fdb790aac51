"""`ftx-edge distill`: an English model and unlabelled text become students."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ftx_edge.cli.options import Json, Seed
from ftx_edge.cli.output import print_json, print_table
from ftx_edge.cli.progress import duration, progress
from ftx_edge.errors import UsageError

if TYPE_CHECKING:
    from ftx_edge.distillation import DistillResult, Plan
    from ftx_edge.distillation.fit import FitResult

_TEXT, _MODELS, _HOW = "Text", "Models", "How"


def distill_cli(
    recipe: Annotated[
        Path | None,
        typer.Argument(metavar="[RECIPE.toml]", help="A recipe; the options below override it."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The run's folder; by default runs/ and the name of the recipe.")
    ] = None,
    source: Annotated[
        Path | None, typer.Option(help="Unlabelled English utterances.", rich_help_panel=_TEXT)
    ] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LANG=FILE",
            help="Unlabelled utterances of a target language; repeat for more languages.",
            rich_help_panel=_TEXT,
        ),
    ] = None,
    teacher: Annotated[
        str | None,
        typer.Option(
            metavar="KIND:WHERE",
            help="The English model: hf:PATH, package:PATH, recorded:FILE or python:MODULE:FUNCTION.",
            rich_help_panel=_MODELS,
        ),
    ] = None,
    tag_teacher: Annotated[
        str | None,
        typer.Option(
            metavar="KIND:WHERE",
            help="An English tagger, for spans; with --teacher, one student does both.",
            rich_help_panel=_MODELS,
        ),
    ] = None,
    mplm: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The multilingual LM: a Hugging Face id or folder, or offline:e5-small.",
            rich_help_panel=_MODELS,
        ),
    ] = None,
    student: Annotated[
        Literal["transformer", "bilstm", "cnn", "static"] | None,
        typer.Option(help="Architecture of the students.", rich_help_panel=_MODELS),
    ] = None,
    device: Annotated[
        Literal["auto", "cuda", "mps", "cpu"] | None,
        typer.Option(help="Where to compute; auto takes what is there.", rich_help_panel=_HOW),
    ] = None,
    precision: Annotated[
        Literal["auto", "fp32", "bf16", "fp16"] | None,
        typer.Option(help="Of the arithmetic in training.", rich_help_panel=_HOW),
    ] = None,
    seed: Seed = None,
    epochs: Annotated[
        float | None, typer.Option(help="Passes over the text, in each step.", rich_help_panel=_HOW)
    ] = None,
    max_steps: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Most updates, in each step; those of the learning-rate range test come on top.",
            rich_help_panel=_HOW,
        ),
    ] = None,
    reuse: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            help="Take step 1 from another run with the same teacher, text and settings.",
            rich_help_panel=_HOW,
        ),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="For what runs may share: translations, states of the untouched multilingual LM; by default "
            "one in the run.",
            rich_help_panel=_HOW,
        ),
    ] = None,
    jobs: Annotated[
        int,
        typer.Option(min=1, help="Processes to share the students among.", rich_help_panel=_HOW),
    ] = 1,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and roughly how long it takes.")
    ] = False,
    json: Json = False,
) -> None:
    """Distil an English model into one small student for each language, from unlabelled text.

    Step 1 teaches the multilingual LM what the English model knows; step 2 teaches a student of each language
    what the multilingual LM knows. No label is read. A run that was stopped goes on where it was: repeat the
    command. Students of several languages are made at once by --jobs. On several GPUs: accelerate launch -m
    ftx_edge.cli distill ...

    \b
    Examples:
        ftx-edge distill examples/massive-pt/recipe.toml --out runs/pt
        ftx-edge distill --teacher hf:my-model --source en.txt \\
            --target pt=pt.txt --target de=de.txt --student cnn --out runs/mine
        ftx-edge distill recipe.toml --dry-run
    """
    from ftx_edge import Recipe, distill, plan

    effective = (Recipe.read(recipe) if recipe else Recipe()).override(
        {
            "data.source": str(source) if source else None,
            "data.targets": targets(target or []) or None,
            "teacher.label": teacher,
            "teacher.tag": tag_teacher,
            "mplm.name": mplm,
            "student.architecture": student,
            "device": device,
            "precision": precision,
            "seed": seed,
            "step1.epochs": epochs,
            "balance.epochs": epochs,
            "step2.epochs": epochs,
            "step1.max_steps": max_steps,
            "step2.max_steps": max_steps,
        }
    )
    folder = out or (Path("runs") / recipe.stem if recipe else None)
    if dry_run:
        planned = plan(effective, folder)
        print_json(planned) if json else _print_plan(planned)
        return
    if folder is None:
        raise UsageError("where to? add --out RUN, a folder for the run")
    # Under `accelerate launch` several processes run this; the first one speaks.
    first = os.environ.get("RANK", "0") == "0"
    with progress(quiet=not first) as shown:
        result = distill(effective, folder, reuse=reuse, cache=cache, jobs=jobs, progress=shown)
    if first:
        print_json(result) if json else _print_result(result)


def _print_plan(planned: Plan) -> None:
    heads = [f"{planned.labels} labels"] * bool(planned.labels) + [f"{planned.tags} tags"] * bool(
        planned.tags
    )
    print(f"teacher {planned.teacher}: {', '.join(heads)}; {planned.device}, {planned.precision}")
    print_table(
        ("stage", "utterances", "steps", "about"),
        [
            (s.name, f"{s.utterances:,}", f"{s.steps:,}", "done before" if s.done else duration(s.seconds))
            for s in planned.stages
        ],
    )
    if all(stage.done for stage in planned.stages):
        print("all of it is done; nothing was done now")
    else:
        print(f"about {duration(planned.seconds)} to go, on this machine as it is; nothing was done now")


def _print_result(result: DistillResult) -> None:
    fits = {"mplm": result.mplm, **result.students}
    print_table(
        ("student", "KL to teacher", "agreement", "steps", "kept", "learning rate", "time"),
        [
            (
                name,
                f"{fit.loss:.4f}",
                _agreement(fit),
                f"{fit.steps:,}",
                f"{fit.best_step:,}",
                f"{fit.learning_rate:.1e}",
                duration(fit.seconds),
            )
            for name, fit in fits.items()
        ],
    )
    print(f"{result.run}: done in {duration(result.seconds)}; next: ftx-edge export {result.run} --int8")


def _agreement(fit: FitResult) -> str:
    """Of each head; of runs that did not yet tell them apart, of both together."""
    heads = {"label_agreement": "", "tag_agreement": " of tags"}
    shares = [f"{100 * fit.kept[k]:.1f} %{of}" for k, of in heads.items() if k in fit.kept]
    return ", ".join(shares) or f"{100 * fit.agreement:.1f} %"


def targets(pairs: list[str]) -> dict[str, str]:
    """``["pt=a.txt"]`` as ``{"pt": "a.txt"}``; raises UsageError for what is not LANG=FILE."""
    files: dict[str, str] = {}
    for pair in pairs:
        language, equals, file = pair.partition("=")
        if not (language and equals and file):
            raise UsageError(f"--target {pair!r}: write LANG=FILE, for example --target pt=pt.txt")
        if not re.fullmatch(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]+)*", language):
            raise UsageError(f"--target {pair!r}: {language!r} is no language code, such as pt or zh-CN")
        if language in files:
            raise UsageError(f"--target {language} is given twice")
        files[language] = file
    return files
