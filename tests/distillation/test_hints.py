"""Hints: the mPLM's states at a student's subwords, and a student that learns to tell them."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from ftx_edge.batches import Batch
from ftx_edge.distillation import distill
from ftx_edge.distillation.hints import SIZE, Hinted, hints_of
from ftx_edge.distillation.losses import distillation_loss
from ftx_edge.distillation.text_states import TextStates
from ftx_edge.errors import UsageError
from ftx_edge.mplm.model import MultilingualModel, load_encoder, load_tokenizer
from ftx_edge.mplm.states import states_of
from ftx_edge.recipe_tables import StepRecipe
from ftx_edge.runs import RunLayout
from ftx_edge.students import StudentConfig, build_student, load_student
from ftx_edge.students.model import Outputs
from ftx_edge.tokenization import encode, train_tokenizer

CPU = torch.device("cpu")
CONFIG = StudentConfig(
    "cnn", 150, ("a", "b"), ("O", "B-x", "I-x"), embedding_size=16, channels=8, layers=1, max_length=32
)


@pytest.fixture(scope="module")
def mplm(world):
    torch.manual_seed(0)
    model = MultilingualModel(load_encoder(str(world.mplm)), labels=("a", "b"), tags=())
    return model, load_tokenizer(str(world.mplm))


@pytest.fixture(scope="module")
def texts(world):
    return world.target.read_text(encoding="utf-8").splitlines()


def hints(mplm, texts, encoded):
    return hints_of(TextStates(*mplm, texts, None, device=CPU, precision="fp32"), encoded, range(len(texts)))


def test_over_the_same_pieces_they_are_a_linear_map_of_the_states(mplm, texts):
    model, tokenizer = mplm
    encoded = tokenizer.encode(texts)
    found, weights = hints(mplm, texts, encoded)
    hidden = model.encoder.config.hidden_size
    assert (found.dtype, found.shape) == (np.float16, (len(encoded.ids), min(SIZE, hidden)))
    assert weights.tolist() == (encoded.offsets[:, 1] > encoded.offsets[:, 0]).tolist()
    real = np.flatnonzero(weights)
    _, states = states_of(model, encoded, pad_id=0, device=CPU, subwords=torch.from_numpy(real))
    rows = np.hstack([states.numpy(), np.ones((len(real), 1))])
    told = found[real].astype(np.float64)
    coefficients, *_ = np.linalg.lstsq(rows, told, rcond=None)
    assert np.abs(rows @ coefficients - told).max() < 0.02  # float16
    assert np.abs(told.mean(axis=0)).max() < 0.01
    assert told.var() == pytest.approx(1, abs=0.01)


def test_pieces_of_any_other_tokenizer_have_them_too(mplm, texts):
    tokenizer = train_tokenizer(texts, lang="pt", vocab_size=80)
    encoded = encode(tokenizer, texts)
    found, weights = hints(mplm, texts, encoded)
    first = encoded.splits[:-1]
    assert not weights[first].any()  # [CLS]
    assert not found[first].any()
    assert weights.sum() == len(encoded.ids) - len(texts)


def test_the_loss_is_their_distance_where_there_is_one():
    nothing = torch.zeros(1, 3, dtype=torch.int64)
    told, weights = torch.tensor([[[1.0, 1], [0, 0], [9, 9]]]), torch.tensor([[1.0, 1, 0]])
    batch = Batch(nothing, nothing, None, None, None, None, told, weights, None, size=1)
    outputs = Outputs(None, None, hints=torch.zeros(1, 3, 2))
    assert distillation_loss(outputs, batch, StepRecipe(hint_weight=1.0)).item() == pytest.approx(0.5)
    labels = batch._replace(label_targets=torch.tensor([[0.5, 0.5]]))
    both = outputs._replace(logits=torch.zeros(1, 2))
    assert distillation_loss(both, labels, StepRecipe(hint_weight=3.0)).item() == pytest.approx(1.5)


def test_a_student_that_tells_them_is_the_same_student():
    student = build_student(CONFIG).eval()
    ids, mask = torch.randint(1, 150, (2, 5)), torch.ones(2, 5, dtype=torch.int64)
    outputs, own = Hinted(student, 7).eval()(ids, mask), student(ids, mask)
    assert outputs.hints.shape == (2, 5, 7)
    torch.testing.assert_close(outputs[:2], own[:2])
    assert own.hints is None


@pytest.mark.train
@pytest.mark.parametrize("english", [0.0, 1.0])
def test_students_with_tags_learn_them(recipe, tmp_path, english):
    changes = {"augment.english": english, "augment.share": 0.5, "augment.methods": ("drop",)}
    plain = distill(recipe("joint", **changes, **{"step2.hint_weight": 0.0}), tmp_path / "plain")
    taught = recipe("joint", **changes, **{"step2.hint_weight": 3.0})
    hinted = distill(taught, tmp_path / "hinted", reuse=plain.run)
    students = [load_student(RunLayout(result.run).student("pt"))[0] for result in (plain, hinted)]
    weights = [student.state_dict() for student in students]
    assert weights[0].keys() == weights[1].keys()
    assert not torch.equal(weights[0]["tag_head.weight"], weights[1]["tag_head.weight"])
    again = distill(taught, tmp_path / "again", reuse=plain.run)
    assert again.students["pt"].loss == hinted.students["pt"].loss


@pytest.mark.parametrize(("step", "weight"), [("step1", 1.0), ("step2", -1.0)])
def test_a_weight_that_cannot_work_is_refused(recipe, step, weight):
    with pytest.raises(UsageError, match=f"{step}.hint_weight"):
        recipe("joint", **{f"{step}.hint_weight": weight}).check()
