"""``run:``: the mPLM and the students of a run as teachers, and units of words."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from ftx_edge.errors import FtxError
from ftx_edge.teachers import open_teacher

torch = pytest.importorskip("torch")

from ftx_edge.mplm.model import MultilingualModel, load_encoder, load_tokenizer, save_mplm  # noqa: E402
from ftx_edge.recipe import Recipe  # noqa: E402
from ftx_edge.runs import RunLayout  # noqa: E402
from ftx_edge.students import StudentConfig, build_student, save_student  # noqa: E402
from ftx_edge.teachers.model import first_of_words  # noqa: E402
from ftx_edge.teachers.run import mplm_teacher  # noqa: E402
from ftx_edge.tokenization import train_tokenizer  # noqa: E402

LABELS, TAGS = ("light_off", "light_on"), ("O", "B-room", "I-room")
TEXTS = ["acenda a luz da cozinha", "apague", "toque uma música na sala de jantar agora"]
WORDS = [[(0, 6), (7, 8), (9, 12), (13, 15), (16, 23)], [(0, 6)], [(0, 5), (6, 9)]]


@pytest.fixture(scope="module")
def run(tmp_path_factory, tiny_world):
    """A run folder with an mPLM and a student for pt, both joint, weights random."""
    layout = RunLayout(tmp_path_factory.mktemp("run"))
    torch.manual_seed(0)
    model = MultilingualModel(load_encoder(str(tiny_world.mplm)), labels=LABELS, tags=TAGS)
    save_mplm(model, load_tokenizer(str(tiny_world.mplm), max_length=32), layout.mplm)
    tokenizer = train_tokenizer(TEXTS * 2, lang="pt", vocab_size=80)
    config = StudentConfig(
        "cnn", tokenizer.get_vocab_size(), LABELS, TAGS, embedding_size=16, channels=8, layers=1
    )
    save_student(build_student(config), tokenizer, layout.student("pt"))
    return layout


@pytest.mark.parametrize("part", ["mplm", "pt"])
def test_both_heads_give_distributions(run, part):
    teacher = open_teacher(f"run:{run.root}#{part}")
    assert (teacher.labels, teacher.tags) == (LABELS, TAGS)
    probs = teacher.ask(TEXTS).labels
    assert probs.shape == (3, 2)
    tags = teacher.ask(TEXTS, WORDS).tags
    np.testing.assert_allclose(tags.probs.sum(1), 1, atol=1e-5)
    assert len(tags) == 3
    assert (tags.offsets[:, 1] > tags.offsets[:, 0]).all()


@pytest.mark.parametrize("part", ["mplm", "pt"])
def test_both_heads_in_one_pass_are_those_of_the_text_as_words(run, part):
    teacher = open_teacher(f"run:{run.root}#{part}")
    labels, tags = teacher.ask(TEXTS, WORDS)
    raw, none = teacher.ask(TEXTS)
    assert none is None
    assert len(tags) == len(TEXTS)
    # The last text's words end before it does.
    assert np.abs(labels - raw)[:2].max() < 1e-5
    assert (np.abs(labels - raw)[2].max() > 1e-5) == (part == "mplm")


@pytest.mark.parametrize("part", ["mplm", "pt"])
def test_a_run_of_first_subwords_says_one_thing_of_each_word(run, part, tmp_path):
    root = Path(shutil.copytree(run.root, tmp_path / "run"))
    Recipe().override({"alignment": "first-subword"}).write(root / "recipe.toml")
    tags = open_teacher(f"run:{root}#{part}").ask(TEXTS, WORDS).tags
    every = open_teacher(f"run:{run.root}#{part}").ask(TEXTS, WORDS).tags
    for row, words in enumerate(WORDS):
        offsets, probs = tags.of_text(row)
        assert [tuple(place) for place in offsets.tolist()] == words
        np.testing.assert_allclose(probs[0], every.of_text(row)[1][0], atol=1e-6)


@pytest.mark.parametrize("part", ["mplm", "pt"])
def test_what_is_said_of_a_text_does_not_depend_on_its_batch(run, part):
    teacher = open_teacher(f"run:{run.root}#{part}")
    together, tags = teacher.ask(TEXTS).labels, teacher.ask(TEXTS, WORDS).tags
    for row, text in enumerate(TEXTS):
        np.testing.assert_allclose(teacher.ask([text]).labels[0], together[row], atol=1e-5)
        alone = teacher.ask([text], [WORDS[row]]).tags
        np.testing.assert_array_equal(alone.offsets, tags.of_text(row)[0])
        np.testing.assert_allclose(alone.probs, tags.of_text(row)[1], atol=1e-5)


def test_without_a_part_it_is_the_mplm(run):
    assert open_teacher(f"run:{run.root}").fingerprint == open_teacher(f"run:{run.root}#mplm").fingerprint


def test_a_language_without_a_student_is_refused_with_what_there_is(run):
    with pytest.raises(FtxError, match="has no student for 'de': it has mplm"):
        open_teacher(f"run:{run.root}#de")


def test_a_folder_without_mplm_is_refused(tmp_path):
    with pytest.raises(FtxError, match=r"heads\.json is missing"):
        open_teacher(f"run:{tmp_path}#mplm")


def test_in_the_papers_mode_each_word_has_one_unit(run):
    teacher = mplm_teacher(run.mplm, device=torch.device("cpu"), whole_words=True)
    tags = teacher.ask(TEXTS, WORDS).tags
    assert tags.offsets.tolist() == [list(word) for words in WORDS for word in words]
    bridged = mplm_teacher(run.mplm, device=torch.device("cpu"))
    assert bridged.fingerprint != teacher.fingerprint


def test_a_word_takes_the_distribution_of_the_first_subword_that_overlaps_it():
    offsets = np.array([[0, 2], [2, 6], [6, 9], [10, 12]], dtype=np.int32)
    probs = np.arange(4, dtype=np.float32)[:, None]
    spans, own = first_of_words(offsets, probs, [(0, 6), (7, 9), (10, 12), (13, 15)])
    assert spans.tolist() == [[0, 6], [7, 9], [10, 12]]  # the last was cut off
    assert own[:, 0].tolist() == [0, 2, 3]
