"""`ftx-edge data check`: what it reports, and how it refuses files that cannot be read."""

from __future__ import annotations

import json

import pytest


@pytest.fixture
def labelled(tmp_path):
    file = tmp_path / "en.jsonl"
    rows = [
        {"text": "turn on the light", "label": "light_on"},
        {"text": "Turn on the  light", "label": "light_off"},
        {"text": "see <b>this</b>", "label": "other"},
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def test_it_counts_and_names_what_looks_wrong(ftx, labelled, tmp_path):
    other = tmp_path / "test.txt"
    other.write_text("turn on the light\ngood night\n", encoding="utf-8")
    outcome = ftx("data", "check", labelled, other)
    assert outcome.code == 0
    assert "light_on 1" in outcome.out
    assert "different labels" in outcome.out
    assert "on lines 1, 2: light_off, light_on" in outcome.out
    assert "texts that two files share" in outcome.out
    assert "en.jsonl:3: markup" in outcome.out


def test_json_has_all_of_it(ftx, labelled):
    values = json.loads(ftx("data", "check", "--json", labelled).out)
    (file,) = values["files"]
    assert (file["utterances"], file["distinct"]) == (3, 2)
    assert values["clean"] is False


def test_strict_ends_with_1_only_if_something_looks_wrong(ftx, labelled, tmp_path):
    assert ftx("data", "check", labelled, "--strict").code == 1
    clean = tmp_path / "clean.txt"
    clean.write_text("good morning\ngood night\n", encoding="utf-8")
    outcome = ftx("data", "check", clean, "--strict")
    assert outcome.code == 0
    assert "nothing suspicious" in outcome.out


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("none.jsonl", None, "none.jsonl"),
        ("empty.txt", b"", "empty.txt"),
        ("bad.jsonl", b'{"text": \n', "bad.jsonl:1: "),
        ("lacks.jsonl", b'{"txt": "b"}\n', "lacks.jsonl:1: "),
        ("latin.txt", "ol\xe1\n".encode("latin-1"), "latin.txt"),
        ("nul.txt", b"a\x00b\n", "nul.txt:1: "),
        ("surrogate.jsonl", b'{"text": "a\\ud800b"}\n', "surrogate.jsonl:1: "),
        (
            "span.jsonl",
            b'{"text": "ab", "spans": [{"start": 0, "end": 9, "label": ""}]}\n',
            "span.jsonl:1: ",
        ),
        ("text.docx", b"x", "text.docx"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_its_line(ftx, tmp_path, name, content, says):
    file = tmp_path / name
    if content is not None:
        file.write_bytes(content)
    outcome = ftx("data", "check", file)
    assert outcome.code in (1, 2)
    assert says in outcome.error
    assert outcome.out == ""


@pytest.mark.parametrize(
    ("name", "content", "bad"),
    [
        ("a.jsonl", '{"text": "a"}\n{"text": \n\n{"text": "b"}\n{"txt": "c"}\n[]\n', {2, 3, 5, 6}),
        ("a.txt", "lamp\n\n\noff\n\n", {2, 3}),
        ("a.tsv", "text\tlabel\nlamp\ton\nlamp\noff\toff\n", {3}),
        ("a.conll", "lamp\tO\n\noff\n\non\tB-x\n", {3}),
    ],
)
def test_all_lines_that_cannot_be_used_are_listed_and_end_it_with_1(ftx, tmp_path, name, content, bad):
    file = tmp_path / name
    file.write_text(content, encoding="utf-8")
    outcome = ftx("data", "check", file)
    assert outcome.code == 1
    assert all(f"{file}:{line}: " in outcome.out for line in bad)
    assert f"cannot be used: {len(bad)}," in outcome.error
    assert f"{file}:{min(bad)}" in outcome.error
    (report,) = json.loads(ftx("data", "check", "--json", file).out)["files"]
    assert {finding["line"] for finding in report["unusable"]} == bad
    assert report["utterances"] > 0


def test_of_a_file_without_a_usable_line_the_first_is_named_and_the_others_counted(ftx, tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_text("[]\n{}\n3\n", encoding="utf-8")
    outcome = ftx("data", "check", file)
    assert outcome.code == 1
    assert f"{file}:1: " in outcome.error
    assert "nor can any of the 2 other records be used" in outcome.error
