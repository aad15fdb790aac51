"""`ftx-edge translate`: every text gets a record, whatever became of it."""

from __future__ import annotations

import json


def test_a_table_translates_a_file(ftx, tmp_path):
    (tmp_path / "pt.txt").write_text("acenda a luz\napaga a luz\n", encoding="utf-8")
    (tmp_path / "table.tsv").write_text("acenda a luz\tturn on the light\napaga a luz\t\n", encoding="utf-8")
    arguments = ("--mt", f"table:{tmp_path / 'table.tsv'}", "--cache", tmp_path / "cache.sqlite")
    outcome = ftx("translate", tmp_path / "pt.txt", *arguments, "--out", tmp_path / "en.jsonl")
    assert outcome.code == 0
    assert "1 translated" in outcome.out
    assert "1 empty" in outcome.out
    rows = [json.loads(line) for line in (tmp_path / "en.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["text"] for row in rows] == ["turn on the light", ""]


def test_an_unknown_translator(ftx, tmp_path):
    (tmp_path / "pt.txt").write_text("acenda a luz\n", encoding="utf-8")
    outcome = ftx("translate", tmp_path / "pt.txt", "--mt", "babelfish:pt-en", "--out", tmp_path / "en.txt")
    assert outcome.code == 2
    assert "unknown translator 'babelfish:pt-en'" in outcome.error
    assert not (tmp_path / "en.txt").exists()


def test_texts_that_failed_are_told_and_the_others_are_kept(ftx, tmp_path):
    (tmp_path / "pt.txt").write_text("acenda a luz\nboa noite\n", encoding="utf-8")
    (tmp_path / "table.tsv").write_text("acenda a luz\tturn on the light\n", encoding="utf-8")
    arguments = ("--mt", f"table:{tmp_path / 'table.tsv'}", "--cache", tmp_path / "cache.sqlite")
    outcome = ftx("translate", tmp_path / "pt.txt", *arguments, "--out", tmp_path / "en.txt", "--json")
    assert outcome.code == 1
    assert "failed: 'boa noite'" in outcome.err
    assert json.loads(outcome.out)["failed"] == 1
    assert (tmp_path / "en.txt").read_text(encoding="utf-8") == "turn on the light\n\n"


def test_a_beam_search_is_not_asked_of_what_has_none(ftx, tmp_path):
    (tmp_path / "pt.txt").write_text("acenda a luz\n", encoding="utf-8")
    (tmp_path / "table.tsv").write_text("acenda a luz\tturn on the light\n", encoding="utf-8")
    arguments = ("--mt", f"table:{tmp_path / 'table.tsv'}", "--beams", "4", "--out", tmp_path / "en.txt")
    outcome = ftx("translate", tmp_path / "pt.txt", *arguments)
    assert outcome.code == 2
    assert "leave --beams out" in outcome.error
