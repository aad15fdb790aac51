"""A file of utterances through a translator."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ftx_edge.data import read_texts
from ftx_edge.errors import FtxError, UsageError
from ftx_edge.translation import TranslateResult, TranslationError, open_translator, translate

ROWS = [
    {"id": "1", "text": "bom dia", "label": "greet"},
    {"text": "hã"},
    {"text": "não está na tabela"},
    {"text": "bom dia"},
]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "table.tsv").write_text("bom dia\tgood morning\nhã\t\n", encoding="utf-8")
    path = tmp_path / "pt.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    return path


def _translate(source: Path, out: str, *, overwrite: bool = False) -> TranslateResult:
    folder = source.parent
    return translate(
        source,
        mt=f"table:{folder / 'table.tsv'}",
        out=folder / out,
        cache=folder / "cache.sqlite",
        overwrite=overwrite,
    )


def test_jsonl_has_a_row_for_every_row_and_marks_what_went_wrong(source: Path) -> None:
    result = _translate(source, "en.jsonl")
    rows = [
        json.loads(line) for line in (source.parent / "en.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    assert [row["source"] for row in rows] == [row["text"] for row in ROWS]
    assert [row["text"] for row in rows] == ["good morning", "", "", "good morning"]
    assert [row.get("status") for row in rows] == [None, "empty", "failed", None]
    assert rows[0]["id"] == "1"
    assert (result.total, result.ok, result.empty, result.failed) == (4, 2, 1, 1)
    assert result.to_dict()["failures"][0]["text"] == "não está na tabela"


def test_labels_are_not_carried_over(source: Path) -> None:
    _translate(source, "en.jsonl")
    assert "greet" not in (source.parent / "en.jsonl").read_text(encoding="utf-8")


def test_txt_keeps_line_for_line(source: Path) -> None:
    _translate(source, "en.txt")
    assert (source.parent / "en.txt").read_text(encoding="utf-8") == "good morning\n\n\ngood morning\n"


def test_tsv_is_a_table_that_a_translator_reads(source: Path) -> None:
    _translate(source, "pt-en.tsv")
    again = open_translator(f"table:{source.parent / 'pt-en.tsv'}")
    assert again.translate(["bom dia", "hã"]) == ["good morning", ""]
    with pytest.raises(TranslationError, match="não está na tabela"):
        again.translate(["não está na tabela"])


def test_tsv_keeps_line_for_line_and_marks_what_went_wrong(source: Path) -> None:
    _translate(source, "en.tsv")
    assert (source.parent / "en.tsv").read_text(encoding="utf-8").splitlines() == [
        "source\ttext\tstatus",
        "bom dia\tgood morning\tok",
        "hã\t\tempty",
        "não está na tabela\t\tfailed",
        "bom dia\tgood morning\tok",
    ]


@pytest.mark.parametrize("name", ["en.jsonl", "en.tsv"])
def test_translations_are_utterances(source: Path, name: str) -> None:
    source.write_text('{"text": "bom dia"}\n', encoding="utf-8")
    _translate(source, name)
    assert read_texts(source.parent / name) == ["good morning"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_the_file_to_be_translated_is_never_replaced(source: Path, overwrite: bool) -> None:
    before = source.read_bytes()
    (source.parent / "linked.jsonl").symlink_to(source)
    for name in (source.name, "linked.jsonl"):
        with pytest.raises(UsageError, match="the file to be translated"):
            _translate(source, name, overwrite=overwrite)
    assert source.read_bytes() == before


def test_a_file_that_exists_is_replaced_only_where_that_is_asked(source: Path) -> None:
    notes = source.parent / "notes.txt"
    notes.write_text("mine\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"notes\.txt exists"):
        _translate(source, notes.name)
    assert notes.read_text(encoding="utf-8") == "mine\n"
    _translate(source, notes.name, overwrite=True)
    assert notes.read_text(encoding="utf-8").startswith("good morning\n")


def test_a_second_call_finds_all_but_failures_in_the_cache(source: Path) -> None:
    assert _translate(source, "en.txt").cached == 0
    assert _translate(source, "en.jsonl").cached == 2


def test_where_nothing_could_be_translated_nothing_is_written(source: Path) -> None:
    (source.parent / "table.tsv").write_text("outra coisa\tanother thing\n", encoding="utf-8")
    with pytest.raises(FtxError, match="none of the 4 texts"):
        _translate(source, "en.txt")
    assert not (source.parent / "en.txt").exists()


def test_an_output_of_another_kind_is_refused_before_any_work(source: Path) -> None:
    with pytest.raises(UsageError, match=r"en\.docx"):
        _translate(source, "en.docx")
