"""Step 1 by its heads alone, and the language that is taken off the states."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file  # noqa: E402

from ftx_edge.distillation import distill  # noqa: E402
from ftx_edge.errors import UsageError  # noqa: E402
from ftx_edge.mplm.model import MultilingualModel, load_encoder  # noqa: E402
from ftx_edge.mplm.states import read_laid, save_center  # noqa: E402
from ftx_edge.runs import RunLayout  # noqa: E402
from ftx_edge.teachers import open_teacher  # noqa: E402

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def heads_alone(recipe, tmp_path_factory):
    root = tmp_path_factory.mktemp("probe") / "run"
    return RunLayout(root), distill(recipe(**{"mplm.train_layers": 0}), root)


def test_heads_alone_leave_the_encoder_as_it_was(heads_alone, world):
    before = load_file(world.mplm / "model.safetensors")
    after = load_file(heads_alone[0].mplm / "model.safetensors")
    assert all(torch.equal(value, before[name]) for name, value in after.items())


def test_heads_alone_learn_the_teacher_without_an_update(heads_alone):
    result = heads_alone[1].mplm
    assert result.steps == 0
    assert result.agreement > 0.9


@pytest.mark.parametrize("task", ["tagging", "joint"])
def test_tag_heads_are_fitted_too(recipe, tmp_path, task):
    result = distill(recipe(task, **{"mplm.train_layers": 0}), tmp_path / "run")
    assert result.mplm.agreement > 0.8


def test_a_fitted_head_starts_ahead_of_a_random_one(recipe, tmp_path):
    least = {"step1.max_steps": 1, "step2.max_steps": 1, "step1.learning_rate": 1e-5}
    first = {
        heads: distill(recipe(**{"mplm.heads": heads, **least}), tmp_path / heads).mplm.loss
        for heads in ("probe", "random")
    }
    assert first["probe"] < 0.5 * first["random"]


def test_only_the_last_layers_are_trained_where_the_recipe_says_so(world):
    model = MultilingualModel(load_encoder(str(world.mplm)), labels=("a", "b"), tags=())
    model.train_layers(1)
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert {n for n in trained if n.startswith("encoder.")} == {
        n for n, _ in model.named_parameters() if n.startswith("encoder.encoder.layer.1.")
    }
    assert "label_head.weight" in trained


def test_the_mplm_of_a_language_takes_its_distance_from_english_off(heads_alone):
    layout = heads_alone[0]
    english, portuguese = (load_file(layout.center(lang))["mean"] for lang in ("en", "pt"))
    assert not torch.allclose(english, portuguese)
    texts = ["acenda a luz da cozinha", "toque uma música agora"]
    plain = open_teacher(f"run:{layout.root}#mplm").ask(texts).labels
    moved = open_teacher(f"run:{layout.root}#mplm@pt").ask(texts).labels
    assert abs(plain - moved).max() > 1e-4
    assert (open_teacher(f"run:{layout.root}#mplm@en").ask(texts).labels == plain).all()


def test_a_language_is_turned_onto_english_and_english_is_left(heads_alone, tmp_path):
    layout = heads_alone[0]
    assert "turn" not in load_file(layout.center("en"))
    kept = load_file(layout.center("pt"))
    torch.testing.assert_close(kept["turn"] @ kept["turn"].T, torch.eye(len(kept["turn"])), atol=1e-4, rtol=0)
    laid = read_laid(layout.center("pt"), layout.center("en"))
    english = load_file(layout.center("en"))["mean"]
    torch.testing.assert_close(laid.of(kept["mean"][None])[0], english, atol=1e-4, rtol=0)
    moved = laid.of(kept["mean"][None] + torch.eye(len(english)))
    torch.testing.assert_close(moved - english, kept["turn"], atol=1e-4, rtol=0)
    save_center(kept["mean"], tmp_path / "pt.safetensors")
    centred = read_laid(tmp_path / "pt.safetensors", layout.center("en"))
    assert centred.turn is None
    assert centred.fingerprint != laid.fingerprint


def test_without_centering_no_center_is_kept(recipe, tmp_path):
    distill(recipe(**{"mplm.center": False, "step1.max_steps": 1, "step2.max_steps": 1}), tmp_path / "run")
    assert not RunLayout(tmp_path / "run").center("pt").exists()


def test_an_unknown_start_of_the_heads_is_refused(recipe):
    with pytest.raises(UsageError, match=r"unknown mplm.heads 'zero': one of probe, random"):
        recipe(**{"mplm.heads": "zero"}).check()
