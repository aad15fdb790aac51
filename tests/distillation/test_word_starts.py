"""Where words begin in languages without spaces: what students learn of it, and which do."""

from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from ftx_edge.batches import Batch
from ftx_edge.distillation import distill
from ftx_edge.distillation.labelled import word_starts
from ftx_edge.distillation.losses import WORD_WEIGHT, distillation_loss
from ftx_edge.evaluation import evaluate
from ftx_edge.recipe_tables import StepRecipe
from ftx_edge.runs import RunLayout
from ftx_edge.students import load_student
from ftx_edge.students.model import Outputs
from ftx_edge.teachers import open_teacher
from ftx_edge.tokenization import Encoded
from ftx_edge.words import segmenter

VERBS, PLACES, THINGS = ("打开", "关掉", "播放"), ("厨房的", "客厅的", "现在"), ("灯", "音乐", "风扇")
TEXTS = [f"{verb}{place}{thing}" for verb in VERBS for place in PLACES for thing in THINGS]


@pytest.fixture
def distilled(recipe, tmp_path):
    """``distilled("tagging")``: the run of a Chinese student."""
    pytest.importorskip("jieba")
    (tmp_path / "zh.txt").write_text("\n".join(TEXTS) + "\n", encoding="utf-8")

    def make(task, **changes):
        changed = recipe(task, **{"data.targets": {"zh": str(tmp_path / "zh.txt")}, **changes})
        return RunLayout(distill(changed, tmp_path / "run").run)

    return make


def test_a_word_begins_in_the_subword_that_holds_its_first_character():
    # 東 京都 に行 く: the third piece covers a word and the beginning of the next.
    offsets = np.array([(0, 0), (0, 1), (1, 3), (3, 5), (5, 6), (0, 0), (0, 2)], dtype=np.int32)
    encoded = Encoded(np.zeros(7, np.int32), offsets, np.array([0, 5, 7], np.int64))
    words = [[(0, 3), (3, 4), (4, 6)], [(0, 2)]]
    assert word_starts(encoded, words).tolist() == [-1, 1, 0, 1, 0, -1, 1]


def test_the_loss_counts_what_stands_over_text():
    nothing = torch.zeros(1, 3, dtype=torch.int64)
    batch = Batch(nothing, nothing, *[None] * 6, torch.tensor([[-1.0, 1, 0]]), size=1)
    outputs = Outputs(None, None, word_logits=torch.tensor([[50.0, 0, 0]]))
    loss = distillation_loss(outputs, batch, StepRecipe())
    assert loss.item() == pytest.approx(WORD_WEIGHT * math.log(2))


@pytest.mark.train
@pytest.mark.parametrize("english", [0.0, 1.0])
def test_students_learn_it(distilled, english):
    layout = distilled(
        "tagging", **{"step2.epochs": 60, "student.vocab_size": 28, "augment.english": english}
    )
    words = [segmenter("zh")(text) for text in TEXTS]
    tags = open_teacher(f"run:{layout.root}#zh", tagging=True).ask(TEXTS, words).tags
    right = [
        begins == (start in {first for first, _ in own})
        for row, own in enumerate(words)
        for (start, _), begins in zip(tags.of_text(row)[0].tolist(), tags.begins_of(row), strict=True)
    ]
    assert len(right) > sum(map(len, words))  # some words are of several subwords
    assert np.mean(right) > 0.95


@pytest.mark.train
@pytest.mark.parametrize(
    ("task", "changes"),
    [
        ("classification", {}),
        ("tagging", {"student.word_starts": False}),
        ("tagging", {"alignment": "first-subword"}),
    ],
)
def test_others_do_not(distilled, task, changes):
    layout = distilled(task, **changes)
    assert load_student(layout.student("zh"))[0].word_head is None


@pytest.mark.train
def test_spans_that_are_evaluated_begin_with_words(distilled, tmp_path, monkeypatch):
    layout = distilled("tagging", **{"step2.epochs": 1})
    test = tmp_path / "test.jsonl"
    test.write_text('{"text": "打开灯", "spans": []}\n', encoding="utf-8")
    asked = []
    monkeypatch.setattr("ftx_edge.runtime.decode", lambda *_args, begins, **_: asked.append(begins) or [])
    evaluate(f"run:{layout.root}#zh", test, language="zh")
    assert asked
    assert all(isinstance(begin, bool) for begin in asked[0])
