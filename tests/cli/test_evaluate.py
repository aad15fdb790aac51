"""`ftx-edge evaluate`: the figures, and test sets that cannot be used."""

from __future__ import annotations

import json

import pytest


@pytest.fixture
def labelled(tmp_path):
    file = tmp_path / "pt.test.jsonl"
    rows = [("acenda a luz", "light_on"), ("apaga a luz", "light_off"), ("toca", "light_on")]
    lines = (json.dumps({"text": text, "label": label}) + "\n" for text, label in rows)
    file.write_text("".join(lines), encoding="utf-8")
    return file


def test_accuracy_comes_with_its_interval_and_the_worst_confusions(ftx, tiny_package, labelled):
    outcome = ftx("evaluate", tiny_package, "--test", labelled)
    assert outcome.code == 0
    assert "66.7 % (95 % interval" in outcome.out
    assert "play_music" in outcome.out
    assert "Traceback" not in outcome.err


def test_json_has_the_same_numbers(ftx, tiny_package, labelled):
    values = json.loads(ftx("evaluate", tiny_package, "--test", labelled, "--json").out)
    assert values["accuracy"]["value"] == pytest.approx(2 / 3)
    assert values["n"] == 3
    assert values["confusions"][0]["predicted"] == "play_music"


@pytest.mark.parametrize(("end", "said"), [(23, False), (20, True)])
def test_spans_that_cut_a_word_are_counted(ftx, tiny_joint_package, tmp_path, end, said):
    span = {"start": 16, "end": end, "label": "room"}
    file = tmp_path / "pt.test.jsonl"
    file.write_text(json.dumps({"text": "acenda a luz da cozinha", "spans": [span]}) + "\n", encoding="utf-8")
    shown = ftx("evaluate", tiny_joint_package, "--test", file).out
    assert ("spans that cut a word: 1, taken to its edges" in " ".join(shown.split())) == said
    assert json.loads(ftx("evaluate", tiny_joint_package, "--test", file, "--json").out)["rounded"] == said


@pytest.mark.parametrize(
    ("content", "says"),
    [("", "test.txt"), ("acenda a luz\n", "neither labels nor spans")],
    ids=["empty", "no labels"],
)
def test_a_test_set_without_labels_is_refused(ftx, tiny_package, tmp_path, content, says):
    file = tmp_path / "test.txt"
    file.write_text(content, encoding="utf-8")
    outcome = ftx("evaluate", tiny_package, "--test", file)
    assert (outcome.code, outcome.out) == (1, "")
    assert says in outcome.error


def test_no_such_target(ftx, tmp_path, labelled):
    outcome = ftx("evaluate", tmp_path / "none", "--test", labelled)
    assert outcome.code == 2
    assert "no package, no run, and no teacher" in outcome.error
