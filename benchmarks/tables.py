"""Measurements kept as records, and the tables that every benchmark writes from them."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftx_edge.errors import DataError, UsageError
from ftx_edge.files import write_atomically
from ftx_edge.locks import one_at_a_time

if TYPE_CHECKING:
    from rich.table import Table

Rows = Sequence[Mapping[str, Any]]
FAILURE, ENVIRONMENT = "failure", "environment"
"""Metrics of records whose note says why there is no figure, and on what all was measured."""
_BESIDES = ("value", "command", "fingerprint", "note")


@dataclass(frozen=True, slots=True)
class Measurement:
    """One figure, with all that says what it is a figure of.

    Attributes:
        source, mplm, student: models; None where the method has none.
        method: ``source``, ``mplm``, ``student``, ``translate-test`` ...
        alignment: of words and subwords, for tagging; None for classification.
        precision: ``fp32`` or ``int8``.
        metric, value: such as ``accuracy`` (between 0 and 1).
        n_test: utterances that it was measured on.
        command: what measures it again.
        fingerprint: changes when what was measured may change; of a suite's records.
        note: words, where a figure alone does not say it.
    """

    method: str
    metric: str
    value: float
    language: str
    task: str
    command: str
    source: str | None = None
    mplm: str | None = None
    alignment: str | None = None
    student: str | None = None
    precision: str | None = None
    seed: int | None = None
    n_test: int | None = None
    fingerprint: str | None = None
    note: str | None = None

    @property
    def subject(self) -> tuple[Any, ...]:
        """What was measured: every field but the value and what only says more of it."""
        return tuple(getattr(self, f.name) for f in fields(self) if f.name not in _BESIDES)

    def to_dict(self) -> dict[str, Any]:
        """For JSON: every field; fingerprint and note only where there is one."""
        values = asdict(self)
        return {k: v for k, v in values.items() if v is not None or k not in ("fingerprint", "note")}


class MeasurementStore:
    """Measurements in a JSON file, one a line, that only grows. Several processes may add to it.

    A measurement that is made again is added again; `latest` has the last of each subject.

    Raises:
        DataError: the file is not such a file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, measurements: Iterable[Measurement]) -> None:
        """Add records: all of them or, if the process dies, none."""
        with one_at_a_time(self.path.with_name(f".{self.path.name}.lock")):
            records = [*self.read(), *measurements]
            lines = ",\n".join(json.dumps(record.to_dict(), ensure_ascii=False) for record in records)
            with write_atomically(self.path) as aside:
                aside.write_text(f"[\n{lines}\n]\n", encoding="utf-8")

    def read(self) -> list[Measurement]:
        """All records, oldest first; none where there is no file."""
        if not self.path.exists():
            return []
        try:
            return [Measurement(**record) for record in json.loads(self.path.read_text(encoding="utf-8"))]
        except (ValueError, TypeError) as error:
            raise DataError(f"not a file of measurements ({error})", path=self.path) from error

    def latest(self) -> list[Measurement]:
        """The last record of each subject, in the order in which the subjects came."""
        return list({record.subject: record for record in self.read()}.values())


def pivot(
    measurements: Iterable[Measurement],
    *,
    rows: Sequence[str],
    columns: str,
    scale: float = 100,
    digits: int = 1,
) -> list[dict[str, Any]]:
    """A table of means over what is neither in ``rows`` nor ``columns`` (seeds), with standard deviations.

    Args:
        rows: names of `Measurement` fields that tell the lines apart.
        columns: the field whose values head the columns.
        scale: factor on every value; 100 for percent.
        digits: after the point.
    """
    cells: dict[tuple[Any, ...], dict[str, list[float]]] = {}
    for measurement in measurements:
        line = cells.setdefault(tuple(getattr(measurement, name) for name in rows), {})
        line.setdefault(str(getattr(measurement, columns)), []).append(measurement.value * scale)
    names = list(dict.fromkeys(name for line in cells.values() for name in line))
    return [
        {
            **dict(zip(rows, key, strict=True)),
            **{name: _mean(line[name], digits) if name in line else None for name in names},
        }
        for key, line in cells.items()
    ]


def _mean(values: Sequence[float], digits: int) -> str:
    mean = f"{statistics.fmean(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.{digits}f}"


def as_percent(share: float | None) -> str | None:
    """``0.756`` as ``75.6 %``."""
    return None if share is None else f"{100 * share:.1f} %"


def markdown_table(rows: Rows) -> str:
    """A Markdown table; columns in the order in which rows name them, numbers to the right."""
    names = _names(rows)
    shown = [[_shown(row.get(name)).replace("|", "\\|") for name in names] for row in rows]
    widths = [max(3, len(name), *(len(line[i]) for line in shown)) for i, name in enumerate(names)]
    right = [_is_numeric([row.get(name) for row in rows]) for name in names]

    def line(cells: Sequence[str]) -> str:
        padded = [c.rjust(w) if r else c.ljust(w) for c, w, r in zip(cells, widths, right, strict=True)]
        return "| " + " | ".join(padded) + " |\n"

    rule = (
        "|"
        + "|".join("-" * (w + 1) + (":" if r else "-") for w, r in zip(widths, right, strict=True))
        + "|\n"
    )
    return line(names) + rule + "".join(line(cells) for cells in shown)


def rich_table(rows: Rows, *, title: str | None = None) -> Table:
    """The same for a terminal: ``rich.print`` shows it."""
    from rich import box
    from rich.table import Table

    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold")
    for name in _names(rows):
        numeric = _is_numeric([row.get(name) for row in rows])
        table.add_column(name, justify="right" if numeric else "left")
    for row in rows:
        table.add_row(*(_shown(row.get(name)) for name in _names(rows)))
    return table


def write_table(rows: Rows, path: Path, *, title: str | None = None) -> None:
    """Write a table as ``.md`` or ``.json``, by the name; the file is whole or not there.

    Raises:
        UsageError: no rows, or another kind of file.
    """
    if not rows:
        raise UsageError(f"{path}: a table without rows")
    if path.suffix == ".md":
        content = (f"# {title}\n\n" if title else "") + markdown_table(rows)
    elif path.suffix == ".json":
        content = json.dumps([dict(row) for row in rows], indent=2, ensure_ascii=False) + "\n"
    else:
        raise UsageError(f"{path}: tables are written as .md or .json")
    with write_atomically(path) as aside:
        aside.write_text(content, encoding="utf-8")


def _names(rows: Rows) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        # Three figures that count: 0.0123, 1.23, 12.3, 1234.
        digits = 2 - math.floor(math.log10(abs(value))) if value and math.isfinite(value) else 1
        return f"{value:,.{min(max(digits, 0), 6)}f}"
    return str(value)


def _is_numeric(values: Sequence[Any]) -> bool:
    return all(
        value is None or isinstance(value, int | float) or str(value)[:1].isdigit() or str(value)[:1] == "-"
        for value in values
    )
