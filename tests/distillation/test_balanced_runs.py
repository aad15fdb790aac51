"""Runs with a balanced step 1: its stages, what one run takes over from another, what it learned from."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from safetensors.numpy import load_file

from ftx_edge.distillation import distill, probe, step1
from ftx_edge.distillation.labelled_source import LabelledSource
from ftx_edge.distillation.progress import Silent
from ftx_edge.distillation.run import Run
from ftx_edge.errors import FtxError, UsageError
from ftx_edge.evaluation import evaluate
from ftx_edge.files import sha256_of
from ftx_edge.mplm import states
from ftx_edge.mplm.space import Space
from ftx_edge.recipe import Recipe

pytestmark = pytest.mark.train


def recipe(world, **changes) -> Recipe:
    return Recipe().override(
        {
            **world.changes,
            "step1.learning_rate": 1e-3,
            "step2.learning_rate": 1e-2,
            "step1.max_steps": 4,
            "step2.max_steps": 4,
            "student.architecture": "static",
            "student.embedding_size": 16,
            "balance.method": "neighbours",
            "balance.neighbours": 3,
            "balance.naive": "heads",
            "augment.share": 0,
        }
        | changes
    )


def weights(folder: Path) -> dict[str, np.ndarray]:
    return load_file(folder / "model.safetensors")


def assert_same(one: Path, two: Path):
    ours, theirs = weights(one), weights(two)
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        np.testing.assert_array_equal(value, theirs[name])


@pytest.fixture(scope="module")
def balanced(tiny_world, tmp_path_factory):
    out = tmp_path_factory.mktemp("balanced") / "run"
    distill(recipe(tiny_world), out)
    return out


def test_a_run_keeps_the_naive_and_the_balanced_mplm(balanced):
    stages = json.loads((balanced / "run.json").read_text())["stages"]
    assert list(stages) == ["mplm-naive", "mplm", "students/pt"]
    assert stages["mplm"]["texts"] > stages["mplm-naive"]["texts"]
    assert (balanced / "mplm-naive" / "heads.safetensors").is_file()
    assert any(
        (weights(balanced / "mplm")[k] != v).any() for k, v in weights(balanced / "mplm-naive").items()
    )


def test_every_mplm_of_a_run_can_be_asked(balanced):
    from ftx_edge.teachers import open_teacher

    naive, last = (open_teacher(f"run:{balanced}#{part}") for part in ("mplm-naive", "mplm"))
    assert naive.fingerprint != last.fingerprint
    with pytest.raises(FtxError, match=r"heads\.json is missing"):
        open_teacher(f"run:{balanced}#mplm-round7")


def test_the_naive_mplm_is_evaluated_in_a_language_beside_the_balanced_one(tiny_world, balanced, tmp_path):
    said = evaluate(f"run:{balanced}/#mplm-naive", tiny_world.test, language="pt")
    assert (said.language, said.reference) == ("pt", f"run:{balanced}#mplm")
    assert said.agreement.value > 0
    other_name = tmp_path / "me@home"
    other_name.symlink_to(balanced)
    for run in (f"{balanced}/", other_name):
        assert evaluate(f"run:{run}#mplm", tiny_world.test, language="pt").reference is None


def test_a_run_killed_between_the_stages_ends_with_the_same_weights(
    tiny_world, balanced, tmp_path, monkeypatch
):
    fit = step1._fit_mplm

    def killed(run, stage, parts):
        if stage == "mplm":
            raise KeyboardInterrupt
        return fit(run, stage, parts)

    monkeypatch.setattr(step1, "_fit_mplm", killed)
    with pytest.raises(KeyboardInterrupt):
        distill(recipe(tiny_world), tmp_path / "run")
    monkeypatch.setattr(step1, "_fit_mplm", fit)
    distill(recipe(tiny_world), tmp_path / "run")
    assert_same(balanced / "mplm", tmp_path / "run" / "mplm")
    assert_same(balanced / "students" / "pt", tmp_path / "run" / "students" / "pt")


def test_no_label_is_read(tiny_world, balanced, tmp_path):
    texts = Path(tiny_world.target).read_text(encoding="utf-8").splitlines()
    noise = np.random.default_rng(0).integers(0, 3, len(texts))
    rows = [{"text": text, "label": f"noise{n}"} for text, n in zip(texts, noise, strict=True)]
    labelled = tmp_path / "pt.jsonl"
    labelled.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    distill(recipe(tiny_world, **{"data.targets": {"pt": str(labelled)}}), tmp_path / "run")
    assert_same(balanced / "mplm", tmp_path / "run" / "mplm")
    assert_same(balanced / "students" / "pt", tmp_path / "run" / "students" / "pt")


def test_the_naive_mplm_is_taken_over_from_a_run_that_does_not_balance(tiny_world, balanced, tmp_path):
    distill(recipe(tiny_world, **{"balance.method": "none"}), tmp_path / "plain")
    whole = recipe(tiny_world, **{"balance.naive": "whole"})
    distill(whole, tmp_path / "run", reuse=tmp_path / "plain")
    assert_same(tmp_path / "plain" / "mplm", tmp_path / "run" / "mplm-naive")
    distill(whole, tmp_path / "anew")
    assert_same(tmp_path / "anew" / "mplm", tmp_path / "run" / "mplm")
    distill(recipe(tiny_world, **{"balance.neighbours": 4}), tmp_path / "other", reuse=balanced)
    assert_same(balanced / "mplm-naive", tmp_path / "other" / "mplm-naive")


def test_the_naive_mplm_is_the_untouched_one_with_heads(tiny_world, balanced):
    untouched, naive = (
        load_file(Path(tiny_world.mplm) / "model.safetensors"),
        weights(balanced / "mplm-naive"),
    )
    for name, value in naive.items():
        np.testing.assert_array_equal(value, untouched[name])


def test_a_balanced_mplm_is_taken_over_only_by_a_run_that_would_make_the_same(tiny_world, balanced, tmp_path):
    other = recipe(tiny_world, **{"student.dropout": 0.2})
    distill(other, tmp_path / "same", reuse=balanced)
    assert_same(balanced / "mplm", tmp_path / "same" / "mplm")
    with pytest.raises(UsageError, match="another step 1: balance differ"):
        distill(recipe(tiny_world, **{"balance.method": "none"}), tmp_path / "plain", reuse=balanced)


@pytest.mark.parametrize(
    ("other", "mine", "stage"),
    [
        (
            {"balance.method": "none"},
            {"balance.method": "none", "balance.priors": 0.1, "balance.epochs": 9},
            "mplm",
        ),
        ({"mplm.train_layers": 0}, {"mplm.train_layers": 0, "balance.naive": "whole"}, "mplm"),
        ({}, {"balance.priors": 0.1}, "mplm-naive"),
        ({"balance.method": "none"}, {"balance.method": "none", "mplm.turns": 1}, "mplm"),
        ({}, {"mplm.turns": 1}, "mplm-naive"),
    ],
    ids=[
        "fields that are not read",
        "what whole comes to where heads alone are trained",
        "another balance",
        "languages are turned after it",
        "languages are turned after the naive one",
    ],
)
def test_step_1_is_taken_over_whatever_its_recipe_says_in_other_words(
    tiny_world, tmp_path, other, mine, stage
):
    distill(recipe(tiny_world, **other), tmp_path / "other")
    distill(recipe(tiny_world, **mine), tmp_path / "mine", reuse=tmp_path / "other")
    there, here = (
        json.loads((tmp_path / run / "run.json").read_text())["stages"] for run in ("other", "mine")
    )
    assert here[stage] == there[stage]


def test_runs_of_heads_alone_share_what_the_encoder_says(tiny_world, tmp_path, monkeypatch):
    heads = {"mplm.train_layers": 0, "mplm.center": True}
    distill(recipe(tiny_world, **heads), tmp_path / "alone")
    distill(
        recipe(tiny_world, **heads, **{"balance.neighbours": 4}), tmp_path / "one", cache=tmp_path / "kept"
    )
    counts = []
    original = states.states_of
    for module in (states, probe):
        monkeypatch.setattr(
            module, "states_of", lambda m, e, **o: counts.append(len(e)) or original(m, e, **o)
        )
    distill(recipe(tiny_world, **heads), tmp_path / "two", cache=tmp_path / "kept")
    assert sum(counts) == 0
    assert_same(tmp_path / "alone" / "mplm", tmp_path / "two" / "mplm")
    assert_same(tmp_path / "alone" / "students" / "pt", tmp_path / "two" / "students" / "pt")


def test_neighbours_are_looked_for_once_whatever_they_are_mixed_with(tiny_world, tmp_path, monkeypatch):
    distill(recipe(tiny_world), tmp_path / "one", cache=tmp_path / "kept")

    def nearest(*_, **__):
        raise AssertionError("looked for again")

    mixed_otherwise = recipe(tiny_world, **{"balance.weight": 0.5, "balance.priors": 0.1})
    with monkeypatch.context() as patched:
        patched.setattr("ftx_edge.distillation.neighbours.nearest", nearest)
        distill(mixed_otherwise, tmp_path / "two", cache=tmp_path / "kept")
        others = recipe(tiny_world, **{"balance.neighbours": 4})
        with pytest.raises(AssertionError, match="looked for again"):
            distill(others, tmp_path / "others", cache=tmp_path / "kept")
    distill(mixed_otherwise, tmp_path / "alone")
    assert_same(tmp_path / "alone" / "mplm", tmp_path / "two" / "mplm")


def test_without_a_naive_mplm_the_first_round_asks_the_neighbours_alone(tiny_world, tmp_path):
    distill(recipe(tiny_world, **{"balance.naive": "none", "balance.rounds": 2}), tmp_path / "run")
    stages = json.loads((tmp_path / "run" / "run.json").read_text())["stages"]
    assert list(stages) == ["mplm-round1", "mplm", "students/pt"]


def test_a_second_round_asks_the_mplm_of_the_first(tiny_world, tmp_path):
    distill(recipe(tiny_world, **{"balance.rounds": 2, "balance.students": True}), tmp_path / "run")
    stages = json.loads((tmp_path / "run" / "run.json").read_text())["stages"]
    assert list(stages) == ["mplm-naive", "mplm-round1", "mplm", "students/pt"]


def test_a_second_round_looks_for_neighbours_where_the_first_has_put_them(tiny_world, tmp_path, monkeypatch):
    spaces = []

    def space(name, *args, **options):
        spaces.append(name)
        return Space(name, *args, **options)

    monkeypatch.setattr("ftx_edge.distillation.run.Space", space)
    made = recipe(tiny_world, **{"balance.rounds": 3})
    distill(made, tmp_path / "run")
    rounds = [str(tmp_path / "run" / f"mplm-round{number}") for number in (1, 2)]
    assert spaces == [made.mplm.name, *rounds]


def test_the_first_round_is_taken_over_from_a_run_that_made_no_other(tiny_world, balanced, tmp_path):
    two = recipe(tiny_world, **{"balance.rounds": 2})
    distill(two, tmp_path / "taken", reuse=balanced)
    distill(two, tmp_path / "alone")
    stages = json.loads((tmp_path / "taken" / "run.json").read_text())["stages"]
    assert set(stages) == {"mplm-naive", "mplm-round1", "mplm", "students/pt"}
    assert_same(balanced / "mplm", tmp_path / "taken" / "mplm-round1")
    assert_same(tmp_path / "alone" / "mplm", tmp_path / "taken" / "mplm")
    other = recipe(tiny_world, **{"balance.rounds": 2, "balance.priors": 0.1})
    distill(other, tmp_path / "other", reuse=balanced)  # of which the naive mPLM alone serves
    theirs, mine = ((run / "mplm-round1") for run in (tmp_path / "taken", tmp_path / "other"))
    assert sha256_of(theirs) != sha256_of(mine)


MODULE = """
def tagger(texts, words):
    return [[{"B-place": 0.9, "O": 0.1} if w in ("kitchen", "hall") else {"O": 1.0} for w in own]
            for own in words]
tagger.tags = ("O", "B-place", "I-place")

def portuguese(texts):
    return [t.replace("the ", "o ").replace("kitchen", "cozinha") for t in texts]
"""


@pytest.fixture
def functions(tmp_path, monkeypatch):
    (tmp_path / "ftx_test_functions.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    yield "python:ftx_test_functions"
    sys.modules.pop("ftx_test_functions", None)


@pytest.mark.parametrize("method", ["neighbours", "translations"])
@pytest.mark.parametrize("alignment", ["character-bridge", "first-subword"])
def test_label_and_tags_are_balanced_together(tiny_world, functions, tmp_path, method, alignment):
    changes = {
        "teacher.tag": f"{functions}:tagger",
        "balance.method": method,
        "balance.naive": "whole",
        "balance.translators": {"pt": f"{functions}:portuguese"},
        "alignment": alignment,
    }
    distill(recipe(tiny_world, **changes), tmp_path / "run")
    stages = json.loads((tmp_path / "run" / "run.json").read_text())["stages"]
    assert ("mplm-naive" in stages) == (method == "neighbours")
    assert (tmp_path / "run" / "students" / "pt" / "model.safetensors").is_file()


def test_neighbours_are_near_in_the_naive_mplm_too_where_that_learned_more_than_heads(
    tiny_world, functions, tmp_path
):
    def beside(stage: str, **changes) -> LabelledSource:
        changes = {"balance.naive": "whole"} | changes
        chosen = recipe(tiny_world, **{"teacher.tag": f"{functions}:tagger", **changes})
        folder = tmp_path / "-".join(map(str, changes.values())) / "run"
        distill(chosen, folder)
        return Run(chosen, folder, Silent()).labelled_source_beside(stage)

    source = beside("mplm-naive")
    assert source.learned_share == 0.35
    assert source.learned.fingerprint != source.space.fingerprint
    half = source.text_vectors.shape[1] // 2
    lengths = (source.text_vectors[:, half:] ** 2).sum(axis=1)
    np.testing.assert_allclose(lengths, 0.35, rtol=1e-4)
    assert beside("mplm-naive", **{"balance.naive": "heads"}).learned is None
    assert beside("mplm-naive", **{"balance.learned": 0.0}).learned is None


@pytest.mark.parametrize(
    ("field", "values", "least"),
    # The tagger of this world is sure of every word.
    [("transitions", (0.0, 0.75), 2e-3), ("function_words", (0.0, 1.5), 0.0)],
)
def test_what_corrects_tags_changes_no_label(tiny_world, functions, tmp_path, field, values, least):
    said = []
    for share in values:
        changes = {"teacher.tag": f"{functions}:tagger", f"balance.{field}": share}
        run = Run(recipe(tiny_world, **changes), tmp_path / str(share), Silent())
        corpus = run.targets["pt"]
        teacher = step1.mixture(run, corpus, None, run.labelled_source)
        said.append(teacher.ask(corpus.train, corpus.train_words))
    (labels, without), (same, corrected) = said
    np.testing.assert_array_equal(labels, same)
    np.testing.assert_array_equal(without.offsets, corrected.offsets)
    np.testing.assert_allclose(corrected.probs.sum(axis=1), 1, rtol=1e-5)
    assert np.abs(without.probs - corrected.probs).max() > least


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"balance.method": "magic"}, "unknown balance.method 'magic'"),
        ({"balance.method": "translations"}, r"needs \[balance.translators\]"),
        ({"balance.neighbours": 0}, "balance.neighbours must be above 0"),
        ({"balance.naive": "maybe"}, "unknown balance.naive 'maybe'"),
        ({"balance.weight": 1.5}, "a share between 0 and 1"),
        ({"balance.transitions": -0.1}, "balance.transitions -0.1: a share between 0 and 1"),
        ({"balance.function_words": -1.0}, "balance.function_words must not be below 0"),
        ({"mplm.turns": -1}, "mplm.turns must not be below 0, but is -1"),
        ({"balance.learned": 1.5}, "balance.learned 1.5: a share between 0 and 1"),
        ({"balance.method": "none", "balance.students": True}, "balance.students needs"),
    ],
)
def test_what_cannot_be_balanced_is_refused_before_anything_is_done(tiny_world, tmp_path, changes, says):
    with pytest.raises(UsageError, match=says):
        distill(recipe(tiny_world, **changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_plan_names_every_stage_of_a_balanced_step_1(tiny_world):
    from ftx_edge.distillation import plan

    planned = plan(recipe(tiny_world, **{"balance.rounds": 2}))
    assert [stage.name for stage in planned.stages] == ["mplm-naive", "mplm-round1", "mplm", "students/pt"]
    assert planned.stages[2].utterances > planned.stages[0].utterances
    more = plan(recipe(tiny_world, **{"augment.share": 1.5}))
    assert more.stages[-1].utterances == round(2.5 * planned.stages[-1].utterances)
