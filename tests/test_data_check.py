"""The report on data files that is read before a long run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ftx_edge.data_check import check_data
from ftx_edge.errors import DataError


def write(path: Path, *rows: dict | str) -> Path:
    lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_it_counts_what_a_file_holds(tmp_path):
    path = write(
        tmp_path / "a.jsonl",
        {"text": "lamp on", "label": "on", "spans": [{"start": 0, "end": 4, "label": "what"}]},
        {"text": "lamp off", "label": "off", "spans": []},
        {"text": "lamp"},
    )
    [file] = check_data([path]).files
    assert (file.utterances, file.distinct, file.labelled, file.tagged) == (3, 3, 2, 2)
    assert file.labels == {"off": 1, "on": 1}
    assert file.span_labels == {"what": 1}
    assert file.characters == (7, 8, 8)
    assert file.words == (2, 2, 2)
    assert check_data([path]).clean


@pytest.mark.parametrize(
    ("text", "language", "script"),
    [
        ("明日の朝に起こして", "ja", "HIRAGANA"),
        ("明天早上叫我", "zh", "HAN"),
        ("ปลุกฉันตอนเช้า", "th", "THAI"),
        ("내일 아침에 깨워 줘", "ko", "HANGUL"),
        ("wake me", None, "LATIN"),
        ("ＷＡＫＥ", None, "LATIN"),
        ("разбуди меня", None, "CYRILLIC"),
        ("कल जगाओ", None, "DEVANAGARI"),
        ("1234", None, None),
    ],
)
def test_the_language_is_said_only_where_the_script_tells_it(tmp_path, text, language, script):
    [file] = check_data([write(tmp_path / "a.txt", text)]).files
    assert file.language == language
    assert next(iter(file.scripts), None) == script


def test_repeats_ignore_case_width_and_white_space_and_show_contradicting_labels(tmp_path):
    path = write(
        tmp_path / "a.jsonl",
        {"text": "Lamp on", "label": "on"},
        {"text": "other", "label": "x"},
        {"text": "lamp  ｏｎ", "label": "off"},
    )
    report = check_data([path])
    [repeat] = report.files[0].repeats
    assert (repeat.text, repeat.lines, repeat.labels) == ("Lamp on", (1, 3), ("off", "on"))
    assert report.files[0].distinct == 2
    assert not report.clean


def test_texts_in_two_files_are_counted_with_the_lines_where_they_stand(tmp_path):
    train = write(tmp_path / "train.txt", "lamp on", "lamp off", "door open")
    test = write(tmp_path / "test.txt", "hello", "LAMP OFF")
    [overlap] = check_data([train, test]).overlaps
    assert (overlap.first, overlap.second) == (train, test)
    assert (overlap.texts, overlap.share, overlap.lines) == (1, 0.5, ((2, 2),))


def test_suspicious_lines_are_named_with_file_line_and_reason(tmp_path):
    path = write(
        tmp_path / "a.txt",
        "lamp on", "see <b>this</b>", "lamp &amp; door", "l\ufffdmp", "lamp\x07", "12:30 !!", " lamp",
        "word " * 70 + "x", "a" * 500, "is 3 < 4 & 5 > 2",
    )  # fmt: skip
    findings = check_data([path]).findings
    assert [(f.line, f.kind) for f in findings] == [
        (2, "markup"),
        (3, "markup"),
        (4, "replacement-character"),
        (5, "control-character"),
        (6, "no-letters"),
        (7, "edge-space"),
        (8, "too-long"),
        (9, "too-long"),
    ]
    assert str(findings[3]) == f"{path}:5: control-character: U+0007"
    assert not check_data([path], max_characters=20).clean


def test_spans_that_cut_words_are_named_where_spaces_make_words(tmp_path):
    rows = [
        {"text": "call Leo's office", "spans": [{"start": 5, "end": 8, "label": "person"}]},
        {"text": "trains Paris-Lyon", "spans": [{"start": 13, "end": 17, "label": "place"}]},
        {"text": "trains to Lyon", "spans": [{"start": 10, "end": 14, "label": "place"}]},
    ]
    path = write(tmp_path / "a.jsonl", *map(json.dumps, rows))
    (finding,) = check_data([path]).findings
    assert (finding.line, finding.kind) == (2, "cut-word")
    assert "place 'Lyon'" in finding.detail
    unspaced = {"text": "ไปกรุงเทพ", "spans": [{"start": 2, "end": 5, "label": "place"}]}
    assert not check_data([write(tmp_path / "b.jsonl", json.dumps(unspaced))]).findings


def test_a_file_that_cannot_be_read_is_an_error_not_a_finding(tmp_path):
    with pytest.raises(DataError, match=r"b\.jsonl:1: not JSON"):
        check_data([write(tmp_path / "a.txt", "lamp"), write(tmp_path / "b.jsonl", "lamp")])
