"""What a package answers, to whatever it is asked."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from ftx_edge.errors import DataError, FtxError, PackageError, UsageError
from ftx_edge.runtime import load

TEXTS = ["acenda a luz", "apaga a luz da cozinha", "toca música na sala de jantar", "", "nada disso"] * 3


@pytest.fixture(scope="module")
def package(tiny_package):
    return load(tiny_package)


@pytest.fixture(scope="module")
def joint(tiny_joint_package):
    return load(tiny_joint_package)


def test_a_list_is_answered_as_its_texts_one_by_one(joint):
    assert joint.predict(TEXTS) == [joint.predict(text) for text in TEXTS]


def test_several_threads_get_the_answers_of_one(joint):
    expected = joint.predict(TEXTS)
    with ThreadPoolExecutor(4) as threads:
        assert all(answer == expected for answer in threads.map(lambda _: joint.predict(TEXTS), range(16)))


def test_distributions_sum_to_one_and_agree_with_the_prediction(package):
    probs = package.predict_proba(TEXTS)
    assert probs.shape == (len(TEXTS), 3)
    assert probs.dtype == np.float32
    np.testing.assert_allclose(probs.sum(axis=1), 1, atol=1e-6)
    for text, row in zip(TEXTS, probs, strict=True):
        if not text:
            continue
        prediction = package.predict(text, top_k=3)
        assert prediction.label == package.labels[row.argmax()]
        assert prediction.score == pytest.approx(row.max(), abs=1e-6)
        assert list(prediction.scores.values()) == sorted(prediction.scores.values(), reverse=True)
    assert package.predict_proba(TEXTS[0]).shape == (3,)
    assert package.soft_labels([]).shape == (0, 3)


def test_a_label_below_the_minimum_is_withheld_and_its_score_is_not(package):
    prediction = package.predict("nada disso", min_score=0.9)
    assert prediction.label is None
    assert 0 < prediction.score < 0.9
    assert package.predict("acenda a luz", min_score=0.9).label == "light_on"


def test_spans_are_offsets_into_the_text_as_given(joint):
    text = "acenda a luz da cozinha  e da sala de jantar"
    spans = joint.predict(text).spans
    assert [(s.label, text[s.start : s.end]) for s in spans] == [("room", s.text) for s in spans]
    assert spans[0].text == "cozinha"
    assert all(0 < span.score <= 1 for span in spans)


def test_token_distributions_leave_special_tokens_out(joint):
    tags = joint.soft_tags(["acenda a luz", "", "sala"])
    assert tags.splits.tolist() == [0, 3, 3, 4]
    assert tags.offsets.tolist() == [[0, 6], [7, 8], [9, 12], [0, 4]]
    assert (tags.probs.dtype, tags.offsets.dtype, tags.splits.dtype) == (np.float32, np.int32, np.int64)
    np.testing.assert_allclose(tags.probs.sum(axis=1), 1, atol=1e-6)
    assert joint.soft_tags([]).probs.shape == (0, 3)


def test_what_a_package_has_no_head_for_is_refused(package):
    with pytest.raises(PackageError, match="it has no tags"):
        package.soft_tags(["a"])


@pytest.mark.parametrize("text", ["\0", "a\0b", "\u200d", "\ufeff", "😀" * 500, "e\u0301" * 500])
def test_odd_texts_are_answered(joint, text):
    prediction = joint.predict(text)
    assert prediction.label in joint.labels
    for span in prediction.spans:
        assert 0 <= span.start < span.end <= len(text)


@pytest.mark.parametrize("text", ["", " ", "\n\t\r", " " * 100_000])
def test_blank_text_has_no_label_and_no_spans(joint, text):
    prediction = joint.predict(text, top_k=2)
    assert (prediction.label, prediction.score, prediction.scores, prediction.spans) == (None, 0.0, {}, ())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"top_k": -1}, "top_k must be 0 or more"),
        ({"min_score": 5}, "min_score must be between 0 and 1"),
        ({"min_score": float("nan")}, "min_score must be between 0 and 1"),
    ],
)
def test_options_out_of_range_are_refused(package, options, message):
    with pytest.raises(UsageError, match=message):
        package.predict("acenda a luz", **options)


@pytest.mark.parametrize("text", ["a" * 100_000, "luz " * 25_000, "家" * 100_000])
def test_a_hundred_thousand_characters_are_answered(joint, text):
    assert joint.predict(text).label in joint.labels


def test_a_text_beyond_all_measure_is_refused(joint):
    with pytest.raises(DataError, match="at most 1,000,000"):
        joint.predict("a" * 1_000_001)


@pytest.mark.parametrize("text", ["\ud800", "luz \udfff", "\udc80abc"])
def test_a_lone_surrogate_is_refused_with_its_place(joint, text):
    place = next(i for i, c in enumerate(text) if "\ud800" <= c <= "\udfff")
    with pytest.raises(DataError, match=rf"a lone surrogate \(U\+D\w+\) at character {place}"):
        joint.predict(text)


@pytest.mark.parametrize("texts", [[None], [1], [b"luz"], [["luz"]]])
def test_what_is_no_text_is_refused(joint, texts):
    with pytest.raises(FtxError, match="must be a str"):
        joint.predict(texts)


def test_it_needs_neither_torch_nor_anything_heavy(tiny_package):
    program = (
        "import sys\nfrom ftx_edge.runtime import load\n"
        f"load({str(tiny_package)!r}).predict('acenda a luz')\n"
        "heavy = {'torch', 'transformers', 'onnx', 'ssl', 'asyncio', 'importlib.metadata'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
