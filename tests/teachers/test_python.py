"""``python:module:function``: any callable."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from ftx_edge.errors import FtxError, UsageError
from ftx_edge.teachers import open_teacher

SOURCE = """
def lights(texts):
    assert len(texts) <= 256
    return [{"on": 1.0} if "on" in text.split() else {"off": 0.75, "on": 0.25} for text in texts]
lights.labels = ("off", "on")

def rooms(texts, words):
    return [[{"B-room": 1.0} if word == "kitchen" else {"O": 1.0} for word in row] for row in words]
rooms.tags = ("B-room", "O")

def short(texts):
    return lights(texts)[1:]
short.labels = lights.labels

def undeclared(texts):
    return [{"blue": 1.0} for _ in texts]
undeclared.labels = ("off", "on")

def half(texts):
    return [{"on": 0.5} for _ in texts]
half.labels = ("off", "on")

def few_words(texts, words):
    return [[] for _ in texts]
few_words.tags = ("O", "B-room")

def tired(texts):
    raise TimeoutError("no answer in 30 s")
tired.labels = ("off", "on")

def anonymous(texts): ...
constant = 3
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """The name of a module with the functions above."""
    (tmp_path / "rules_of_mine.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    yield "rules_of_mine"
    sys.modules.pop("rules_of_mine", None)


def test_a_function_of_texts_is_a_classifier(module):
    teacher = open_teacher(f"python:{module}:lights")
    assert teacher.labels == ("off", "on")
    assert teacher.ask(["light on", "light off"]).labels.tolist() == [[0.0, 1.0], [0.75, 0.25]]


def test_texts_are_handed_over_in_portions(module):
    probs = open_teacher(f"python:{module}:lights").ask(["on"] * 600).labels
    assert probs.shape == (600, 2)
    assert probs[:, 1].min() == 1


def test_a_function_of_words_is_a_tagger(module):
    teacher = open_teacher(f"python:{module}:rooms", tagging=True)
    assert teacher.tags == ("O", "B-room", "I-room")
    found = teacher.ask(["the kitchen", "here"], [[(0, 3), (4, 11)], [(0, 4)]]).tags
    assert found.offsets.tolist() == [[0, 3], [4, 11], [0, 4]]
    np.testing.assert_array_equal(found.probs.argmax(1), [0, 1, 0])


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("short", "gave 1 answers for 2 texts"),
        ("undeclared", "gave 'blue', which it does not declare"),
        ("half", "sum to 0.5"),
        ("tired", r"failed with TimeoutError: no answer in 30 s; repeat the command"),
    ],
)
def test_answers_that_do_not_fit_are_refused(module, function, message):
    with pytest.raises(FtxError, match=message):
        open_teacher(f"python:{module}:{function}").ask(["a", "b"])


def test_a_tagger_must_answer_for_every_word(module):
    teacher = open_teacher(f"python:{module}:few_words", tagging=True)
    with pytest.raises(FtxError, match="gave 0 distributions for 1 words"):
        teacher.ask(["a"], [[(0, 1)]])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("{module}", "expected python:module:function"),
        ("{module}:none", "has no none"),
        ("no_such_module_here:f", "cannot import no_such_module_here"),
        ("{module}:constant", "is not callable"),
        ("{module}:anonymous", "give the function an attribute labels"),
    ],
)
def test_what_is_not_there_is_named(module, name, message):
    with pytest.raises(FtxError, match=message):
        open_teacher("python:" + name.format(module=module))


def test_a_tagger_must_declare_its_tags(module):
    with pytest.raises(UsageError, match="attribute tags"):
        open_teacher(f"python:{module}:lights", tagging=True)


def test_other_source_code_has_another_fingerprint(module, tmp_path):
    first = open_teacher(f"python:{module}:lights").fingerprint
    sys.modules.pop(module)
    (tmp_path / "rules_of_mine.py").write_text(SOURCE + "# changed\n")
    import linecache

    linecache.checkcache()
    assert open_teacher(f"python:{module}:lights").fingerprint != first
