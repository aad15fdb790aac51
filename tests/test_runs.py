"""A run folder belongs to one recipe and its inputs, and says what is done."""

from __future__ import annotations

import json

import pytest

from ftx_edge.errors import FtxError
from ftx_edge.recipe import Recipe
from ftx_edge.runs import RunLayout, finish_stage, open_run, write_metrics

RECIPE = Recipe().override(
    {
        "teacher.label": "recorded:t.jsonl",
        "data.source": "en.txt",
        "data.targets": {"pt": "pt.txt"},
        "balance.method": "none",
    }
)
INPUTS = {"teacher": "a1", "source text": "b2", "pt text": "c3"}


@pytest.fixture
def run(tmp_path) -> RunLayout:
    return open_run(tmp_path / "run", RECIPE, INPUTS)


def test_a_new_run_says_what_it_is_made_from(run):
    record = run.read_record()
    assert record["recipe"] == RECIPE.fingerprint
    assert record["inputs"] == INPUTS
    assert record["seed"] == 0
    assert record["versions"]["numpy"]
    assert record["stages"] == {}
    assert Recipe.read(run.recipe) == RECIPE


def test_the_same_recipe_and_inputs_go_on_with_it(run):
    finish_stage(run, "mplm", {"loss": 0.5})
    again = open_run(run.root, RECIPE, INPUTS)
    assert again.read_record()["stages"] == {"mplm": {"loss": 0.5}}


def test_another_device_goes_on_with_it(run):
    open_run(run.root, RECIPE.override({"device": "cpu"}), INPUTS)


def test_another_recipe_is_refused_and_the_difference_named(run):
    with pytest.raises(FtxError, match=r"belongs to another recipe \('seed = 0' there, 'seed = 1' here\)"):
        open_run(run.root, RECIPE.override({"seed": 1}), INPUTS)


def test_another_language_joins_a_run(run):
    both = RECIPE.override({"data.targets": {"de": "de.txt"}})
    open_run(run.root, both, {"teacher": "a1", "source text": "b2", "de text": "e5"})
    assert Recipe.read(run.recipe).data.targets == {"pt": "pt.txt", "de": "de.txt"}
    assert run.read_record()["inputs"] == {**INPUTS, "de text": "e5"}
    open_run(run.root, RECIPE, INPUTS)
    finish_stage(run, "mplm", {})
    with pytest.raises(FtxError, match="de text changed"):
        open_run(run.root, both, {**INPUTS, "de text": "f6"})


def test_an_input_may_change_until_a_stage_is_done(run):
    open_run(run.root, RECIPE, {**INPUTS, "teacher": "mended"})
    assert run.read_record()["inputs"] == {**INPUTS, "teacher": "mended"}


def test_a_stage_whose_model_is_gone_is_not_finished(run):
    finish_stage(run, "students/pt", {"loss": 0.5})
    assert run.finished("students/pt") is None
    run.student("pt").mkdir(parents=True)
    (run.student("pt") / "model.safetensors").touch()
    assert run.finished("students/pt") == {"loss": 0.5}


def test_a_changed_input_is_refused_by_name(run):
    finish_stage(run, "mplm", {})
    with pytest.raises(FtxError, match="pt text changed since"):
        open_run(run.root, RECIPE, {**INPUTS, "pt text": "d4"})


def test_a_refused_folder_stays_as_it_was(run):
    before = {p: p.read_bytes() for p in run.root.rglob("*") if p.is_file()}
    with pytest.raises(FtxError):
        open_run(run.root, RECIPE.override({"seed": 1}), INPUTS)
    assert {p: p.read_bytes() for p in run.root.rglob("*") if p.is_file()} == before


def test_a_folder_with_something_else_in_it_is_refused(tmp_path):
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "mine.txt").write_text("dear")
    with pytest.raises(FtxError, match="exists and is not a run"):
        open_run(tmp_path / "letters", RECIPE, INPUTS)
    with pytest.raises(FtxError, match="exists and is not a run"):
        open_run(tmp_path / "letters" / "mine.txt", RECIPE, INPUTS)


def test_an_empty_folder_becomes_a_run(tmp_path):
    (tmp_path / "run").mkdir()
    assert open_run(tmp_path / "run", RECIPE, INPUTS).record.is_file()


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"stages": ["mplm"]}', '{"stages": {"mplm": 1}}'])
def test_a_damaged_record_is_an_error_that_names_it(run, content):
    run.record.write_text(content)
    with pytest.raises(FtxError, match=r"run\.json is damaged"):
        open_run(run.root, RECIPE, INPUTS)


def test_a_folder_that_is_no_run_says_so(tmp_path):
    with pytest.raises(FtxError, match=r"is not a run: it has no run\.json"):
        RunLayout(tmp_path).read_record()
    (tmp_path / "file").touch()
    with pytest.raises(FtxError, match=r"file is not a run: it has no run\.json"):
        RunLayout(tmp_path / "file").read_record()


def test_languages_are_those_whose_student_is_finished(run):
    assert run.languages() == []
    run.student("de").mkdir(parents=True)
    finish_stage(run, "mplm", {})
    finish_stage(run, "students/pt", {})
    assert run.languages() == ["pt"]
    assert RunLayout(run.root / "nowhere").languages() == []


def test_metrics_of_a_stage_replace_what_was_there_of_it(run):
    write_metrics(run, "mplm", [{"step": 1, "loss": 3.0}])
    write_metrics(run, "students/pt", [{"step": 5, "loss": 2.0}])
    write_metrics(run, "mplm", [{"step": 1, "loss": 3.0}, {"step": 2, "loss": 1.0}])
    rows = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    assert [(r["stage"], r["step"]) for r in rows] == [("students/pt", 5), ("mplm", 1), ("mplm", 2)]
