"""Several teachers as one: the mean of what they say, and a run that learns from it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from ftx_edge.distillation import distill, plan
from ftx_edge.distillation.ensemble import averaged, averaged_by_head
from ftx_edge.distillation.mplm_teacher import teacher_of_finished
from ftx_edge.errors import FtxError, UsageError
from ftx_edge.mplm.states import read_laid
from ftx_edge.recipe import Recipe
from ftx_edge.runs import RunLayout
from ftx_edge.soft_labels import Said, SoftTags
from ftx_edge.teachers import open_teacher
from ftx_edge.teachers.run import mplm_teacher

TEXT, WORDS = "hall lamp", [(0, 4), (5, 9)]


class Fixed:
    """Says the same of every text; its units are ``spans``."""

    def __init__(self, labels=(), probs=(), tags=(), tag_probs=(), spans=()) -> None:
        self.labels, self.tags, self.fingerprint = tuple(labels), tuple(tags), f"{labels}{probs}{tag_probs}"
        self.probs, self.tag_probs, self.spans, self.given = probs, tag_probs, spans, []

    def ask(self, texts, words=None):
        self.given.append(words)
        unit = (np.array(self.spans, np.int32), np.array(self.tag_probs, np.float32))
        tags = SoftTags.join(self.tags, [unit] * len(texts)) if self.tags and words is not None else None
        return Said(np.array([self.probs] * len(texts), np.float32), tags)


def mean(*teachers, head="", alignment="character-bridge"):
    named = [(f"teacher {number}", teacher) for number, teacher in enumerate(teachers, start=1)]
    return averaged(named, head=head, alignment=alignment)


def test_labels_are_averaged_by_name():
    one, two = Fixed("ab", (0.8, 0.2)), Fixed("ba", (0.6, 0.4))
    assert mean(one, two).labels == ("a", "b")
    np.testing.assert_allclose(mean(one, two).ask([TEXT]).labels, [[0.6, 0.4]], atol=1e-6)


def test_a_single_teacher_stays_as_it_is():
    one = Fixed("ab", (0.8, 0.2))
    assert mean(one) is one


def test_tags_of_teachers_that_cut_otherwise_are_averaged_by_words():
    tags, words, letters = ("O", "B-x", "I-x"), [(0, 4), (5, 9)], [(0, 2), (2, 4), (5, 9)]
    one = Fixed(tags=tags, tag_probs=[(0, 1, 0), (1, 0, 0)], spans=words)
    two = Fixed(tags=tags, tag_probs=[(0.5, 0.5, 0), (0.5, 0, 0.5), (1, 0, 0)], spans=letters)
    found = mean(one, two).ask([TEXT], [WORDS]).tags
    assert found.offsets.tolist() == [list(span) for span in words]
    np.testing.assert_allclose(found.probs, [[0.25, 0.75, 0], [1, 0, 0]], atol=1e-6)


def test_a_word_that_only_one_teacher_read_has_its_tags():
    tags = ("O", "B-x", "I-x")
    one = Fixed(tags=tags, tag_probs=[(0.5, 0.5, 0)], spans=[(0, 4)])  # it cut the text there
    two = Fixed(tags=tags, tag_probs=[(0.1, 0.9, 0), (0.8, 0.2, 0)], spans=WORDS)
    found = mean(one, two).ask([TEXT], [WORDS]).tags
    np.testing.assert_allclose(found.probs, [[0.3, 0.7, 0], [0.8, 0.2, 0]], atol=1e-6)


def test_teachers_of_other_labels_are_refused_with_the_difference():
    with pytest.raises(UsageError, match=r"teacher 1 and teacher 2 .* label b, c"):
        mean(Fixed("ab", (1, 0)), Fixed("ac", (1, 0)))


def test_a_head_that_is_not_asked_may_differ():
    one, two = Fixed("ab", (1, 0), tags=("O", "B-x", "I-x")), Fixed("ab", (0, 1))
    assert mean(one, two, head="labels").ask([TEXT]).labels.tolist() == [[0.5, 0.5]]


def test_beside_a_joint_teacher_others_may_know_one_head():
    tags = ("O", "B-x", "I-x")
    both = Fixed("ab", (0.8, 0.2), tags, [(0, 1, 0), (1, 0, 0)], WORDS)
    classifier = Fixed("ba", (0.6, 0.4))
    tagger = Fixed(tags=tags, tag_probs=[(0.5, 0.5, 0), (1, 0, 0)], spans=WORDS)
    found = averaged_by_head(
        [("both", both), ("classifier", classifier), ("tagger", tagger)], alignment="character-bridge"
    )
    assert (found.labels, found.tags) == (("a", "b"), tags)
    np.testing.assert_allclose(found.ask([TEXT]).labels, [[0.6, 0.4]], atol=1e-6)
    both.given.clear()
    probs = found.ask([TEXT], [WORDS]).tags.probs
    np.testing.assert_allclose(probs, [[0.25, 0.75, 0], [1, 0, 0]], atol=1e-6)
    assert both.given == [[WORDS]] * 2, "its labels, too, are those of the words"
    with pytest.raises(UsageError, match=r"only one of them knows the label a, b"):
        averaged_by_head([("classifier", classifier), ("tagger", tagger)], alignment="character-bridge")


def test_the_order_and_number_of_teachers_change_the_fingerprint():
    one, two = Fixed("ab", (1, 0)), Fixed("ab", (0, 1))
    assert len({mean(*t).fingerprint for t in ((one, two), (two, one), (one, one, two), (one,))}) == 4


def test_a_recipe_without_an_ensemble_has_the_fingerprint_that_it_had():
    """Runs that were started before there were ensembles go on."""
    known = "d1ad2bb5000601421bb602a1b2601bbbb3e535cc491860c7626d12a0091aa5ed"
    changes = {"teacher.label": "recorded:t.jsonl", "data.source": "en.txt", "augment.share": 0.5}
    changes |= {"balance.method": "none", "student.init": "random", "mplm.turns": 0}
    changes |= {"augment.methods": ("drop", "mask", "mix"), "augment.rate": 0.2, "step2.epochs": 30}
    recipe = Recipe().override(changes)
    assert recipe.fingerprint == known
    assert recipe.override({"ensemble.mplms": ("runs/b",)}).fingerprint != known
    assert recipe.override({"augment.english": 1.0}).fingerprint != known


@pytest.mark.parametrize("head", ["label", "tag"])
def test_an_ensemble_needs_a_first_teacher(head):
    other = "tag" if head == "label" else "label"
    changes = {f"teacher.{other}": "hf:a", "data.source": "en.txt", "data.targets": {"pt": "pt.txt"}}
    with pytest.raises(UsageError, match=rf"ensemble\.{head}s adds to teacher\.{head}, which is not set"):
        Recipe().override({**changes, f"ensemble.{head}s": ("hf:b",)}).check()


@pytest.fixture(scope="module")
def second(world, tmp_path_factory) -> str:
    """Predictions that turn the labels of ``world.teacher`` round, and are sure of it."""
    path = tmp_path_factory.mktemp("second") / "teacher.jsonl"
    rows = [
        json.loads(line) for line in Path(world.teacher.removeprefix("recorded:")).read_text().splitlines()
    ]
    for row in rows:
        names = list(row["probs"])
        row["probs"] = dict(zip(reversed(names), row["probs"].values(), strict=True))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return f"recorded:{path}"


@pytest.mark.train
def test_step_1_learns_the_mean_of_the_source_teachers(recipe, world, second, tmp_path):
    changes = {"step1.max_steps": 1, "step2.max_steps": 1, "ensemble.labels": (second,)}
    made = recipe("joint", **changes, **{"ensemble.tags": (second,)})
    assert plan(made).teacher == " + ".join([world.teacher, second] * 2)
    run = distill(made, tmp_path / "run").run
    texts = world.source.read_text().splitlines()
    one, two = open_teacher(world.teacher), open_teacher(second)
    order = [two.labels.index(label) for label in one.labels]
    expected = (one.ask(texts).labels + two.ask(texts).labels[:, order]) / 2
    cached = next(labels for labels in kept(run, "labels") if labels.shape == (58, 3))
    rows = {tuple(row) for row in expected.round(4).tolist()}
    assert {tuple(row) for row in cached.round(4).tolist()} <= rows
    assert not {tuple(row) for row in one.ask(texts).labels.round(4).tolist()} <= rows


def kept(run: Path, head: str) -> list[np.ndarray]:
    """The soft ``labels`` or ``tags`` in the cache, the oldest first."""
    from safetensors.numpy import load_file

    files = sorted((run / "cache").glob("said-*"), key=lambda p: p.stat().st_mtime_ns)
    return [load_file(path)[head] for path in files]


@pytest.fixture(scope="module")
def two_seeds(recipe, tmp_path_factory) -> tuple[Path, Path]:
    """Two runs of a joint recipe that differ in their seed. Read only."""
    folder = tmp_path_factory.mktemp("seeds")
    changes = {"step2.max_steps": 1}
    runs = [distill(recipe("joint", seed=n, **changes), folder / f"seed{n}").run for n in (0, 1)]
    return runs[0], runs[1]


@pytest.mark.train
def test_step_2_learns_the_mean_of_the_mplms(recipe, world, two_seeds, tmp_path):
    changes = {"step2.max_steps": 1, "ensemble.mplms": (str(two_seeds[1]),)}
    made = recipe("joint", **changes)
    run = distill(made, tmp_path / "run", reuse=two_seeds[0]).run
    texts = [json.loads(line)["text"] for line in RunLayout(run).held_out("pt").read_text().splitlines()]
    # The other mPLM is moved by the texts of this run, which are split otherwise than those of its own.
    centers = RunLayout(run).center("pt", "ensemble1"), RunLayout(run).center("en", "ensemble1")
    other = mplm_teacher(two_seeds[1] / "mplm", device=torch.device("cpu"), laid=read_laid(*centers))
    said = [t.ask(texts).labels for t in (open_teacher(f"run:{run}#mplm@pt"), other)]
    assert np.abs(said[0] - said[1]).max() > 1e-2
    np.testing.assert_allclose(kept(run, "labels")[-1], (said[0] + said[1]) / 2, atol=1e-3)  # of float16
    finished = teacher_of_finished(run, "pt", device=torch.device("cpu"))
    np.testing.assert_allclose(finished.ask(texts).labels, (said[0] + said[1]) / 2, atol=1e-5)
    assert kept(run, "tags")[-1].shape[1] == 3
    assert distill(made, run).students["pt"].steps == 1  # done before


@pytest.mark.train
def test_an_mplm_that_changed_since_is_refused(recipe, two_seeds, tmp_path):
    import shutil

    other = shutil.copytree(two_seeds[1], tmp_path / "other")
    made = recipe("joint", **{"step2.max_steps": 1, "ensemble.mplms": (str(other),)})
    distill(made, tmp_path / "run", reuse=two_seeds[0])
    shutil.copy(two_seeds[0] / "mplm" / "heads.safetensors", other / "mplm" / "heads.safetensors")
    with pytest.raises(FtxError, match=r"mPLM of .*other changed since"):
        distill(made, tmp_path / "run")


@pytest.mark.train
def test_a_run_whose_step_1_is_not_done_is_refused_before_anything_is_written(recipe, two_seeds, tmp_path):
    record = json.loads((two_seeds[0] / "run.json").read_text())
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "run.json").write_text(json.dumps({**record, "stages": {}}))
    with pytest.raises(UsageError, match=r"step 1 of .*begun is not done"):
        distill(recipe("joint", **{"ensemble.mplms": (str(tmp_path / "begun"),)}), tmp_path / "run")
    with pytest.raises(FtxError, match="is not a run"):
        distill(recipe("joint", **{"ensemble.mplms": (str(tmp_path / "none"),)}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.train
def test_an_mplm_of_another_task_is_refused(recipe, two_seeds, tmp_path):
    made = recipe(**{"step1.max_steps": 1, "ensemble.mplms": (str(two_seeds[1]),)})
    distill(made, tmp_path / "run")  # it has the labels, and its tags are not asked
    made = recipe("tagging", **{"step1.max_steps": 1, "ensemble.mplms": (str(tmp_path / "run"),)})
    with pytest.raises(UsageError, match=r"cannot be averaged: only one of them knows the tag B-room"):
        distill(made, tmp_path / "other")
