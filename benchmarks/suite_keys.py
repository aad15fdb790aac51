"""What the results of a suite depend on, as hashes: by them a cell is known to be done, and step 1 is shared.

Inputs are taken to stay as they are while a process reads one `Suite`.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path

from ftx_edge.benchmarks.suite import GOLD, SOURCE, TRANSLATE_TEST, TRANSLATED, Cell, Suite, SuiteSource
from ftx_edge.errors import DataError
from ftx_edge.files import sha256_of, sha256_of_text
from ftx_edge.recipe import Recipe
from ftx_edge.runs import RunLayout


@functools.cache
def teachers_of(suite: Suite, name: str) -> tuple[str, str]:
    """The classifier and the tagger of a source as a recipe names them; "" for what it has not."""
    source = suite.sources[name]
    if not source.train.labelled:
        return source.label, source.tag
    specs = {task: _trained(source, source_folder(suite, name, task)) for task in source.heads}
    return specs.get("classification", ""), specs.get("tagging", "")


def source_folder(suite: Suite, name: str, task: str) -> Path:
    """Where a source model that the suite trains lies."""
    source = suite.sources[name]
    key = sha256_of_text(task, str(source.train), file_hash(source.train.labelled))
    return suite.runs / "sources" / f"{name}-{task}-{key[:8]}"


def _trained(source: SuiteSource, folder: Path) -> str:
    return f"hf:{folder}" if source.train.architecture == "distilbert" else f"run:{folder}#en"


@functools.cache
def recipe_of(suite: Suite, cell: Cell) -> Recipe:
    """The whole recipe of a cell with a seed."""
    return suite.recipe_of(cell, *teachers_of(suite, cell.source))


def run_folder(suite: Suite, cell: Cell) -> Path:
    """The run of a cell; another one when the recipe or the text of step 1 changes."""
    if cell.mplm is None:
        key = fingerprint(suite, cell, cell.languages[0])
    else:
        key = sha256_of_text(recipe_of(suite, cell).fingerprint, step1_key(suite, cell))
    return suite.runs / cell.place / key[:8]


@functools.cache
def step1_key(suite: Suite, cell: Cell) -> str:
    """Cells with the same key have the same step 1, whatever their student or the name of their method."""
    return _step1_key(suite, cell.source, recipe_of(suite, cell))


@functools.cache
def earlier_keys(suite: Suite, cell: Cell) -> tuple[str, ...]:
    """Keys of what the cell's step 1 may start with, the longest first: fewer rounds, English alone."""
    recipe = recipe_of(suite, cell)
    if recipe.balance.method != "neighbours":
        return ()
    earlier: list[dict[str, object]] = [
        {"balance.rounds": fewer} for fewer in range(recipe.balance.rounds - 1, 0, -1)
    ]
    if recipe.balance.naive == "whole":
        earlier.append({"balance.method": "none"})
    return tuple(_step1_key(suite, cell.source, recipe.override(changes)) for changes in earlier)


def _step1_key(suite: Suite, source: str, recipe: Recipe) -> str:
    reads = recipe.data
    if recipe.balance.method == "none":
        # Languages are laid on English when the mPLM is asked.
        reads, recipe = replace(reads, targets={}), recipe.override({"mplm.turns": 0})
    files = [reads.source, *(reads.targets[lang] for lang in sorted(reads.targets))]
    return sha256_of_text(
        recipe.fingerprint_of(*_STEP1),
        str(recipe.data.held_out),
        str(sorted(recipe.data.segmenters.items())),
        _teacher_hash(suite, source),
        *map(file_hash, files),
    )


_STEP1 = ("teacher", "mplm", "step1", "balance", "seed", "precision", "alignment")


def fingerprint(suite: Suite, cell: Cell, lang: str) -> str:
    """Of what a cell measures in a language; the test set is part of it."""
    place = (cell.source, cell.method, cell.mplm or "", cell.student or "", str(cell.seed), lang)
    made_from = [_teacher_hash(suite, cell.source)]
    if cell.method == TRANSLATE_TEST:
        made_from.append(suite.baselines.translate_test[lang])
    elif cell.method != SOURCE:
        recipe = recipe_of(suite, cell)
        made_from += [recipe.fingerprint, step1_key(suite, cell), file_hash(recipe.data.targets[lang])]
        made_from.append(str(suite.max_drop))
    if cell.method == GOLD:
        made_from.append(file_hash(suite.data.file("gold", lang)))
    elif cell.method == TRANSLATED:
        made_from.append(suite.baselines.translate_train_pseudo[lang])
    return sha256_of_text(*place, *made_from, file_hash(suite.data.file("test", lang)))[:16]


def mplm_fingerprint(suite: Suite, cell: Cell, lang: str, method: str | None = None) -> str:
    """Of what the mPLM of a cell, or the mean of several, says in a language; its text moves the mPLM
    (``mplm.center``).

    Args:
        method: another method's, if that has the same step 1.
    """
    text = "" if lang == "en" else file_hash(suite.data.file("target", lang))
    place = (cell.source, method or cell.method, str(cell.mplm), str(cell.seed), lang)
    test = file_hash(suite.data.file("test", lang))
    recipe = recipe_of(suite, cell)
    more = list(recipe.ensemble.mplms)
    if recipe.balance.method == "none" and recipe.mplm.turns:
        more.append(f"turns {recipe.mplm.turns}")  # which the key of its step 1 does not know
    return sha256_of_text("mplm", *place, step1_key(suite, cell), text, test, *more)[:16]


def file_hash(path: str) -> str:
    """The SHA-256 of a file or folder; raises DataError where there is none."""
    place = Path(path)
    if not place.exists():
        cure = "make it first; suites that come along say how in their first lines"
        raise DataError(f"no such file or folder, and the suite reads it: {cure}", path=path)
    files = [place] if place.is_file() else sorted(p for p in place.rglob("*") if p.is_file())
    return _hash_once(path, max((file.stat().st_mtime_ns for file in files), default=0), len(files))


@functools.cache
def _hash_once(path: str, _changed: int, _files: int) -> str:
    return sha256_of(Path(path))


@functools.cache
def _teacher_hash(suite: Suite, name: str) -> str:
    """Of what a source model is, or of what it will be trained from."""
    source = suite.sources[name]
    if source.train.labelled:
        return sha256_of_text(*(source_folder(suite, name, task).name for task in source.heads))
    return sha256_of_text(*(_spec_hash(spec) for spec in (source.label, source.tag) if spec))


def _spec_hash(spec: str) -> str:
    kind, _, rest = spec.partition(":")
    if kind == "run":
        folder, _, part = rest.partition("#")
        layout = RunLayout(Path(folder))
        is_mplm = part.partition("@")[0].startswith("mplm") or not part
        return file_hash(str(layout.mplm_of("mplm") if is_mplm else layout.student(part)))
    if kind in ("package", "recorded"):
        return file_hash(rest)
    # A hub id, a function: its name must do.
    return file_hash(rest) if kind == "hf" and Path(rest).is_dir() else spec
