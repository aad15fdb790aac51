"""The same student with and without a segmenter: one run, one test set, both packages."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")

from ftx_edge.benchmarks.program import write_report
from ftx_edge.benchmarks.segmenter import (
    BEHIND,
    WITHOUT,
    SegmenterReport,
    benchmark_segmenter,
    installed_size,
)
from ftx_edge.errors import UsageError
from ftx_edge.recipe import Recipe
from ftx_edge.runs import RunLayout
from ftx_edge.students import StudentConfig, build_student, save_student
from ftx_edge.tokenization import train_tokenizer

TEXTS = ["打开厨房的灯", "关掉客厅的灯", "播放一首歌", "打开卧室的灯"]


def write_run(folder: Path, alignment: str) -> RunLayout:
    layout = RunLayout(folder)
    Recipe().override({"alignment": alignment, "teacher.tag": "recorded:x"}).write(layout.recipe)
    layout.record.write_text('{"stages": {"students/zh": {"segmenter": "characters"}}}')
    tokenizer = train_tokenizer(TEXTS, lang="zh", vocab_size=60, max_length=16)
    config = StudentConfig(
        architecture="static",
        vocab_size=tokenizer.get_vocab_size(),
        labels=("on", "off", "play"),
        tags=("O", "B-room", "I-room"),
        max_length=16,
        embedding_size=16,
    )
    save_student(build_student(config), tokenizer, layout.student("zh"))
    layout.held_out("zh").write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    return layout


@pytest.fixture(scope="module")
def test_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("test") / "zh.test.jsonl"
    rows = [
        {"text": "打开厨房的灯", "label": "on", "spans": [{"start": 2, "end": 4, "label": "room"}]},
        {"text": "播放一首歌", "label": "play", "spans": []},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory, test_file: Path) -> SegmenterReport:
    layout = write_run(tmp_path_factory.mktemp("run"), "character-bridge")
    return benchmark_segmenter(
        layout.root, "zh", test_file, segmenter="characters", rounds=2, cold_starts=1, max_drop=1,
        command="measure it",
    )  # fmt: skip


def test_both_packages_are_measured_on_the_same_texts(report: SegmenterReport) -> None:
    raw, behind = report.settings
    assert (raw.name, behind.name) == (WITHOUT, BEHIND)
    assert raw.latency.n == behind.latency.n == 2 * 2
    assert report.n_test == 2
    for setting in report.settings:
        assert setting.accuracy is not None
        assert setting.span_f1 is not None
        assert setting.cold_start.seconds > 0
        # Manifest and card name the segmenter; the rest is the same.
        assert setting.installed_size == pytest.approx(raw.package_size, abs=1000)


def test_json_and_table_hold_the_same_figures(report: SegmenterReport, tmp_path: Path) -> None:
    write_report(report, tmp_path / "zh.json")
    values = json.loads((tmp_path / "zh.json").read_text())
    table = (tmp_path / "zh.md").read_text()
    assert values["segmenter"] == "characters"
    for setting in values["settings"]:
        assert f"{setting['latency']['p50']:.3f} ms" in table
        assert setting["installed_size"] == setting["package_size"] + setting["segmenter_size"]
    assert "`measure it`" in table


def test_students_of_first_subwords_have_nothing_to_compare(tmp_path: Path, test_file: Path) -> None:
    layout = write_run(tmp_path, "first-subword")
    with pytest.raises(UsageError, match="always need their segmenter"):
        benchmark_segmenter(layout.root, "zh", test_file, segmenter="characters", max_drop=1)


def test_a_segmenter_weighs_what_its_dictionary_weighs() -> None:
    pytest.importorskip("jieba")
    assert installed_size("jieba") > 5_000_000
    assert installed_size("characters") == 0
