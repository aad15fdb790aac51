"""`ftx-edge inspect`: the manifest, the sizes, and whether the hashes hold."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest


def test_it_says_what_the_package_is_and_that_its_files_are_whole(ftx, tiny_package):
    outcome = ftx("inspect", tiny_package)
    assert outcome.code == 0
    assert "classification" in outcome.out
    assert "light_on, light_off, play_music" in outcome.out
    assert outcome.out.count(" verified") == 3
    assert "agreement: 1" in outcome.out
    assert "spans begin" not in outcome.out


@pytest.mark.parametrize(
    ("boundaries", "said"),
    [("word", "as spaces and punctuation part them"), ("token", "any subword"), ("model", "as the model")],
)
def test_it_says_where_spans_begin_and_end(ftx, tiny_joint_package, tmp_path, boundaries, said):
    package = Path(shutil.copytree(tiny_joint_package, tmp_path / "package"))
    manifest = json.loads((package / "ftx.json").read_text())
    (package / "ftx.json").write_text(json.dumps(manifest | {"span_boundaries": boundaries}))
    (line,) = [row for row in ftx("inspect", package).out.splitlines() if row.startswith("spans begin")]
    assert said in line


def test_json_has_the_sizes_of_files_and_parts(ftx, tiny_package):
    values = json.loads(ftx("inspect", tiny_package, "--json").out)
    assert values["task"] == "classification"
    assert values["size"] == sum(f.stat().st_size for f in tiny_package.rglob("*") if f.is_file())
    assert sum(values["parts"].values()) == values["size"]
    assert values["files"]["tokenizer.json"]["verified"] is True


def test_a_changed_file_is_shown_and_is_an_error(ftx, tiny_package, tmp_path):
    copy = Path(shutil.copytree(tiny_package, tmp_path / "copy"))
    (copy / "config.json").write_bytes(b"[]\n")
    outcome = ftx("inspect", copy)
    assert outcome.code == 1
    assert "DOES NOT MATCH" in outcome.out
    assert "config.json does not have the SHA-256" in outcome.error
    assert json.loads(ftx("inspect", copy, "--json").out)["files"]["config.json"]["verified"] is False


def test_the_card_is_for_people_to_edit(ftx, tiny_package, tmp_path):
    copy = Path(shutil.copytree(tiny_package, tmp_path / "copy"))
    (copy / "README.md").write_text("# Ours\n")
    outcome = ftx("inspect", copy)
    assert outcome.code == 0
    assert "not checked" in next(line for line in outcome.out.splitlines() if line.startswith("README.md"))


def test_a_folder_that_is_no_package(ftx, tmp_path):
    outcome = ftx("inspect", tmp_path)
    assert (outcome.code, outcome.out) == (1, "")
    assert "ftx.json is missing" in outcome.error
