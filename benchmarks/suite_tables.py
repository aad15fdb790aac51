"""The tables of a suite, made from its records alone: the same records give the same bytes."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ftx_edge.benchmarks.accuracy import METRICS
from ftx_edge.benchmarks.suite import SOURCE, TFIDF, TRANSLATE_TEST
from ftx_edge.benchmarks.suite_figures import COMPACT, Figures, Model, current, place_of
from ftx_edge.benchmarks.tables import ENVIRONMENT, FAILURE, Measurement, markdown_table

Row = dict[str, Any]


def suite_markdown(records: Sequence[Measurement], name: str, pictures: Mapping[str, str]) -> str:
    """All tables that the records allow.

    Args:
        records: of a suite, oldest first.
        name: of the suite.
        pictures: file of the picture of a matrix, by `matrix_name`.
    """
    found = current(records)
    blocks = [f"# {name}\n", _header(records, found)]
    for metric, title in METRICS.items():
        figures = Figures.of(found, metric)
        if figures.values:
            blocks += _blocks(figures, title, pictures)
    blocks += _calibration(Figures.of(found, "ece"))
    blocks += _sizes(found)
    blocks.append(_failures(found))
    return "\n".join(block for block in blocks if block)


def _blocks(figures: Figures, title: str, pictures: Mapping[str, str]) -> list[str]:
    """All tables of one metric."""
    blocks = [
        _titled(
            f"{title}: main results (the paper's table {4 if figures.metric == 'span_f1' else 1})",
            main_rows(figures),
            "Percent; mean: over the target languages; ratio: mean over them of the figure as a share of the "
            "English source's; - mPLM, - fp32: points above the run's mPLM, above the student before int8.",
        ),
        _titled(
            f"{title}: methods (the paper's table 3)",
            ablation_rows(figures) if len({m.method for m in _distilled(figures)}) > 1 else [],
            "Mean over the target languages, percent; students as int8 packages.",
        ),
    ]
    mplms = {m.mplm for m in _distilled(figures)}
    blocks.append(
        _titled(
            f"{title}: multilingual LMs (the paper's table 5)",
            mplm_rows(figures) if len(mplms) > 1 else [],
            "The mPLM after step 1, percent.",
        )
    )
    blocks.append(
        _titled(
            f"{title}: lost in step 2 (the paper's table 6)",
            drop_rows(figures),
            "Points of the int8 student above the mPLM that it learned from; below 0 is a loss.",
        )
    )
    for (mplm, method), rows in matrices(figures).items():
        shown = pictures.get(matrix_name(figures.metric, mplm, method))
        block = _titled(
            f"{title}: any source, any student; {method}, {mplm} (the paper's figures 4 and 5)",
            rows,
            "Mean over the target languages, percent; rows: the English source; int8.",
        )
        blocks.append(block + (f"\n![{title}: source by student, {method}]({shown})\n" if shown else ""))
    return blocks


def main_rows(figures: Figures) -> list[Row]:
    """A line a model: languages, their mean, and what it is compared with."""
    models = list(figures.values)
    varying = _varying(models, ("source", "mplm", "alignment"))
    rows = []
    for model in models:
        seeds = figures.values[model]
        row: Row = {key: getattr(model, key) for key in varying}
        row |= {"method": model.method, "model": model.name, "precision": model.precision}
        for lang in ("en", *figures.languages):
            row[lang] = percent([found[lang] for found in seeds.values() if lang in found], deviation=False)
        row["mean"] = percent(figures.mean(model)) if model.method != SOURCE else None
        row["ratio"] = share(figures.ratio(model)) if model.method != SOURCE else None
        row["- mPLM"] = percent(figures.above(model, figures.mplm_of(model)), deviation=False)
        row["- fp32"] = percent(figures.above(model, figures.fp32_of(model)), digits=2, deviation=False)
        row["seeds"] = len(seeds)
        rows.append(row)
    return _without_empty(rows, keep=("method", "model", "precision"))


def ablation_rows(figures: Figures) -> list[Row]:
    """A line a method: the mPLM and each student, mean over languages and deviation over seeds."""
    rows: dict[tuple[Any, ...], Row] = {}
    models = _distilled(figures)
    varying = _varying(models, ("source", "mplm", "alignment"))
    for model in models:
        row = rows.setdefault(
            model.place, {**{key: getattr(model, key) for key in varying}, "method": model.method}
        )
        row[model.name] = percent(figures.mean(model))
        if model.student:
            row[f"{model.name}, ratio"] = share(figures.ratio(model))
    return list(rows.values())


def mplm_rows(figures: Figures) -> list[Row]:
    """A line a method and mPLM: the mPLM itself in every language."""
    rows = []
    models = [m for m in figures.values if m.mplm and not m.student]
    varying = _varying(models, ("source", "alignment"))
    for model in sorted(models, key=lambda m: m.method):
        row: Row = {
            **{key: getattr(model, key) for key in varying},
            "method": model.method,
            "mPLM": model.mplm,
        }
        for lang in ("en", *figures.languages):
            found = [seed[lang] for seed in figures.values[model].values() if lang in seed]
            row[lang] = percent(found, deviation=False)
        row["mean"] = percent(figures.mean(model))
        rows.append(row)
    return rows


def drop_rows(figures: Figures) -> list[Row]:
    """A line a method, mPLM and student: points above the mPLM, by language and on average."""
    rows = []
    models = [m for m in _distilled(figures) if m.student]
    varying = _varying(models, ("source", "mplm", "alignment"))
    for model in models:
        other = figures.mplm_of(model)
        row: Row = {key: getattr(model, key) for key in varying}
        row |= {"method": model.method, "student": model.student}
        for lang in figures.languages:
            pairs = [
                found[lang] - figures.values.get(other, {}).get(seed, {})[lang]  # type: ignore[arg-type]
                for seed, found in figures.values[model].items()
                if lang in found and lang in figures.values.get(other, {}).get(seed, {})  # type: ignore[arg-type]
            ]
            row[lang] = percent(pairs, deviation=False)
        row["mean"] = percent(figures.above(model, other))
        rows.append(row)
    return rows


def matrices(figures: Figures) -> dict[tuple[str, str], list[Row]]:
    """Source by student, for each mPLM and method where two students or more learned from every source."""
    found: dict[tuple[str, str], dict[str, Row]] = {}
    for model in _distilled(figures):
        if model.student and (means := figures.mean(model)):
            method = f"{model.method}" + (f", {model.alignment}" if model.alignment else "")
            lines = found.setdefault((str(model.mplm), method), {})
            row = lines.setdefault(str(model.source), {"source": model.source})
            row[model.student] = percent(means)
    whole = {key: _whole(list(lines.values())) for key, lines in found.items()}
    return {key: rows for key, rows in whole.items() if len(rows) > 1 and len(rows[0]) > 2}


def _whole(rows: list[Row]) -> list[Row]:
    """The columns that every row has, in their order."""
    shared = set.intersection(*(set(row) for row in rows))
    return [{name: value for name, value in row.items() if name in shared} for row in rows]


def matrix_name(metric: str, mplm: str, method: str) -> str:
    """What the picture of a matrix is called, without the suite's name."""
    return "-".join(part.replace(", ", "-") for part in ("matrix", metric, mplm, method))


def _distilled(figures: Figures) -> list[Model]:
    """mPLMs, and students as they run on a device."""
    return [m for m in figures.values if m.mplm and (m.precision == COMPACT or m.student in (None, TFIDF))]


def _calibration(figures: Figures) -> list[str]:
    if not figures.values:
        return []
    rows: dict[tuple[Any, ...], Row] = {}
    models = list(figures.values)
    varying = _varying(models, ("source", "mplm", "alignment"))
    for model in models:
        row = rows.setdefault(
            (*model.place, model.name),
            {**{key: getattr(model, key) for key in varying}, "method": model.method, "model": model.name},
        )
        means = (
            figures.mean(model)
            if model.method != SOURCE
            else [v["en"] for v in figures.values[model].values()]
        )
        row[str(model.precision)] = percent(means)
    note = "Mean over the target languages (source: English), percent; of the label's probability."
    return [_titled("expected calibration error", list(rows.values()), note)]


def _sizes(records: Sequence[Measurement]) -> list[str]:
    """Size and figure of each student in both precisions: means over all that there is of it."""
    sizes = Figures.of(records, "size_bytes")
    rows: dict[str, Row] = {}
    for precision in ("fp32", COMPACT):
        for metric in ("size_bytes", *METRICS):
            figures = sizes if metric == "size_bytes" else Figures.of(records, metric)
            by_student: dict[str, list[float]] = {}
            for model in figures.values:
                twin = replace(model, precision="fp32" if precision == COMPACT else COMPACT)
                if model.student and model.precision == precision and twin in figures.values:
                    by_student.setdefault(model.student, []).extend(figures.mean(model))
            for student, values in by_student.items():
                row = rows.setdefault(student, {"student": student})
                if values and metric == "size_bytes":
                    row[f"MB, {precision}"] = f"{statistics.fmean(values) / 1e6:.2f}"
                elif values:
                    row[f"{METRICS[metric]}, {precision}"] = percent(values, digits=2, deviation=False)
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    ordered = [{name: row.get(name) for name in sorted(names, key=_metric_first)} for row in rows.values()]
    note = (
        "MB of the student's weights (fp32) and of all files of its package (int8); means over all sources, "
        "methods, languages and seeds."
    )
    return [_titled("size and precision (the paper's table 7)", ordered, note)]


def _metric_first(name: str) -> tuple[int, str, int]:
    """Columns: student, size, then each metric; fp32 before int8."""
    what = name.partition(",")[0]
    order = ["student", "MB", *METRICS.values()]
    return order.index(what), what, int(name.endswith(COMPACT))


def _header(records: Sequence[Measurement], found: Sequence[Measurement]) -> str:
    commands = dict.fromkeys(r.command for r in records if r.metric == ENVIRONMENT)
    notes = dict.fromkeys(r.note for r in records if r.metric == ENVIRONMENT)
    counts = sorted({(r.language, r.n_test) for r in found if r.n_test})
    tests = ", ".join(f"{lang} {n:,}" for lang, n in counts)
    seeds = ", ".join(str(seed) for seed in sorted({r.seed for r in found if r.seed is not None}))
    lines = [f"Made by `{command}`.\n" for command in commands]
    lines += [f"Measured on: {note}.\n" for note in notes]
    over = f" Seeds: {seeds}; ± is the standard deviation over seeds." if seeds else ""
    lines.append(f"Test utterances: {tests}.{over}\n")
    return "\n".join(lines)


def _failures(found: Sequence[Measurement]) -> str:
    failed = [r for r in found if r.metric == FAILURE]
    if not failed:
        return ""
    lines = [f"- {' / '.join(str(x) for x in place_of(r) if x is not None)}: {r.note}\n" for r in failed]
    return "## Failed\n\n" + "".join(lines)


def _titled(title: str, rows: Sequence[Row], note: str) -> str:
    return f"## {title[0].upper()}{title[1:]}\n\n{note}\n\n{markdown_table(rows)}" if rows else ""


def _varying(models: Sequence[Model], keys: Sequence[str]) -> list[str]:
    """Those keys in which the models differ."""
    return [key for key in keys if len({getattr(m, key) for m in models} - {None}) > 1]


def _without_empty(rows: Sequence[Row], keep: Sequence[str]) -> list[Row]:
    """Rows without the columns in which there is nothing; ``seeds`` goes where all distilled have as many."""
    empty = {name for name in rows[0] if name not in keep and all(row[name] is None for row in rows)}
    if len({row["seeds"] for row in rows if row["model"] not in (SOURCE, TRANSLATE_TEST)}) < 2:
        empty.add("seeds")
    return [{name: value for name, value in row.items() if name not in empty} for row in rows]


def percent(values: Sequence[float], *, digits: int = 1, deviation: bool = True) -> str | None:
    """Mean, and deviation over seeds, of shares; None where there are none."""
    return _mean([100 * value for value in values], digits, deviation)


def share(values: Sequence[float]) -> str | None:
    """Mean of ratios, three digits."""
    return _mean(values, 3, False)


def _mean(values: Sequence[float], digits: int, deviation: bool) -> str | None:
    if not values:
        return None
    # Adding 0 makes -0.0 plain.
    text = f"{round(statistics.fmean(values), digits) + 0.0:.{digits}f}"
    return text if len(values) == 1 or not deviation else f"{text} ± {statistics.stdev(values):.{digits}f}"
