"""`ftx-edge distill` and `ftx-edge export`: the whole way on a tiny run, and what they refuse."""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.train

SMALL = """
[step1]
learning_rate = 0.01
[step2]
learning_rate = 0.01
[balance]
method = "none"
[student]
architecture = "static"
init = "random"
embedding_size = 16
vocab_size = 200
max_length = 32
"""


LIMITS = ("--max-steps", 4, "--epochs", 2)


@pytest.fixture(scope="session")
def recipe(tmp_path_factory):
    file = tmp_path_factory.mktemp("recipe") / "small.toml"
    file.write_text(SMALL, encoding="utf-8")
    return file


@pytest.fixture
def run(ftx, tiny_world, recipe, tmp_path):
    options = (*tiny_world.options, *LIMITS)
    outcome = ftx("distill", recipe, *options, "--out", tmp_path / "run")
    assert outcome.code == 0, outcome.err
    return tmp_path / "run"


def test_distill_export_predict_evaluate(ftx, tiny_world, run):
    exported = ftx("export", run, "--int8", "--max-drop", 1, "--json")
    assert exported.code == 0, exported.err
    (package,) = json.loads(exported.out)
    assert package["language"] == "pt"
    predicted = ftx("predict", run / "packages" / "pt.ftx", "acenda a luz", "--json")
    assert json.loads(predicted.out)["label"] in ("light_on", "light_off", "play_music")
    evaluated = ftx("evaluate", run / "packages" / "pt", "--test", tiny_world.test, "--json")
    values = json.loads(evaluated.out)
    assert values["agreement"] is not None
    assert ftx("inspect", run / "packages" / "pt").code == 0


def test_options_override_the_recipe_and_the_effective_one_is_kept(run):
    from ftx_edge.recipe import Recipe

    effective = Recipe.read(run / "recipe.toml")
    assert effective.step1.max_steps == effective.step2.max_steps == 4
    assert effective.step1.epochs == effective.balance.epochs == effective.step2.epochs == 2
    assert effective.student.architecture == "static"
    assert set(effective.data.targets) == {"pt"}


def test_progress_goes_to_stderr_and_results_to_stdout(ftx, tiny_world, recipe, tmp_path):
    outcome = ftx(
        "distill", recipe, *tiny_world.options, "--max-steps", 2, "--out", tmp_path / "run", "--json"
    )
    values = json.loads(outcome.out)
    assert values["students"]["pt"]["steps"] == 2
    assert "students/pt" in outcome.err
    again = ftx("distill", recipe, *tiny_world.options, "--max-steps", 2, "--out", tmp_path / "run")
    assert "done before" in again.err
    assert "students/pt" in again.out or "pt" in again.out


def test_step_1_is_taken_over_from_another_run(ftx, tiny_world, recipe, run, tmp_path):
    command = ("distill", recipe, *tiny_world.options, *LIMITS, "--student", "cnn")
    outcome = ftx(*command, "--reuse", run, "--out", tmp_path / "cnn", "--json")
    assert outcome.code == 0, outcome.err
    assert "mplm: done before" in outcome.err
    again = ftx(*command, "--reuse", tmp_path / "none", "--out", tmp_path / "other")
    assert again.code in (1, 2)
    assert "none" in again.error


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(ftx, tiny_world, recipe, tmp_path):
    outcome = ftx("distill", recipe, *tiny_world.options, "--out", tmp_path / "run", "--dry-run")
    assert outcome.code == 0
    assert "3 labels" in outcome.out
    assert "students/pt" in outcome.out
    assert "nothing was done now" in outcome.out
    assert not (tmp_path / "run").exists()


def test_a_dry_run_sees_what_is_done(ftx, tiny_world, recipe, run):
    outcome = ftx("distill", recipe, *tiny_world.options, *LIMITS, "--out", run, "--dry-run")
    assert outcome.code == 0
    assert outcome.out.count("done before") == 2
    assert "all of it is done" in outcome.out


def test_a_dry_run_sees_an_out_that_is_taken(ftx, tiny_world, recipe, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    outcome = ftx("distill", recipe, *tiny_world.options, "--out", tmp_path / "notes.txt", "--dry-run")
    assert outcome.code == 1
    assert "exists and is not a run" in outcome.error


def test_a_run_folder_of_another_recipe_is_refused(ftx, tiny_world, recipe, run):
    before = (run / "run.json").read_bytes()
    outcome = ftx("distill", recipe, *tiny_world.options, "--max-steps", 4, "--seed", 7, "--out", run)
    assert outcome.code == 1
    assert "belongs to another recipe" in outcome.error
    assert (run / "run.json").read_bytes() == before


@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        (("--teacher", "gpt:x"), 2, "unknown teacher 'gpt:x'"),
        (("--target", "pt"), 2, "write LANG=FILE"),
        (("--target", "../x=en.txt"), 2, "'../x' is no language code"),
        (("--target", "pt=other.txt"), 2, "--target pt is given twice"),
        (("--teacher", "hf:no/such-model"), 1, "no/such-model"),
        (("--source", "none.txt"), 1, "none.txt"),
        (("--device", "cuda"), 1, "cuda"),
    ],
)
def test_what_cannot_be_done_leaves_nothing(ftx, tiny_world, recipe, tmp_path, change, code, says):
    outcome = ftx("distill", recipe, *tiny_world.options, *change, "--out", tmp_path / "run")
    assert outcome.code == code
    assert says in outcome.error
    assert outcome.out == ""
    assert not (tmp_path / "run").exists()


def test_an_mplm_that_is_not_there_is_named(ftx, tiny_world, recipe, tmp_path):
    outcome = ftx("distill", recipe, *tiny_world.options, "--mplm", "no/model", "--out", tmp_path / "run")
    assert outcome.code == 1
    assert "no/model" in outcome.error


def test_a_recipe_with_an_unknown_field_is_named(ftx, tmp_path):
    file = tmp_path / "wrong.toml"
    file.write_text("[step1]\nepoch = 3\n", encoding="utf-8")
    outcome = ftx("distill", file)
    assert outcome.code == 1
    assert "wrong.toml" in outcome.error
    assert "unknown field 'step1.epoch'" in outcome.error


def test_without_a_teacher_there_is_nothing_to_distil(ftx, tmp_path):
    outcome = ftx("distill", "--out", tmp_path / "run")
    assert outcome.code == 2
    assert "--teacher" in outcome.error


def test_recorded_predictions_that_do_not_sum_to_1_are_named(ftx, tiny_world, recipe, tmp_path):
    lines = tiny_world.source.with_name("teacher.jsonl").read_text(encoding="utf-8").splitlines()
    lines[4] = lines[4].replace("0.9", "0.5")
    wrong = tmp_path / "wrong.jsonl"
    wrong.write_text("\n".join(lines) + "\n", encoding="utf-8")
    outcome = ftx(
        "distill", recipe, *tiny_world.options, "--teacher", f"recorded:{wrong}", "--out", tmp_path / "run"
    )
    assert outcome.code == 1
    assert "wrong.jsonl:5: " in outcome.error


def test_a_gate_that_fails_writes_nothing(ftx, run):
    outcome = ftx("export", run, "--max-size", "1kB", "--max-drop", 1)
    assert outcome.code == 1
    assert "above the limit of 0.001 MB" in outcome.error
    assert not (run / "packages" / "pt").exists()
    assert not (run / "packages" / "pt.ftx").exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [(("--lang", "xx"), "no finished student of xx"), (("--max-size", "large", "--max-drop", 1), "'large'")],
)
def test_an_export_that_makes_no_sense_is_code_2(ftx, run, options, says):
    outcome = ftx("export", run, *options)
    assert outcome.code == 2
    assert says in outcome.error


def test_a_folder_that_is_no_run_cannot_be_exported(ftx, tmp_path):
    outcome = ftx("export", tmp_path)
    assert outcome.code == 1
    assert "is not a run" in outcome.error
