"""A run that is killed with SIGKILL, anywhere, and started again ends in the files of one that was not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

from ftx_edge.distillation import distill
from ftx_edge.recipe import Recipe

pytestmark = [
    pytest.mark.train,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked processes"),
]

CHANGES = {
    "step1.epochs": 2,  # 8 steps an epoch
    "step2.epochs": 2,
    "step2.learning_rate": "range-test",  # 100 steps before the first
    "student.architecture": "transformer",
    "student.feed_forward": 16,
}
KILLS = {
    "step 1, inside an epoch": ("step", "mplm", 5),
    "step 2, inside an epoch": ("step", "students/pt", 104),
}
MORE_KILLS = {
    "step 1, first step": ("step", "mplm", 1),
    "step 1, second epoch": ("step", "mplm", 12),
    "while a checkpoint is written": ("checkpoint", "mplm", 6),
    "while step 1 is noted": ("draw_curves", "", 1),
    "while the mPLM is written": ("save_mplm", "", 1),
    "range test": ("step", "students/pt", 40),
    "while the student is written": ("save_student", "", 1),
}

# Imports once, then forks a process for each kill; nothing has been computed before the forks.
PROGRAM = '''
import json, os, signal, sys
import matplotlib.figure, torch._dynamo
from transformers import AutoModel, BertModel
from ftx_edge.distillation import checkpoint, distill, fit, run, step1, step2
from ftx_edge.recipe import Recipe

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def arm(what, stage, count):
    """Die at the count-th call of what in this stage, half of the work done."""
    calls = 0
    def due():
        nonlocal calls
        calls += 1
        return calls == count
    fit.CHECKPOINT_SECONDS = -1.0
    if what == "step":
        step = fit.Fit._step
        def dying(self, batch, number):
            if self.stage == stage and due():
                clip = self.accelerator.clip_grad_norm_
                self.accelerator.clip_grad_norm_ = lambda *a: die()
            return step(self, batch, number)
        fit.Fit._step = dying
    elif what == "checkpoint":
        save = checkpoint.save_file
        def half(tensors, path, metadata):
            save(tensors, path, metadata=metadata)
            if due():
                os.truncate(path, os.path.getsize(path) // 2)
                die()
        checkpoint.save_file = half
    elif what == "draw_curves":
        run.draw_curves = lambda layout: die()
    else:
        room = step1 if what == "save_mplm" else step2
        original = getattr(room, what)
        def after(model, tokenizer, folder):
            (folder.parent / f".{folder.name}.1.tmp").mkdir(parents=True)
            original(model, tokenizer, folder)
            if due():
                die()
        setattr(room, what, after)

recipe = Recipe.read(sys.argv[1])
for out, kill in json.loads(sys.argv[2]).items():
    child = os.fork()
    if child == 0:
        arm(*kill)
        distill(recipe, out)
        os._exit(0)
    print(os.WTERMSIG(os.waitpid(child, 0)[1]))
'''


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("killed")


@pytest.fixture(scope="module")
def expected(folder, recipe) -> Path:
    """The run that is not killed."""
    return distill(recipe("joint", **CHANGES), folder / "whole").run


def kill(recipe: Recipe, folder: Path, kills: dict[str, tuple[str, str, int]]) -> None:
    """Leave in ``folder`` a run for each of ``kills``, killed there."""
    recipe.write(folder / "recipe.toml")
    where = json.dumps({str(folder / name): kill for name, kill in kills.items()})
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder / "recipe.toml"), where],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(int(signal.SIGKILL))] * len(kills), done.stderr


@pytest.fixture(scope="module")
def killed(folder, recipe) -> Recipe:
    """The recipe of the runs of KILLS, each killed."""
    kill(recipe("joint", **CHANGES), folder, KILLS)
    return recipe("joint", **CHANGES)


@pytest.fixture(scope="module")
def more_killed(folder, recipe) -> Recipe:
    """The recipe of the runs of MORE_KILLS, each killed."""
    kill(recipe("joint", **CHANGES), folder, MORE_KILLS)
    return recipe("joint", **CHANGES)


@pytest.fixture
def resumes(folder, expected, contents, progress):
    """``resumes(recipe, name, kill)``: start that run again and compare."""

    def check(recipe, name, kill):
        out, (what, stage, count) = folder / name, kill
        assert "students/pt" not in (out / "run.json").read_text()
        distill(recipe, out, progress=progress)
        for part in ("mplm", "students/pt"):
            assert contents(out / part) == contents(expected / part)
        assert measured(out) == measured(expected)
        steps = count - 1 - (100 if stage == "students/pt" else 0)
        if what == "step" and steps > 0:
            assert f"{stage}: resumes at step {steps}" in progress.notes

    return check


def measured(run: Path) -> list[tuple[str, int, float]]:
    """Stage, step and loss of every evaluation, in order."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [(row["stage"], row["step"], row["loss"]) for row in rows]


@pytest.mark.parametrize("name", KILLS)
def test_a_killed_run_resumes_to_the_same_files(killed, resumes, name):
    resumes(killed, name, KILLS[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", MORE_KILLS)
def test_a_run_killed_elsewhere_resumes_to_the_same_files(more_killed, resumes, name):
    resumes(more_killed, name, MORE_KILLS[name])
