"""A matrix of figures as a picture: source by student."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ftx_edge.benchmarks.plots import INK, MUTED
from ftx_edge.errors import require
from ftx_edge.files import write_atomically


def plot_matrix(rows: Sequence[Mapping[str, Any]], path: Path, *, title: str, note: str) -> Path:
    """Draw ``rows`` (``source``, then a column a student, texts such as ``69.6 ± 0.3``) as a heat map.

    Args:
        path: a ``.png``; whole or not there. The same rows give the same bytes.
    """
    require("matplotlib", "bench")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(name for row in rows for name in row if name != "source"))
    values = [[_number(row.get(name)) for name in names] for row in rows]
    figure = Figure(figsize=(2.4 + 1.5 * len(names), 1.9 + 0.85 * len(rows)), dpi=160, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    colors = LinearSegmentedColormap.from_list("student", ["#e6f4f1", "#0f766e"])
    axes.imshow(values, cmap=colors, aspect="auto")
    there = [value for line in values for value in line if not math.isnan(value)]
    dark_from = min(there) + 0.55 * (max(there) - min(there))
    for y, row in enumerate(rows):
        for x, name in enumerate(names):
            axes.text(
                x,
                y,
                str(row.get(name) or "-").replace(" ± ", "\n± "),
                ha="center",
                va="center",
                fontsize=11,
                color="white" if values[y][x] > dark_from else INK,
            )
    axes.set_xticks(range(len(names)), names, fontsize=11, color=INK)
    axes.set_yticks(range(len(rows)), [str(row["source"]) for row in rows], fontsize=11, color=INK)
    axes.set_xlabel("student", color=MUTED)
    axes.set_ylabel("English source", color=MUTED)
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.set_title(title, loc="left", fontsize=13, fontweight="bold", color=INK, pad=24)
    axes.text(0, 1.04, note, transform=axes.transAxes, fontsize=9, color=MUTED)
    figure.tight_layout()
    with write_atomically(path) as aside:
        figure.savefig(aside, format="png", metadata={"Software": None})
    return path


def _number(text: object) -> float:
    return float(str(text).partition(" ")[0]) if text else float("nan")
