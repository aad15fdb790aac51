"""What the tests of suites share: a suite of tiny models."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest


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


@pytest.fixture
def cell_of():
    """``cell_of(suite, method="naive")``: the first cell of that kind."""

    def find(suite, **wanted):
        return next(c for c in suite.cells() if all(getattr(c, k) == v for k, v in wanted.items()))

    return find
