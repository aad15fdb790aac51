"""Several processes do one run together: started by ``accelerate launch``, as jobs, or each by hand."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

pytest.importorskip("torch")

from ftx_edge.distillation import distill, pipeline
from ftx_edge.errors import UsageError
from ftx_edge.locks import try_lock
from ftx_edge.runs import RunLayout
from ftx_edge.students import load_student

pytestmark = pytest.mark.train


def launch(recipe_file, out):
    """The command line in two processes on this machine alone; what they printed."""
    environment = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "GLOO_SOCKET_IFNAME": "lo",  # no other network is needed, and none may be there
    }
    # With --cpu accelerate starts a single process, unless mpirun starts them; with --multi_gpu torch does,
    # and the recipe's device keeps them on the processor.
    command = [
        sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2",
        "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no",
        "--main_process_ip", "127.0.0.1", "--main_process_port", "0",
        "-m", "ftx_edge.cli", "distill", str(recipe_file), "--out", str(out), "--json",
    ]  # fmt: skip
    return subprocess.run(
        command, capture_output=True, text=True, timeout=240, check=False, env=environment, cwd=out.parent
    )


@pytest.mark.slow
def test_two_processes_end_in_one_run(recipe, tmp_path):
    made = recipe("joint", **{"step1.learning_rate": "range-test"})
    made.write(tmp_path / "recipe.toml")
    done = launch(tmp_path / "recipe.toml", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)  # from the main process alone
    # 58 texts, 8 a batch: 8 batches an epoch, 4 for each process.
    assert report["students"]["pt"]["steps"] == 8
    student, _ = load_student(tmp_path / "run" / "students" / "pt")
    assert student.task == "joint"
    assert report["students"]["pt"]["loss"] < report["students"]["pt"]["history"][0]["loss"] + 1e-6

    again = distill(made, tmp_path / "run")  # one process takes it for finished
    assert again.students["pt"].steps == 8


@pytest.mark.slow
def test_jobs_share_the_students(recipe, world, tmp_path, progress, contents, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    targets = {lang: str(world.target) for lang in ("de", "fr", "pt")}
    made = recipe("joint", **{"data.targets": targets, "step2.epochs": 8})
    alone = distill(made, tmp_path / "alone")
    shared = distill(made, tmp_path / "shared", jobs=2, progress=progress)
    assert list(shared.students) == list(targets)
    for lang in targets:
        here, there = (contents(result.run / "students" / lang) for result in (alone, shared))
        assert here == there
        assert shared.students[lang].history == alone.students[lang].history
    # Which process does which is for the system to say; that the other one did its part, for its log.
    log = (tmp_path / "shared" / "logs" / "job2.log").read_text()
    assert "mplm: done before" in log
    assert "Traceback" not in log
    assert f"another process is at it too: {tmp_path / 'shared' / 'logs' / 'job2.log'}" in progress.notes


@pytest.fixture
def half_done(recipe, tmp_path) -> tuple[RunLayout, dict[str, object]]:
    """A run whose student is not noted as done, and the note."""
    layout = RunLayout(distill(recipe(), tmp_path / "run").run)
    record = layout.read_record()
    note = record["stages"].pop("students/pt")
    layout.write_record(record)
    return layout, note


def test_what_another_process_is_at_is_waited_for(recipe, half_done, progress, monkeypatch):
    layout, note = half_done
    record = layout.read_record()
    with try_lock(layout.locks, "students/pt") as mine:
        assert mine

        def later(_seconds):
            """The other process ends with it; its lock goes with the file that holds it."""
            layout.write_record({**record, "stages": {**record["stages"], "students/pt": note}})
            monkeypatch.setattr(pipeline.Run, "taking", lambda *_: try_lock(layout.locks, "another"))

        monkeypatch.setattr(pipeline.time, "sleep", later)
        result = distill(recipe(), layout.root, progress=progress)
    assert result.students["pt"].history == note["history"]
    assert progress.notes[-2:] == [
        "students/pt: another process is at it",
        "students/pt: done by another process",
    ]


def test_what_another_process_left_is_taken_over(recipe, half_done, progress):
    layout, note = half_done
    with try_lock(layout.locks, "students/pt"):
        pass
    result = distill(recipe(), layout.root, progress=progress)
    assert result.students["pt"].history == note["history"]
    assert not any("another process" in line for line in progress.notes)


def test_no_job_is_too_few(recipe, tmp_path):
    with pytest.raises(UsageError, match="jobs must be at least 1, not 0"):
        distill(recipe(), tmp_path / "run", jobs=0)
    assert not (tmp_path / "run").exists()
