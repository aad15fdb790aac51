"""A package that knows when it is not sure: calibrated and abstaining, by its teacher's labels alone."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

pytest.importorskip("torch")

from ftx_edge.errors import GateError, UsageError
from ftx_edge.exporters import export, export_student
from ftx_edge.exporters.confidence import abstain, fit_temperature, lowest_score
from ftx_edge.metrics import calibration
from ftx_edge.recipe import Recipe
from ftx_edge.runtime import load

pytestmark = pytest.mark.train


def sure(count, *, spread=3.0, seed=0):
    """``count`` distributions over 5 labels, and answers drawn from them: perfectly calibrated."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(count, 5)) * spread
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    drawn = (probs.cumsum(axis=1) > rng.random((count, 1))).argmax(axis=1)
    return probs, drawn


def heated(probs, temperature):
    scaled = probs ** (1 / temperature)
    return scaled / scaled.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("heat", [0.5, 1.0, 2.5])
def test_the_temperature_undoes_what_made_scores_wrong(heat):
    probs, answers = sure(20_000)
    wrong = heated(probs, heat)
    found = fit_temperature(wrong, answers)
    assert found == pytest.approx(1 / heat, rel=0.05)
    assert found == round(found, 3)
    right = heated(wrong, found)
    assert calibration(right.max(axis=1), right.argmax(axis=1) == answers).error < 0.01


def test_a_student_that_always_agrees_gets_a_bounded_temperature():
    probs, _ = sure(50)
    assert 0.1 <= fit_temperature(probs, probs.argmax(axis=1)) <= 10


def test_the_lowest_score_keeps_the_agreement_on_other_texts_too():
    probs, answers = sure(1_000)
    found = lowest_score(probs, answers, 0.9)
    assert 0.3 < found.answered < 1
    assert found.at_least >= 0.9 > abstain(probs, answers, found.min_score - 0.01).at_least
    others, truth = sure(20_000, seed=1)
    assert abstain(others, truth, found.min_score).agreement >= 0.9


def test_all_are_answered_where_all_agree_often_enough():
    probs, _ = sure(200)
    found = lowest_score(probs, probs.argmax(axis=1), 0.95)
    assert (found.min_score, found.answered, found.agreement) == (0.0, 1.0, 1.0)


def test_an_agreement_that_no_score_reaches_is_refused_with_the_best():
    probs, answers = sure(30, spread=0.5)
    with pytest.raises(GateError, match=r"no score keeps agreement at 99\.0%: .* is certain at best on 30"):
        lowest_score(probs, answers, 0.99)


@pytest.fixture
def run(make_student, held_out, tmp_path):
    """A run whose record says that its teacher says "play_music" wherever there is music, else "light_on"."""
    student = shutil.copytree(make_student("static", "classification"), tmp_path / "students" / "pt")
    rows = [{"text": t, "label": "play_music" if "música" in t else "light_on"} for t in held_out]
    (student / "heldout.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "run.json").write_text(json.dumps({"stages": {"students/pt": {}}}))
    Recipe().write(tmp_path / "recipe.toml")
    return tmp_path


def test_calibration_changes_scores_and_no_label(run, held_out):
    plain = load(export(run, max_drop=1)[0].folder).predict(held_out)
    (result,) = export(run, max_drop=1, calibrate=True)
    package = load(result.folder)
    calibrated = package.predict(held_out)
    assert [p.label for p in calibrated] == [p.label for p in plain]
    assert result.temperature > 1  # its random weights are surer than they are right
    assert max(p.score for p in calibrated) < max(p.score for p in plain)
    assert package.manifest.measured["temperature"] == result.temperature
    assert "calibrated (temperature" in (result.folder / "README.md").read_text()
    assert export(run, max_drop=1, calibrate=True)[0].sizes == result.sizes


def test_calibration_reads_text_behind_the_segmenter_of_the_package(run, held_out):
    behind = {"int8": False, "segmenter": "characters", "archive": False, "max_drop": 1}
    package = load(export(run, **behind)[0].folder)
    rows = (run / "students" / "pt" / "heldout.jsonl").read_text().splitlines()
    said = np.array([package.labels.index(json.loads(row)["label"]) for row in rows])
    fitted = fit_temperature(package.predict_proba(held_out), said)
    (result,) = export(run, **behind, calibrate=True)
    assert result.temperature == pytest.approx(fitted, abs=0.002)
    assert result.temperature != export(run, int8=False, max_drop=1, calibrate=True)[0].temperature


def test_a_package_with_a_minimal_score_withholds_doubtful_labels(run, ftx, held_out):
    scores = sorted(p.score for p in load(export(run, max_drop=1)[0].folder).predict(held_out))
    middle = round(scores[len(scores) // 2], 4)
    outcome = ftx("export", run, "--max-drop", 1, "--min-score", middle)
    assert f"pt: withholds labels below {middle:g}; answers" in outcome.out
    package = run / "packages" / "pt"
    rows = [json.loads(line) for line in ftx("predict", package, "--json", *held_out).out.splitlines()]
    withheld = [row for row in rows if row["label"] is None]
    assert 0 < len(withheld) < len(rows)
    assert all((row["label"] is None) == (row["score"] < middle) for row in rows)
    assert "not sure" in ftx("predict", package, withheld[0]["text"]).out
    assert "not sure" not in ftx("predict", package, "--min-score", 0, *held_out).out


def test_evaluate_counts_what_a_package_answers(run, held_out, tmp_path, ftx):
    from ftx_edge import evaluate

    (result,) = export(run, max_drop=1, min_score=0.9)
    test = run / "students" / "pt" / "heldout.jsonl"
    found = evaluate(str(result.folder), test, language="pt")
    assert found.answered.value == pytest.approx(result.abstention.answered)
    assert found.accuracy_of_answered.value == pytest.approx(result.abstention.agreement)
    assert found.accuracy.n == len(held_out) > found.accuracy_of_answered.n
    assert "accuracy of the answered" in ftx("evaluate", result.folder, "--test", test).out
    assert evaluate(str(export(run, max_drop=1)[0].folder), test).answered is None


def test_what_cannot_be_calibrated_is_refused_and_nothing_is_written(run, make_student, held_out, tmp_path):
    with pytest.raises(UsageError, match="leave one of them out"):
        export(run, min_score=0.5, min_agreement=0.9)
    with pytest.raises(GateError, match="no score keeps agreement"):
        export(run, max_drop=1, min_agreement=0.999)
    with pytest.raises(UsageError, match="a tagger has no label"):
        export_student(make_student("cnn", "tagging"), held_out, tmp_path / "x", language="pt", min_score=0.5)
    with pytest.raises(UsageError, match="distil it again"):
        export_student(
            make_student("cnn", "joint"), held_out, tmp_path / "x", language="pt", calibrate=True, max_drop=1
        )
    assert not (tmp_path / "x").exists()
    assert not (run / "packages").exists()


def test_a_score_by_hand_needs_nothing_of_the_run(make_student, held_out, tmp_path):
    result = export_student(
        make_student("cnn", "joint"), held_out, tmp_path / "x", language="pt", min_score=0.5, max_drop=1
    )
    assert load(result.folder).manifest.min_score == 0.5
    assert result.abstention is None
