"""The loop: what a loss is the mean of, schedule, selection, resume."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from ftx_edge.errors import FtxError
from ftx_edge.recipe_tables import StepRecipe

torch = pytest.importorskip("torch")

from ftx_edge.batches import TrainingSet  # noqa: E402
from ftx_edge.distillation import fit as loop  # noqa: E402
from ftx_edge.distillation.fit import Fit, make_accelerator  # noqa: E402
from ftx_edge.distillation.held_out import held_out_figures  # noqa: E402
from ftx_edge.distillation.losses import kl  # noqa: E402
from ftx_edge.students import StudentConfig, build_student  # noqa: E402
from ftx_edge.tokenization import Encoded  # noqa: E402

pytestmark = pytest.mark.train

LABELS, TAGS = ("a", "b", "c"), ("O", "B-x", "I-x")
SETTINGS = StepRecipe(epochs=3, learning_rate=0.01, batch_size=8, evaluate_every=1, patience=9)


def training_set(count: int, seed: int = 0, *, labels=True, tags=False) -> TrainingSet:
    """Texts of random subwords; the label depends on the first, the tag on each."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(2, 12, size=count)
    splits = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    ids = rng.integers(3, 30, size=splits[-1]).astype(np.int32)
    ids[splits[:-1]] = 2
    encoded = Encoded(ids, np.zeros((len(ids), 2), np.int32), splits)
    first = np.eye(3, dtype=np.float32)[ids[splits[:-1] + 1] % 3] * 0.8 + np.float32(0.2 / 3)
    each = np.eye(3, dtype=np.float32)[ids % 3] * 0.8 + np.float32(0.2 / 3)
    weights = (ids != 2).astype(np.float32)
    return TrainingSet(encoded, first if labels else None, *((each, weights) if tags else ()))


TRAIN, HELD_OUT = training_set(40), training_set(12, seed=1)
JOINT, JOINT_HELD_OUT = training_set(40, tags=True), training_set(12, seed=1, tags=True)


def student(*, tags=False, labels=True, dropout=0.1, seed=0):
    config = StudentConfig(
        "cnn", 30, LABELS if labels else (), TAGS if tags else (),
        max_length=16, embedding_size=12, channels=6, layers=1, dropout=dropout,
    )  # fmt: skip
    return build_student(config, seed=seed)


@pytest.fixture
def run(tmp_path, progress):
    """``run(model, settings, ...)``: fit on the tiny sets above."""

    def call(model, settings=SETTINGS, train=TRAIN, held_out=HELD_OUT, **options):
        options = {"key": "k", "seed": 0, "precision": "fp32", **options}
        accelerator = make_accelerator("cpu", options.pop("precision"))
        return Fit(
            model, train, held_out, settings,
            checkpoint=tmp_path / "checkpoint.safetensors", pad_id=0, accelerator=accelerator,
            progress=progress, stage="stage", **options,
        ).run()  # fmt: skip

    return call


def weights(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(one, two) -> bool:
    return all(torch.equal(one[name], two[name]) for name in one)


def changed(**changes) -> StepRecipe:
    return dataclasses.replace(SETTINGS, **changes)


class Killed(Exception):
    """What stands for a power cut."""


@pytest.fixture
def kill_after(monkeypatch):
    """``kill_after(n)``: the n-th step of the loop raises in its midst; every step before was saved."""

    def arm(steps: int) -> None:
        monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)
        step, calls = loop.Fit._step, []

        def dying(self, batch, number):
            calls.append(number)
            if len(calls) == steps:
                self.trainable[next(iter(self.trainable))].data.add_(1.0)
                raise Killed
            return step(self, batch, number)

        monkeypatch.setattr(loop.Fit, "_step", dying)

    yield arm
    monkeypatch.undo()


# What the loss is


def expected_tag_loss(model, data):
    """Mean over all subwords with a target, whatever text they stand in."""
    rows, weight = [], []
    for row in range(len(data)):
        part = slice(data.encoded.splits[row], data.encoded.splits[row + 1])
        ids = torch.from_numpy(data.encoded.ids[part].astype(np.int64))[None]
        with torch.no_grad():
            logits = model(ids, torch.ones_like(ids)).tag_logits[0]
        rows.append(kl(logits, torch.from_numpy(data.tag_targets[part]), 1.0))
        weight.append(torch.from_numpy(data.tag_weights[part]))
    rows, weight = torch.cat(rows), torch.cat(weight)
    return float((rows * weight).sum() / weight.sum())


def expected_label_loss(model, data):
    losses = []
    for row in range(len(data)):
        ids = torch.from_numpy(data.encoded.ids[data.encoded.splits[row] : data.encoded.splits[row + 1]])
        ids = ids.long()[None]
        with torch.no_grad():
            logits = model(ids, torch.ones_like(ids)).logits
        losses.append(float(kl(logits, torch.from_numpy(data.label_targets[row : row + 1]), 1.0)))
    return sum(losses) / len(losses)


def test_the_loss_of_tags_is_a_mean_over_subwords_not_over_texts(run):
    data = training_set(8, labels=False, tags=True)
    model = student(labels=False, tags=True, dropout=0.0)
    expected = expected_tag_loss(model, data)
    result = run(model, changed(max_steps=1, batch_size=8), data, data)
    assert result.history[0]["train_loss"] == pytest.approx(expected, rel=1e-4)


def test_a_joint_loss_is_the_weighted_sum_of_both(run):
    data = training_set(8, tags=True)
    model = student(tags=True, dropout=0.0)
    expected = 0.5 * expected_label_loss(model, data) + 2 * expected_tag_loss(model, data)
    settings = changed(max_steps=1, batch_size=8, label_weight=0.5, tag_weight=2.0)
    result = run(model, settings, data, data)
    assert result.history[0]["train_loss"] == pytest.approx(expected, rel=1e-4)


def test_the_only_loss_there_is_has_no_weight(run):
    data = training_set(8, labels=False, tags=True)
    model = student(tags=True, labels=False, dropout=0.0)
    expected = expected_tag_loss(model, data)
    result = run(model, changed(max_steps=1, batch_size=8, tag_weight=3.0), data, data)
    assert result.history[0]["train_loss"] == pytest.approx(expected, rel=1e-4)


def test_held_out_figures_are_kl_and_agreement_at_temperature_1(run):
    model = student().eval()
    figures = held_out_figures(
        model, HELD_OUT, changed(temperature=4.0), pad_id=0, accelerator=make_accelerator("cpu", "fp32")
    )
    assert figures["loss"] == pytest.approx(expected_label_loss(model, HELD_OUT), rel=1e-4)
    assert (figures["agreement"] * 12) == pytest.approx(round(figures["agreement"] * 12))
    assert figures["label_agreement"] == figures["agreement"]
    assert "tag_agreement" not in figures


def test_held_out_figures_of_both_heads_are_told_apart():
    settings = changed(label_weight=1.0, tag_weight=3.0)
    figures = held_out_figures(
        student(tags=True).eval(),
        training_set(8, tags=True),
        settings,
        pad_id=0,
        accelerator=make_accelerator("cpu", "fp32"),
    )
    both = (figures["label_agreement"] + 3 * figures["tag_agreement"]) / 4
    assert figures["label_agreement"] != figures["tag_agreement"]
    assert figures["agreement"] == pytest.approx(both)


@pytest.mark.parametrize("loss", ["kl", "mse", "dist"])
@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_every_loss_brings_the_student_closer_to_the_teacher(run, loss, temperature):
    before = held_out_figures(
        student().eval(), HELD_OUT, SETTINGS, pad_id=0, accelerator=make_accelerator("cpu", "fp32")
    )["loss"]
    result = run(student(), changed(loss=loss, temperature=temperature, epochs=8, learning_rate=0.02))
    assert result.loss < before


# How it goes


def test_the_rate_rises_and_then_falls_to_zero(run):
    result = run(student(), changed(epochs=4, warmup=0.25, evaluate_every=0.2))
    rates = [row["learning_rate"] / 0.01 for row in result.history]
    assert result.steps == 20
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert rates[5:] == pytest.approx([1 - i / 15 for i in range(15)])


def test_the_most_steps_are_a_limit(run):
    assert run(student(), changed(max_steps=7)).steps == 7
    assert run(student(), changed(max_steps=7), key="2").history[-1]["step"] == 7


def test_the_weights_that_do_best_on_held_out_text_are_kept(run):
    model = student()
    result = run(model, changed(epochs=6, learning_rate=0.3))
    best = min(result.history, key=lambda row: row["loss"])
    assert (result.best_step, result.loss) == (best["step"], best["loss"])
    assert result.best_step < result.steps  # the rate is so high that the last ones are not the best
    figures = held_out_figures(
        model, HELD_OUT, SETTINGS, pad_id=0, accelerator=make_accelerator("cpu", "fp32")
    )
    assert (figures["loss"], figures["agreement"]) == pytest.approx((result.loss, result.agreement))
    assert result.kept == best


def test_it_stops_when_nothing_gets_better(run):
    result = run(student(), changed(epochs=50, learning_rate=1e-12, patience=2))
    assert len(result.history) <= 4


def test_frozen_weights_stay_as_they_are(run):
    model = student()
    model.embedding.weight.requires_grad_(False)
    before = weights(model)
    run(model)
    assert torch.equal(model.embedding.weight, before["embedding.weight"])
    assert not same(weights(model), before)


def test_the_same_seed_gives_the_same_weights(run):
    models = [student() for _ in range(3)]
    for model, seed in zip(models, (0, 0, 1), strict=True):
        torch.rand(4)
        run(model, key=f"{id(model)}", seed=seed)
    assert same(weights(models[0]), weights(models[1]))
    assert not same(weights(models[0]), weights(models[2]))


def test_the_range_test_leaves_nothing_but_the_rate(run):
    tested, given = student(), student()
    result = run(tested, changed(learning_rate="range-test"))
    assert 1e-6 <= result.learning_rate <= 1e-1
    run(given, changed(learning_rate=result.learning_rate), key="2")
    assert same(weights(tested), weights(given))


def test_selection_may_go_by_agreement(run):
    result = run(student(), changed(epochs=6), select="agreement")
    assert result.agreement == max(row["agreement"] for row in result.history)


def test_bf16_autocast_learns_as_well(run):
    result = run(student(), changed(epochs=8, learning_rate=0.02), precision="bf16")
    assert result.loss < result.history[0]["loss"]
    assert math.isfinite(result.loss)


def test_a_fit_that_diverges_is_an_error_that_says_what_to_do(run):
    with pytest.raises(FtxError, match=r"stage diverged: .*learning_rate below 1e\+30"):
        run(student(), changed(learning_rate=1e30))


def test_a_device_that_is_not_there_is_named():
    if not torch.cuda.is_available():
        with pytest.raises(FtxError, match="device cuda: torch finds no CUDA GPU here"):
            make_accelerator("cuda", "fp32")
    if not torch.backends.mps.is_available():
        with pytest.raises(FtxError, match="device mps"):
            make_accelerator("mps", "fp32")


# Killed and resumed


@pytest.mark.parametrize(
    ("step", "rate"), [(1, 0.01), (3, 0.01), (5, 0.01), (8, 0.01), (15, 0.01), (8, "range-test")]
)
def test_a_killed_fit_ends_in_the_same_weights(run, kill_after, progress, step, rate, monkeypatch):
    settings, data = changed(learning_rate=rate, evaluate_every=0.4), (JOINT, JOINT_HELD_OUT)
    whole = student(tags=True)
    expected = run(whole, settings, *data, key="whole")
    kill_after(step + (100 if rate == "range-test" and expected.learning_rate else 0))
    with pytest.raises(Killed):
        run(student(tags=True), settings, *data)
    monkeypatch.undo()
    resumed = student(tags=True, seed=9)  # its own weights must not matter once a checkpoint is there
    if step == 1:
        resumed = student(tags=True)
    result = run(resumed, settings, *data)
    assert same(weights(resumed), weights(whole))
    assert (result.loss, result.best_step) == (expected.loss, expected.best_step)
    assert [r["loss"] for r in result.history] == [r["loss"] for r in expected.history]
    if step > 1:
        assert f"stage: resumes at step {step - 1}" in progress.notes


def test_the_scale_of_the_loss_in_fp16_is_resumed(tmp_path, kill_after, progress, monkeypatch):
    """On the processor, in fp32: the scale doubles every second step, until the loss in it overflows."""

    def run(model, name):
        accelerator = make_accelerator("cpu", "fp32")
        accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**120, growth_interval=2)
        Fit(
            model, TRAIN, HELD_OUT, SETTINGS, key="k", checkpoint=tmp_path / name, pad_id=0, seed=0,
            accelerator=accelerator, progress=progress, stage="stage",
        ).run()  # fmt: skip
        return accelerator.scaler.state_dict()

    whole, resumed = student(), student()
    expected = run(whole, "whole")
    assert expected["scale"] != 2.0**120
    kill_after(10)
    with pytest.raises(Killed):
        run(student(), "killed")
    monkeypatch.undo()
    assert run(resumed, "killed") == expected
    assert "stage: resumes at step 9" in progress.notes
    assert same(weights(resumed), weights(whole))


def test_a_finished_fit_is_taken_from_its_checkpoint(run, monkeypatch):
    model = student()
    expected = run(model)
    monkeypatch.setattr(loop.Fit, "_step", None)
    again = student(seed=4)
    assert run(again) == expected
    assert same(weights(again), weights(model))


@pytest.mark.parametrize("damage", ["empty", "cut", "text", "other"])
def test_a_damaged_checkpoint_is_not_used(run, kill_after, monkeypatch, tmp_path, progress, damage):
    expected = student()
    run(expected, key="expected")
    kill_after(8)
    with pytest.raises(Killed):
        run(student())
    monkeypatch.undo()
    path = tmp_path / "checkpoint.safetensors"
    if damage == "other":
        from safetensors.torch import save_file

        save_file({"a": torch.zeros(2)}, path)
    else:
        whole = path.read_bytes()
        path.write_bytes({"empty": b"", "cut": whole[:-40], "text": b"not a checkpoint"}[damage])
    model = student()
    run(model)
    assert same(weights(model), weights(expected))
    assert any("damaged checkpoint, stage starts anew" in note for note in progress.notes)


def test_a_checkpoint_of_something_else_is_not_used(run, kill_after, monkeypatch, progress):
    expected = student()
    run(expected, key="expected")
    kill_after(8)
    with pytest.raises(Killed):
        run(student(), key="something else")
    monkeypatch.undo()
    model = student()
    run(model)
    assert same(weights(model), weights(expected))
    assert progress.notes == []
