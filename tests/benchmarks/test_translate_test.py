"""translate-test beside a student, on the same texts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ftx_edge.benchmarks.translate_test import TranslateTestReport, benchmark_translate_test
from ftx_edge.errors import UsageError
from ftx_edge.teachers import open_teacher
from ftx_edge.translation import open_translator
from ftx_edge.translation.translate_test import TranslateTest, open_translate_test

ROWS = [
    {"text": "acenda a luz", "label": "light_on"},
    {"text": "apaga a luz", "label": "light_off"},
    {"text": "toca música", "label": "play_music"},
]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    # A translator that takes off for on, and does not know what music is.
    path = tmp_path / "table.tsv"
    path.write_text(
        "acenda a luz\tacenda a luz\napaga a luz\tacenda a luz\ntoca música\t\n", encoding="utf-8"
    )
    return path


@pytest.fixture
def report(tiny_package: Path, tmp_path: Path, table: Path) -> TranslateTestReport:
    test = tmp_path / "test.jsonl"
    test.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    return benchmark_translate_test(
        test, source_model=f"package:{tiny_package}", mt=f"table:{table}", student=str(tiny_package)
    )


def test_an_error_of_the_translator_is_an_error_of_translate_test(report: TranslateTestReport) -> None:
    assert report.student is not None
    assert report.student.accuracy is not None
    assert report.translate_test.accuracy is not None
    assert (report.student.accuracy.count, report.translate_test.accuracy.count) == (3, 2)
    assert report.gain == pytest.approx(1 / 3)


def test_a_text_without_a_translation_goes_on_as_it_is_and_is_counted(report: TranslateTestReport) -> None:
    assert report.translate_test.untranslated == 1
    assert report.translate_test.n == 3


def test_both_become_records(report: TranslateTestReport) -> None:
    records = report.measurements(source="tiny", command="make", student="static", precision="int8", seed=0)
    assert [(r.method, r.student, r.language, r.n_test) for r in records] == [
        ("translate-test", None, "pt", 3),
        ("student", "static", "pt", 3),
    ]
    json.dumps(report.to_dict(), allow_nan=False)


def test_the_source_model_sees_the_translation(tiny_package: Path, table: Path) -> None:
    teacher = open_teacher(f"package:{tiny_package}")
    baseline = TranslateTest(open_translator(f"table:{table}"), teacher)
    assert baseline.labels == teacher.labels
    assert (baseline.ask(["apaga a luz"]).labels == teacher.ask(["acenda a luz"]).labels).all()


def test_it_is_opened_by_one_name(tiny_package: Path, table: Path) -> None:
    baseline = open_translate_test(f"translate-test:table:{table}+package:{tiny_package}")
    assert baseline.translator.name == f"table:{table}"
    with pytest.raises(UsageError, match=r"translate-test:<translator>\+<teacher>"):
        open_translate_test(f"translate-test:table:{table}")
