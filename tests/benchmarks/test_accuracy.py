"""Accuracy of all that a run has: records, and the table made of them."""

from __future__ import annotations

import json

import pytest

from ftx_edge.benchmarks.accuracy import measure, pairs, table
from ftx_edge.benchmarks.tables import MeasurementStore
from ftx_edge.errors import UsageError

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def run(tiny_world, tmp_path_factory):
    from ftx_edge import Recipe, distill, export

    out = tmp_path_factory.mktemp("accuracy") / "run"
    recipe = Recipe().override(
        {
            **tiny_world.changes,
            "student.architecture": "static",
            "step1.learning_rate": 1e-2,
            "step2.learning_rate": 1e-2,
            "step1.max_steps": 3,
            "step2.max_steps": 3,
        }
    )
    distill(recipe, out)
    export(out, max_drop=1.0)
    return out


def test_mplm_student_and_package_are_scored_on_the_language_of_the_test(run, tiny_world, tmp_path):
    store = MeasurementStore(tmp_path / "records.json")
    found = measure([run], {"pt": tiny_world.test}, store, command="again")
    what = [(m.method, m.student, m.precision) for m in found]
    assert what == [("mplm", None, "fp32"), ("student", "static", "fp32"), ("student", "static", "int8")]
    rows = [json.loads(line) for line in tiny_world.test.read_text().splitlines()]
    assert all(m.n_test == len(rows) and 0 <= m.value <= 1 and m.command == "again" for m in found)
    assert store.read() == found


def test_the_table_has_a_line_a_model_and_percent(run, tiny_world, tmp_path):
    found = measure([run], {"pt": tiny_world.test}, MeasurementStore(tmp_path / "r.json"), command="again")
    text = table(found)
    assert text.startswith("### label accuracy, %")
    assert f"{100 * found[0].value:.1f}" in text
    assert text.count("\n| student") == 2


def test_a_test_set_needs_its_language():
    assert pairs(["pt=a.jsonl"], "--test") == {"pt": "a.jsonl"}
    with pytest.raises(UsageError, match=r"expected LANG="):
        pairs(["a.jsonl"], "--test")
