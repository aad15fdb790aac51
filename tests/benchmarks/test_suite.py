"""Suites: what a file describes, its cells and their keys."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ftx_edge import benchmark_accuracy
from ftx_edge.benchmarks.suite_file import read_suite
from ftx_edge.benchmarks.suite_keys import file_hash, mplm_fingerprint, step1_key
from ftx_edge.errors import DataError, UsageError
from ftx_edge.recipe import Recipe

ROOT = Path(__file__).resolve().parents[2]


def test_a_grid_has_a_cell_for_each_run_and_each_source(write, cell_of):
    suite = read_suite(write())
    cells = suite.cells()
    assert [c.place for c in cells if c.student is None] == ["recorded/source"]
    assert len(cells) == 1 + 2 * (2 + 2 + 2 * 2)  # seeds, students of two methods, and a cell a language
    assert cell_of(suite, method="naive").languages == ("pt", "de")
    assert [c.languages for c in cells if c.method == "neighbours"][:2] == [("pt",), ("de",)]


def test_a_cells_recipe_is_the_base_then_method_then_student(write, cell_of):
    suite = read_suite(write('[mplms.other]\nlayers = 1\nname = "somewhere"'))
    recipe = suite.recipe_of(cell_of(suite, method="masked", student="cnn", seed=1), label="hf:x")
    assert (recipe.student.architecture, recipe.student.channels, recipe.seed) == ("cnn", 8, 1)
    assert (recipe.augment.share, recipe.mplm.layers, recipe.mplm.name) == (1.0, 1, "somewhere")
    assert recipe.data.targets["de"].endswith("/de.txt")


def test_quick_takes_part_of_the_grid_into_records_of_its_own(write, cell_of):
    suite = read_suite(write(), quick=True)
    assert [c.place for c in suite.cells() if c.student] == [
        "recorded/mplm/naive/static/seed0",
        "recorded/mplm/naive/cnn/seed0",
    ]
    assert (suite.out.name, suite.runs.name) == ("tiny-quick.json", "runs-quick")
    assert suite.recipe_of(cell_of(suite, student="cnn"), label="hf:x").step2.max_steps == 1


def test_methods_that_differ_in_step_2_alone_share_step_1(write, cell_of):
    suite = read_suite(write())
    keys = {
        (method, student): step1_key(suite, cell_of(suite, method=method, student=student))
        for method in ("naive", "masked", "neighbours")
        for student in ("static", "cnn")
    }
    assert len(set(keys.values())) == 2
    assert keys["naive", "static"] == keys["masked", "cnn"]


def test_what_a_method_says_of_the_student_is_no_part_of_step_1(write, cell_of):
    suite = read_suite(write("[methods.other]\nstudent.dropout = 0.3\nstep2.epochs = 7"))
    keys = {step1_key(suite, cell_of(suite, method=method)) for method in ("naive", "other")}
    assert len(keys) == 1


def test_an_mplm_of_english_alone_is_one_however_languages_are_turned_when_it_is_asked(write, cell_of):
    suite = read_suite(write('[methods.left]\nbalance.method = "none"\nmplm.turns = 0'))
    turned, left = (cell_of(suite, method=method) for method in ("naive", "left"))
    assert step1_key(suite, turned) == step1_key(suite, left)
    assert mplm_fingerprint(suite, turned, "pt", "x") != mplm_fingerprint(suite, left, "pt", "x")


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ("[methods.x]\nstep3 = 1", r"\[methods.x\]: unknown field 'step3'"),
        ("[methods.source]", "'source' is a baseline"),
        ("[baselines]\ntfidf = ['x']", r"no \[methods.x\]"),
        ("[baselines]\ngold-supervised = true", "needs data.gold"),
        ("[sources.x]", r"\[sources.x\]: set label or tag"),
        ("[methods.x]\nbalance.method = 'translations'", "needs"),
        ("[baselines]\nmagic = true", "unknown field 'baselines.magic'"),
        ("[plots]", "unknown field 'plots'"),
    ],
)
def test_what_cannot_work_is_said_with_the_file(write, more, says):
    path = write(more)
    with pytest.raises(DataError, match=says) as error:
        read_suite(path)
    assert str(path) in str(error.value)


def test_a_filter_chooses_cells_and_one_that_chooses_none_is_an_error(write):
    found = benchmark_accuracy(write(), only=["method=naive|masked,student=cnn,seed=1"], dry_run=True)
    assert [(c.cell.place, c.state) for c in found.cells] == [
        ("recorded/mplm/naive/cnn/seed1", "left"),
        ("recorded/mplm/masked/cnn/seed1", "left"),
    ]
    with pytest.raises(UsageError, match="no cell"):
        benchmark_accuracy(write(), only=["student=bilstm"], dry_run=True)
    with pytest.raises(UsageError, match="expected KEY=VALUE"):
        benchmark_accuracy(write(), only=["students=cnn"], dry_run=True)


def test_the_command_lists_cells_and_says_what_is_wrong(ftx, write):
    outcome = ftx("benchmark", "accuracy", write(), "--dry-run", "--only", "student=cnn,method=naive")
    assert outcome.code == 0
    assert outcome.out.splitlines()[1].split() == ["left", "recorded/mplm/naive/cnn/seed0", "pt", "de"]
    assert ftx("benchmark", "accuracy", "nowhere.toml").error == "nowhere.toml: no such suite"


@pytest.mark.parametrize("name", ["demo", "mtop", "multiatis"])
def test_the_suites_that_come_along_can_be_read_and_have_a_quick_grid(name):
    whole, quick = read_suite(name).cells(), read_suite(name, quick=True).cells()
    assert len(whole) > len(quick) > 1


OFFLINE = (
    "massive",
    "massive-tagging",
    "massive-translator",
    "ablation-near",
    "ablation-step1",
    "ablation-step2",
    "architectures",
    "averaged",
    "ablation-neighbours",
    "ablation-words",
    "csls",
    "joint",
    "joint-transformer",
    "mplms",
    "mtop-subset",
    "new-words",
    "nine",
    "portuguese",
    "rounds",
)


@pytest.mark.parametrize("name", OFFLINE)
def test_the_offline_suites_can_be_read_and_write_into_the_results(name):
    suite = read_suite(name)
    assert suite.cells()
    assert suite.out == Path("docs/results", f"{name}.json")


@pytest.mark.parametrize(
    ("file", "suite", "place"),
    [
        (
            "recipes/best.toml",
            "portuguese",
            "transformer/e5-small/neighbours-whole-and-translations/cnn/seed0",
        ),
        ("examples/massive/joint.toml", "nine", "joint/e5-small/neighbours/cnn-narrow/seed0"),
    ],
    ids=["best", "joint"],
)
def test_the_recipes_that_are_recommended_are_those_that_were_measured(file, suite, place, monkeypatch):
    suite = read_suite(suite)
    (cell,) = [cell for cell in suite.cells() if cell.place == place]
    source = suite.sources[cell.source]
    measured = suite.recipe_of(cell, source.label, source.tag)
    given = {"teacher.label": source.label, "teacher.tag": source.tag, "data.source": measured.data.source}
    recipe = Recipe.read(ROOT / file).override({**given, "data.targets": measured.data.targets})
    assert recipe.fingerprint == measured.fingerprint


def test_tables_are_made_from_the_records_where_neither_models_nor_text_are_left(tmp_path, monkeypatch, ftx):
    monkeypatch.chdir(tmp_path)
    results = Path("docs", "results")
    results.mkdir(parents=True)
    outcome = ftx("benchmark", "accuracy", "joint", "--tables")
    assert (outcome.code, "nothing has been measured yet" in outcome.error) == (1, True)
    measured = [name for name in OFFLINE if (ROOT / results / f"{name}.json").is_file()]
    assert len(measured) > 10
    for name in measured:
        shutil.copy(ROOT / results / f"{name}.json", results)
        assert ftx("benchmark", "accuracy", name, "--tables").code == 0
        there = (ROOT / results / f"{name}.md").read_text(encoding="utf-8")
        assert (results / f"{name}.md").read_text(encoding="utf-8") == there


def test_what_a_suite_reads_and_is_not_there_is_named_with_the_cure():
    with pytest.raises(DataError, match=r"runs/nothing: no such file or folder.*first lines"):
        file_hash("runs/nothing")
