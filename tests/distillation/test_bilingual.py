"""Bilingual step 2: students that learn from English text as well, and are selected on target text."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("torch")

from ftx_edge.distillation import distill, plan
from ftx_edge.runs import RunLayout
from ftx_edge.students import load_student
from ftx_edge.teachers import open_teacher

pytestmark = pytest.mark.train


def made(recipe, task="classification", **changes):
    return recipe(task, **{"step2.epochs": 8, "data.held_out": 0.1, **changes})


@pytest.fixture(scope="module")
def monolingual(recipe, tmp_path_factory):
    return RunLayout(distill(made(recipe), tmp_path_factory.mktemp("monolingual") / "run").run)


@pytest.fixture(scope="module")
def bilingual(recipe, monolingual, tmp_path_factory):
    out = tmp_path_factory.mktemp("bilingual") / "run"
    return RunLayout(distill(made(recipe, **{"augment.english": 1.0}), out, reuse=monolingual.root).run)


def english_loss(layout, texts) -> float:
    """KL(mPLM || student) on English text."""
    mplm = open_teacher(f"run:{layout.root}#mplm").ask(texts).labels
    student = open_teacher(f"run:{layout.root}#pt").ask(texts).labels
    return float((mplm * (np.log(mplm) - np.log(student))).sum(axis=1).mean())


def test_the_student_learns_english_as_well(world, monolingual, bilingual):
    texts = world.source.read_text().splitlines()
    assert english_loss(bilingual, texts) < 0.8 * english_loss(monolingual, texts)


def test_its_tokenizer_is_trained_on_both(monolingual, bilingual):
    pieces = [load_student(layout.student("pt"))[1].get_vocab() for layout in (monolingual, bilingual)]
    assert ["▁kitchen" in vocabulary for vocabulary in pieces] == [False, True]
    assert all("▁luz" in vocabulary for vocabulary in pieces)


def test_it_is_selected_and_checked_on_target_text(monolingual, bilingual):
    assert bilingual.held_out("pt").read_bytes() == monolingual.held_out("pt").read_bytes()
    stages = [layout.read_record()["stages"]["students/pt"] for layout in (monolingual, bilingual)]
    assert [stage["texts"] for stage in stages] == [58, 116]
    held_out = bilingual.held_out("pt").read_text().splitlines()
    texts = [json.loads(row)["text"] for row in held_out]
    mplm = open_teacher(f"run:{bilingual.root}#mplm@pt").ask(texts).labels
    student = open_teacher(f"run:{bilingual.root}#pt").ask(texts).labels
    assert len(texts) == 6
    loss = float((mplm * (np.log(mplm) - np.log(student))).sum(axis=1).mean())
    assert loss == pytest.approx(stages[1]["loss"], abs=1e-4)


@pytest.mark.parametrize(("english", "texts"), [(0.5, 58 + 29), (9.0, 58 + 58)])
def test_there_are_so_many_english_texts_for_each_target_text(recipe, monolingual, tmp_path, english, texts):
    changed = made(recipe, **{"augment.english": english, "step2.max_steps": 1})
    run = distill(changed, tmp_path / "run", reuse=monolingual.root).run
    assert RunLayout(run).read_record()["stages"]["students/pt"]["texts"] == texts
    assert plan(changed).stages[-1].utterances == texts


def test_the_same_seed_gives_the_same_student(recipe, monolingual, bilingual, tmp_path, contents):
    run = distill(made(recipe, **{"augment.english": 1.0}), tmp_path / "run", reuse=monolingual.root).run
    assert contents(RunLayout(run).student("pt")) == contents(bilingual.student("pt"))


@pytest.mark.parametrize("init", ["random", "mplm-embeddings"])
def test_with_spans_new_texts_and_a_start_from_the_mplm(recipe, tmp_path, init):
    changes = {"augment.english": 1.0, "augment.share": 0.5, "student.init": init, "step2.epochs": 8}
    result = distill(made(recipe, "joint", **changes), tmp_path / "run")
    assert result.students["pt"].loss < result.students["pt"].history[0]["loss"]
    student = open_teacher(f"run:{result.run}#pt", tagging=True)
    assert student.ask(["play a song"], [()]).tags.probs.shape[1] == 3


def test_a_language_without_spaces_may_learn_from_english_too(recipe, tmp_path):
    pytest.importorskip("jieba")
    verbs, places, things = ("打开", "关掉"), ("厨房的", "客厅的", "现在"), ("灯", "音乐", "风扇")
    texts = [f"{v}{p}{t}" for v in verbs for p in places for t in things]
    (tmp_path / "zh.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
    changes = {"data.targets": {"zh": str(tmp_path / "zh.txt")}, "augment.english": 1.0, "step2.epochs": 1}
    run = distill(made(recipe, **changes), tmp_path / "run").run
    vocabulary = load_student(RunLayout(run).student("zh"))[1].get_vocab()
    assert {"厨房", "the"} <= set(vocabulary)
