"""What `evaluate` is asked of: a package, a run, a teacher, or translate-test, opened as a teacher."""

from __future__ import annotations

from pathlib import Path

from ftx_edge.errors import UsageError
from ftx_edge.runs import RunLayout
from ftx_edge.soft_labels import Teacher


def name_of(target: str | Teacher) -> str:
    """A target as it was asked for; of an object its ``name``, or else its class."""
    return target if isinstance(target, str) else getattr(target, "name", type(target).__name__)


def open_target(
    target: str | Teacher, language: str | None, tagging: bool, device: str
) -> tuple[Teacher, str | None, str | None]:
    """The target as a teacher, its language, and the mPLM of its run, where that is another model.

    Args:
        target: as in `evaluate`.
        language: of the test set, if it was said.
        tagging: spans alone are known of the test set.
        device: of torch models.

    Raises:
        UsageError: no such target, or one of another language.
    """
    if not isinstance(target, str):
        return target, language, None
    spec, language, run = _resolve(target, language)
    part = spec.rpartition("#")[2].partition("@")[0]
    has_own = run is not None and (run / "mplm").is_dir() and part != "mplm"
    return _open(spec, tagging, device), language, f"run:{run}#mplm" if has_own else None


def _resolve(target: str, language: str | None) -> tuple[str, str | None, Path | None]:
    """The target as the specification of a teacher, its language, and the run that it belongs to."""
    from ftx_edge.teachers import KINDS
    from ftx_edge.translation.translate_test import PREFIX

    kind, _, rest = target.partition(":")
    if target.startswith(PREFIX):
        return target, language, None
    if kind == "run":
        folder, _, part = rest.partition("#")
        part, _, spoken = part.partition("@")
        if not part and not (Path(folder) / "mplm").is_dir():
            return _resolve(folder, language)
        if part in ("", "mplm") or part.startswith("mplm-"):
            language = language or spoken or None
            mplm = f"run:{folder}#{part or 'mplm'}"
            return mplm + (f"@{language}" if language else ""), language, Path(folder)
        return target, _same_language(target, part, language), Path(folder)
    if kind in KINDS and kind != "package":
        return target, language, None
    path = Path(rest if kind == "package" else target)
    if (path / "run.json").is_file():
        students = RunLayout(path).languages()
        if not students:
            raise UsageError(
                f"{path} has no finished student yet: go on distilling, or evaluate run:{path}#mplm"
            )
        if language is None and len(students) != 1:
            raise UsageError(f"{path} has students for {', '.join(students)}: say which language")
        language = language or students[0]
        return f"run:{path}#{language}", language, path
    if not path.exists():
        raise UsageError(
            f"{target}: no package, no run, and no teacher ({', '.join(f'{k}:' for k in KINDS)})"
        )
    if kind == "package" and path.is_dir() and not (path / "ftx.json").exists():
        return target, language, None  # somebody else's ONNX model
    from ftx_edge.runtime.contents import open_contents

    with open_contents(path) as contents:
        language = _same_language(target, contents.manifest.language, language)
    # runs/demo/packages/pt, and runs/demo/packages/pt.ftx
    run = path.resolve().parent.parent
    return f"package:{path}", language, run if (run / "run.json").is_file() else None


def _same_language(target: str, own: str, asked: str | None) -> str:
    """The language of a student, as asked for; raises UsageError where that is another one."""
    if asked is not None and asked.partition("-")[0].lower() != own.partition("-")[0].lower():
        raise UsageError(f"{target} is of {own}, and the test set is said to be {asked}: leave --lang out")
    return asked or own


def _open(spec: str, tagging: bool, device: str) -> Teacher:
    from ftx_edge.teachers import open_teacher
    from ftx_edge.translation.translate_test import PREFIX, open_translate_test

    if spec.startswith(PREFIX):
        return open_translate_test(spec, device=device)
    kind, _, name = spec.partition(":")
    if kind == "hf" and not tagging:
        from ftx_edge.teachers.hf import is_tagger

        tagging = is_tagger(name)
    return open_teacher(spec, tagging=tagging and kind in ("hf", "python", "recorded"), device=device)
