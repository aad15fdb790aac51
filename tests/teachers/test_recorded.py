"""``recorded:``: a company hands over predictions and never the model."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest

from ftx_edge.errors import DataError, UsageError
from ftx_edge.teachers import open_teacher


@pytest.fixture
def record(tmp_path):
    """``record(row, ...)``: a file of them; what is not a dict is written as it is."""

    def write(*rows, name="teacher.jsonl"):
        path = tmp_path / name
        lines = [json.dumps(r) if isinstance(r, dict) else r for r in rows]
        content = "".join(f"{line}\n" for line in lines).encode()
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        return path

    return write


GOOD = {"text": "turn on the light", "probs": {"light_on": 0.9, "light_off": 0.1}}
OTHER = {"text": "lights out", "probs": {"light_off": 1.0}}
TAGGED = {
    "text": "light in the living room",
    "words": ["light", "in", "the", "living", "room"],
    "tag_probs": [{"O": 1}, {"O": 1}, {"O": 1}, {"B-room": 0.75, "O": 0.25}, {"I-room": 0.5, "O": 0.5}],
}


@pytest.mark.parametrize("name", ["teacher.jsonl", "teacher.jsonl.gz"])
def test_predictions_are_found_by_text(record, name):
    teacher = open_teacher(f"recorded:{record(GOOD, OTHER, name=name)}")
    assert teacher.labels == ("light_off", "light_on")
    probs = teacher.ask(["lights out", "turn on the light", "lights out"]).labels
    np.testing.assert_allclose(probs, [[1, 0], [0.1, 0.9], [1, 0]], rtol=1e-6)


def test_left_out_labels_have_probability_zero(record):
    teacher = open_teacher(f"recorded:{record(GOOD, OTHER)}")
    assert teacher.ask(["lights out"]).labels.tolist() == [[1.0, 0.0]]


def test_tags_come_with_the_words_that_they_are_for(record):
    teacher = open_teacher(f"recorded:{record(TAGGED)}", tagging=True)
    assert teacher.tags == ("O", "B-room", "I-room")
    found = teacher.ask([TAGGED["text"]], [[]]).tags
    assert found.offsets.tolist() == [[0, 5], [6, 8], [9, 12], [13, 19], [20, 24]]
    np.testing.assert_allclose(found.probs[3:], [[0.25, 0.75, 0], [0.5, 0, 0.5]])


def test_of_labels_and_tags_the_tags_alone_may_be_wanted(record):
    path = record(TAGGED, {**GOOD, "text": "another"})
    both = open_teacher(f"recorded:{path}")
    assert (len(both.labels), len(both.tags)) == (2, 3)
    tagger = open_teacher(f"recorded:{path}", tagging=True)
    assert (len(tagger.labels), len(tagger.tags)) == (0, 3)
    assert tagger.ask([TAGGED["text"]], [[]]).labels is None
    with pytest.raises(DataError, match="no prediction for 1 of 1"):
        both.ask([TAGGED["text"]], [[]])


def test_words_may_be_offsets(record):
    offsets = [[0, 5], [6, 8], [9, 12], [13, 19], [20, 24]]
    teacher = open_teacher(f"recorded:{record({**TAGGED, 'words': offsets})}", tagging=True)
    assert teacher.ask([TAGGED["text"]], [[]]).tags.offsets.tolist() == offsets


def test_a_word_that_occurs_twice_is_found_in_order(record):
    row = {"text": "no no", "words": ["no", "no"], "tag_probs": [{"O": 1}, {"B-x": 1}]}
    teacher = open_teacher(f"recorded:{record(row)}", tagging=True)
    assert teacher.ask(["no no"], [[]]).tags.offsets.tolist() == [[0, 2], [3, 5]]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{", "not JSON"),
        ("[1]", "not a JSON object"),
        ({"probs": {"a": 1}}, 'no "text"'),
        ({"text": "t"}, 'neither "probs" nor "tag_probs"'),
        ({"text": "t", "probs": {"a": 0.5, "b": 0.4}}, "probabilities sum to 0.9; they must sum to 1"),
        ({"text": "t", "probs": {"a": 1.5, "b": -0.5}}, "must"),
        ({"text": "t", "probs": {}}, "sum to 0"),
        ({"text": "t", "probs": [0.5, 0.5]}, "must be an object"),
        ({"text": "t", "probs": {"a": "1"}}, "must be an object"),
        ('{"text": "t", "probs": {"a": NaN, "b": 1}}', "sum to nan"),
        ({"text": "t", "tag_probs": [{"O": 1}]}, '"tag_probs" without "words"'),
        ({"text": "t", "words": ["t"], "tag_probs": []}, "1 words but 0 tag_probs"),
        ({"text": "t", "words": ["t"], "tag_probs": 5}, '"tag_probs" must be a list'),
        ({"text": "t", "words": ["u"], "tag_probs": [{"O": 1}]}, "word 'u' is not in the text"),
        ({"text": "t", "words": [[0, 2]], "tag_probs": [{"O": 1}]}, "is not in the text"),
        ({"text": "t", "words": [["a", "b"]], "tag_probs": [{"O": 1}]}, "is not in the text"),
        ({"text": "t", "words": ["t"], "tag_probs": [{"O": 0.5}]}, "sum to 0.5"),
    ],
)
def test_a_row_that_cannot_be_used_is_named_by_file_and_line(record, row, message):
    path = record(GOOD, row)
    with pytest.raises(DataError) as caught:
        open_teacher(f"recorded:{path}")
    assert f"{path}:2: " in str(caught.value)
    assert message in str(caught.value)


def test_a_text_without_a_prediction_is_named(record):
    path = record(GOOD, OTHER)
    teacher = open_teacher(f"recorded:{path}")
    with pytest.raises(DataError) as caught:
        teacher.ask(["lights out", "play a song"])
    assert str(path) in str(caught.value)
    assert "no prediction for 1 of 2 utterances, such as 'play a song': add them" in str(caught.value)


def test_a_single_label_is_nothing_to_learn(record):
    path = record({"text": "a", "probs": {"only": 1}}, {"text": "b", "probs": {"only": 1}})
    with pytest.raises(UsageError, match="a single label, 'only'"):
        open_teacher(f"recorded:{path}")


def test_labels_are_no_tags(record):
    with pytest.raises(UsageError, match="has no tags"):
        open_teacher(f"recorded:{record(GOOD)}", tagging=True)


def test_missing_and_empty_files_are_refused(record, tmp_path):
    with pytest.raises(DataError, match="no such file"):
        open_teacher(f"recorded:{tmp_path / 'none.jsonl'}")
    with pytest.raises(DataError, match="empty"):
        open_teacher(f"recorded:{record()}")


def test_other_predictions_have_another_fingerprint(record):
    first = open_teacher(f"recorded:{record(GOOD, OTHER)}").fingerprint
    assert open_teacher(f"recorded:{record(GOOD, OTHER)}").fingerprint == first
    assert open_teacher(f"recorded:{record(OTHER, GOOD)}").fingerprint != first
