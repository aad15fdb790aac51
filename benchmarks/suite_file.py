"""The TOML file of a suite, read and checked; ``docs/benchmarks.md`` explains it."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ftx_edge import toml
from ftx_edge.benchmarks.suite import (
    BESIDES,
    TASKS,
    TFIDF,
    Suite,
    SuiteBaselines,
    SuiteData,
    SuiteSource,
    Table,
    filled,
)
from ftx_edge.errors import DataError, UsageError
from ftx_edge.recipe import Recipe


def read_suite(path: Path | str, *, quick: bool = False) -> Suite:
    """Read a suite, or the suite of that name that comes with FTX-Edge.

    Args:
        quick: with the changes in ``[quick]``, into records and runs of their own.

    Raises:
        DataError: no such file, not TOML, or a suite that cannot work; says where.
    """
    given, path = str(path), Path(path)
    ours = Path(__file__).parent / "suites" / f"{path}.toml"
    if not path.exists() and ours.is_file():
        path = ours
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError("no such suite", path=path) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, IsADirectoryError) as error:
        raise DataError(f"not a TOML file: {error}", path=path) from error
    try:
        suite = _suite(path, given, table, quick=quick)
        _check(suite)
    except UsageError as error:
        raise DataError(str(error), path=path) from error
    return suite


_FIELDS = {
    "name": str, "languages": list, "seeds": list, "out": str, "runs": str, "data": dict, "recipe": dict,
    "sources": dict, "mplms": dict, "methods": dict, "students": dict, "baselines": dict, "quick": dict,
    "max_drop": float,
}  # fmt: skip
_GRID = ("sources", "mplms", "methods", "students")


def _suite(path: Path, given: str, table: dict[str, Any], *, quick: bool) -> Suite:
    _typed(table)
    changes = table.pop("quick", {})
    out, runs = (
        Path(table.get("out", f"{path.stem}.json")),
        Path(table.get("runs", f"runs/suites/{path.stem}")),
    )
    last: Table = {}
    if quick:
        if unknown := sorted(set(changes) - {"languages", "seeds", "recipe", "train", *_GRID}):
            raise UsageError(f"unknown field {'quick.' + unknown[0]!r}")
        last = changes.get("recipe", {})
        out, runs = out.with_stem(f"{out.stem}-quick"), runs.with_name(f"{runs.name}-quick")
        table |= {name: changes[name] for name in ("languages", "seeds") if name in changes}
        for name in _GRID:
            table[name] = _chosen(name, table.get(name, {}), changes.get(name))
        for source in table["sources"].values():
            if "train" in source:
                source["train"] |= changes.get("train", {})
    base = toml.replaced(Recipe(), table.get("recipe", {}))
    sources = {
        name: toml.replaced(SuiteSource(), source, where=f"sources.{name}.")
        for name, source in table.get("sources", {}).items()
    }
    sources = {name: _filled_source(source) for name, source in sources.items()}
    baselines = {name.replace("-", "_"): value for name, value in table.get("baselines", {}).items()}
    if isinstance(baselines.get(TFIDF), bool):
        baselines[TFIDF] = list(table.get("methods", {})) if baselines[TFIDF] else []
    elif quick and TFIDF in baselines:
        baselines[TFIDF] = [name for name in baselines[TFIDF] if name in table["methods"]]
    return Suite(
        path=path,
        given=given,
        name=table.get("name", path.stem),
        languages=tuple(table.get("languages", ())),
        seeds=tuple(table.get("seeds", (0,))),
        out=out,
        runs=runs,
        data=toml.replaced(SuiteData(), table.get("data", {}), where="data."),
        sources=sources,
        methods=table.get("methods", {}),
        mplms=table.get("mplms") or {base.mplm.name.rpartition(":")[2].rpartition("/")[2]: {}},
        students=table.get("students") or {base.student.architecture: {}},
        recipe=table.get("recipe", {}),
        baselines=toml.replaced(SuiteBaselines(), baselines, where="baselines."),
        last=last,
        max_drop=float(table.get("max_drop", 0.01)),
        quick=quick,
    )


def _typed(table: Table) -> None:
    for name, value in table.items():
        if name not in _FIELDS:
            raise UsageError(f"unknown field {name!r}: one of {', '.join(sorted(_FIELDS))}")
        kind = _FIELDS[name]
        if not isinstance(value, (int, float) if kind is float else kind):
            raise UsageError(f"{name!r} must be {kind.__name__}, not {value!r}")
    for name in (*_GRID, "quick"):
        for key, value in table.get(name, {}).items():
            if name in _GRID and not isinstance(value, dict):
                raise UsageError(f"'{name}.{key}' is a table, not {value!r}")


def _chosen(name: str, table: Table, names: Sequence[str] | None) -> dict[str, Any]:
    """Those of the table that ``[quick]`` names; all of them if it names none."""
    if unknown := sorted(set(names or ()) - set(table)):
        raise UsageError(f"quick.{name}: no [{name}.{unknown[0]}] in this suite")
    return {key: value for key, value in table.items() if names is None or key in names}


def _filled_source(source: SuiteSource) -> SuiteSource:
    train = dataclasses.replace(source.train, labelled=filled(source.train.labelled, "en"))
    return dataclasses.replace(source, train=train)


def _check(suite: Suite) -> None:
    """Raise UsageError for what cannot work."""
    if not suite.languages:
        raise UsageError('no target language: set languages = ["pt"]')
    if not all(isinstance(seed, int) for seed in suite.seeds) or not suite.seeds:
        raise UsageError(f"seeds must be whole numbers, not {list(suite.seeds)}")
    for what in ("source", "target", "test"):
        if not getattr(suite.data, what):
            raise UsageError(f"no file: set data.{what}")
    for name in ("sources", "methods"):
        if not getattr(suite, name):
            raise UsageError(f"no [{name}.NAME] in it")
    for name in (*suite.sources, *suite.methods, *suite.mplms, *suite.students):
        if "/" in name or not name.strip("."):
            raise UsageError(f"{name!r} cannot be the name of a folder")
    if taken := sorted({*BESIDES} & {*suite.methods} | {TFIDF} & {*suite.students}):
        raise UsageError(f"{taken[0]!r} is a baseline: call it something else")
    if unknown := sorted(set(suite.baselines.tfidf) - set(suite.methods)):
        raise UsageError(f"baselines.tfidf: no [methods.{unknown[0]}] in this suite")
    if suite.baselines.gold_supervised and not suite.data.gold:
        raise UsageError("baselines.gold-supervised needs data.gold")
    for name, source in suite.sources.items():
        if source.task not in TASKS:
            raise UsageError(f"unknown sources.{name}.task {source.task!r}: one of {', '.join(TASKS)}")
        if not source.heads or (source.train.labelled and (source.label or source.tag)):
            raise UsageError(f"[sources.{name}]: set label or tag, or else train.labelled")
    for cell in suite.cells():
        if cell.student in suite.students:
            suite.recipe_of(cell, label="any").check()
