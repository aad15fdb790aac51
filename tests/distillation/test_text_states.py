"""States of the mPLM that are computed once: what is said of them, and how often the encoder is asked."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from ftx_edge.distillation import distill, text_states
from ftx_edge.distillation.text_states import StatesTeacher, TextStates
from ftx_edge.mplm.model import Laid, load_mplm
from ftx_edge.runs import RunLayout
from ftx_edge.teachers.run import mplm_teacher
from ftx_edge.words import segmenter

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def texts(tiny_world):
    return tiny_world.target.read_text(encoding="utf-8").splitlines()[:20]


@pytest.fixture(scope="module")
def words(texts):
    return [tuple(segmenter("pt")(text)) for text in texts]


@pytest.fixture
def distilled(recipe, tmp_path):
    """A run, and the encodings whose states its step 2 asked for."""
    asked, last_states = [], text_states.last_states

    def recorded(encoder, encoded, **settings):
        asked.append(len(encoded))
        return last_states(encoder, encoded, **settings)

    def make(task, **changes):
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(text_states, "last_states", recorded)
            return RunLayout(distill(recipe(task, **changes), tmp_path / "run").run), asked

    return make


@pytest.mark.train
@pytest.mark.parametrize("whole_words", [False, True])
def test_the_heads_say_the_same_of_them(distilled, texts, words, whole_words):
    layout, _ = distilled("joint")
    model = load_mplm(layout.mplm)
    laid = Laid(torch.full((32,), 0.1), torch.eye(32).roll(1, dims=0))
    teacher = mplm_teacher(layout.mplm, device=CPU, whole_words=whole_words, laid=laid)
    states = TextStates(*model, texts[:15], words[:15], device=CPU, precision="fp32")
    known = StatesTeacher(teacher, states)
    assert known.fingerprint == teacher.fingerprint  # who asks the mPLM finds the answers
    for kept in (False, True):
        if kept:
            states.keep()
        for rows in ([3, 1, 14], [3, 17]):  # the last is not among them
            chosen = [texts[row] for row in rows], [words[row] for row in rows]
            said, expected = known.ask(*chosen), teacher.ask(*chosen)
            np.testing.assert_allclose(said.labels, expected.labels, atol=2e-3)
            np.testing.assert_allclose(said.tags.probs, expected.tags.probs, atol=2e-3)
            assert said.tags.offsets.tolist() == expected.tags.offsets.tolist()
            assert said.tags.splits.tolist() == expected.tags.splits.tolist()
    assert states.rows(texts[:2], words[:2]) == [0, 1]
    assert states.rows(texts[:2], words[1:3]) is None
    assert states.rows(texts[:2], None) is None
    np.testing.assert_array_equal(known.ask(texts[:2]).labels, teacher.ask(texts[:2]).labels)


@pytest.mark.train
def test_kept_states_are_those_that_are_computed(distilled, texts, words):
    layout, _ = distilled("tagging")
    states = TextStates(*load_mplm(layout.mplm), texts, words, device=CPU, precision="fp32")

    def found():
        return {place: (offsets.tolist(), own) for place, offsets, own in states.of([4, 2])}

    computed = found()
    told = []
    states.keep(told.append)
    assert told == [0]
    for place, (offsets, own) in found().items():
        assert offsets == computed[place][0]
        np.testing.assert_allclose(own, computed[place][1], atol=2e-3)
    states.forget()
    assert states.rows(texts[:1], words[:1]) is None


@pytest.mark.train
def test_step_2_with_hints_asks_the_encoder_once(distilled):
    changes = {"augment.share": 0.5, "augment.methods": ("drop",), "augment.english": 0.5}
    layout, asked = distilled(
        "joint", **{"student.init": "mplm-embeddings", "step2.hint_weight": 3.0}, **changes
    )
    (told,) = asked
    stages = layout.read_record()["stages"]
    held_out = layout.student("pt") / "heldout.jsonl"
    assert told == stages["students/pt"]["texts"] + len(held_out.read_text(encoding="utf-8").splitlines())
