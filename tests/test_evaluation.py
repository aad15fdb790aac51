"""Evaluation: what is right, what agrees, and what cannot be measured is said to be so."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ftx_edge.errors import DataError, FtxError, UsageError
from ftx_edge.evaluation import evaluate
from ftx_edge.soft_labels import Said, SoftTags

ROWS = [
    {
        "text": "acenda a luz da cozinha",
        "label": "light_on",
        "spans": [{"start": 16, "end": 23, "label": "room"}],
    },
    {"text": "apaga a luz", "label": "light_off", "spans": []},
    {"text": "toca música da sala", "label": "play_music", "spans": []},
    {"text": "apaga a música", "label": "stop_music", "spans": []},
]


def _write(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    rows = [{key: value for key, value in row.items() if key != "spans"} for row in ROWS]
    return _write(tmp_path / "test.jsonl", rows)


def test_accuracy_comes_with_its_interval_and_says_where_it_goes_wrong(
    tiny_package: Path, labelled: Path
) -> None:
    evaluation = evaluate(str(tiny_package), labelled)
    assert evaluation.accuracy is not None
    assert (evaluation.accuracy.count, evaluation.accuracy.n) == (3, 4)
    assert evaluation.accuracy.low < 0.75 < evaluation.accuracy.high
    assert [(c.gold, c.count) for c in evaluation.confusions] == [("stop_music", 1)]
    assert evaluation.unknown_labels == ("stop_music",)
    assert {row.label: row.score.recall for row in evaluation.labels}["light_on"] == 1
    assert evaluation.calibration is not None
    assert 0 <= evaluation.calibration.error <= 1
    assert evaluation.language == "pt"
    assert evaluation.spans is evaluation.joint is evaluation.agreement is None


def test_macro_f1_weighs_every_label_the_same(tiny_package: Path, labelled: Path) -> None:
    evaluation = evaluate(str(tiny_package), labelled)
    # light_on and light_off: 1; play_music, which also took stop_music: 2/3; stop_music: 0.
    assert evaluation.macro_f1 == pytest.approx((1 + 1 + 2 / 3 + 0) / 4)


@pytest.mark.parametrize("language", ["pt", "pt-BR"])
def test_a_package_is_evaluated_on_its_own_language(
    tiny_package: Path, labelled: Path, language: str
) -> None:
    assert evaluate(str(tiny_package), labelled, language=language).language == language
    with pytest.raises(UsageError, match="is of pt, and the test set is said to be de"):
        evaluate(str(tiny_package), labelled, language="de")


def test_spans_are_scored_over_words_and_over_characters(tiny_joint_package: Path, tmp_path: Path) -> None:
    evaluation = evaluate(str(tiny_joint_package), _write(tmp_path / "test.jsonl", ROWS))
    assert evaluation.spans is not None
    assert evaluation.spans_by_character == evaluation.spans.micro
    # "cozinha" is right; "sala" is found and is none.
    assert (
        evaluation.spans.micro.correct,
        evaluation.spans.micro.predicted,
        evaluation.spans.micro.gold,
    ) == (1, 2, 1)
    assert evaluation.joint is not None
    assert evaluation.joint.count == 2


def test_a_test_set_with_spans_alone_scores_spans_alone(tiny_joint_package: Path, tmp_path: Path) -> None:
    rows = [{key: value for key, value in row.items() if key != "label"} for row in ROWS]
    evaluation = evaluate(f"package:{tiny_joint_package}", _write(tmp_path / "test.jsonl", rows))
    assert evaluation.spans is not None
    assert evaluation.accuracy is evaluation.joint is None


class Spy:
    """Says the first label and no span, and keeps whether it was given words."""

    fingerprint = "spy"

    def __init__(self, labels: tuple[str, ...], tags: tuple[str, ...]) -> None:
        self.labels, self.tags, self.given = labels, tags, []

    def ask(self, texts, words=None):  # type: ignore[no-untyped-def]
        self.given.append(words is not None)
        labels = np.eye(len(self.labels), dtype=np.float32)[[0] * len(texts)] if self.labels else None
        if not self.tags or words is None:
            return Said(labels, None)
        units = [(np.array(own), np.eye(len(self.tags))[[0] * len(own)]) for own in words]
        return Said(labels, SoftTags.join(self.tags, units))


@pytest.mark.parametrize("known", [("label", "spans"), ("label",), ("spans",)])
def test_a_model_of_both_reads_a_text_once_and_as_words(tmp_path: Path, known: tuple[str, ...]) -> None:
    rows = [{key: value for key, value in row.items() if key in ("text", *known)} for row in ROWS]
    model = Spy(("light_on", "light_off"), ("O", "B-room", "I-room"))
    evaluation = evaluate(model, _write(tmp_path / "test.jsonl", rows))
    assert model.given == [True]
    assert (evaluation.accuracy is not None, evaluation.spans is not None) == (
        "label" in known,
        "spans" in known,
    )


def test_a_model_is_not_asked_for_what_the_test_set_lacks(labelled: Path) -> None:
    model, tagger = Spy(("light_on", "light_off"), ()), Spy((), ("O", "B-room", "I-room"))
    assert evaluate(model, labelled, reference=tagger).agreement is None
    assert (model.given, tagger.given) == ([False], [])


def test_of_recorded_predictions_the_labels_may_be_missing_where_spans_are_scored(tmp_path: Path) -> None:
    rows = [{"text": row["text"], "spans": row["spans"]} for row in ROWS]
    recorded: list[dict] = [{"text": "another", "probs": {"light_on": 1, "light_off": 0}}]
    for row in ROWS:
        words = str(row["text"]).split()
        recorded.append({"text": row["text"], "words": words, "tag_probs": [{"O": 1}] * len(words)})
    recorded[-1]["tag_probs"] = [{"B-room": 1}] * 3
    predictions = _write(tmp_path / "recorded.jsonl", recorded)
    evaluation = evaluate(f"recorded:{predictions}", _write(tmp_path / "test.jsonl", rows))
    assert evaluation.spans is not None
    assert evaluation.spans.micro.predicted == 3


def test_agreement_is_with_the_reference_whatever_the_labels_say(tiny_package: Path, tmp_path: Path) -> None:
    rows = [{"text": row["text"], "label": "light_on"} for row in ROWS]
    recorded = [
        {"text": row["text"], "probs": {"play_music": 0.6, "light_off": 0.3, "light_on": 0.1}} for row in ROWS
    ]
    reference = f"recorded:{_write(tmp_path / 'recorded.jsonl', recorded)}"
    evaluation = evaluate(str(tiny_package), _write(tmp_path / "test.jsonl", rows), reference=reference)
    assert evaluation.reference == reference
    assert evaluation.agreement is not None
    # The package says play_music of the third row, and of the last one light_off or play_music.
    assert evaluation.agreement.count in (1, 2)
    itself = evaluate(str(tiny_package), tmp_path / "test.jsonl", reference=str(tiny_package))
    assert itself.agreement is not None
    assert itself.agreement.value == 1


def test_translate_test_is_scored_like_any_model(tiny_package: Path, tmp_path: Path) -> None:
    table = tmp_path / "de-pt.tsv"
    table.write_text("Licht an\tacenda a luz\nLicht aus\tapaga a luz\nMusik\t\n", encoding="utf-8")
    rows = [
        {"text": "Licht an", "label": "light_on"},
        {"text": "Licht aus", "label": "light_off"},
        {"text": "Musik", "label": "play_music"},
        {"text": "fehlt", "label": "play_music"},
    ]
    spec = f"translate-test:table:{table}+package:{tiny_package}"
    evaluation = evaluate(spec, _write(tmp_path / "de.jsonl", rows))
    assert evaluation.accuracy is not None
    assert evaluation.accuracy.count >= 2
    assert evaluation.untranslated == 2


def test_the_result_is_plain_json(tiny_joint_package: Path, tmp_path: Path) -> None:
    evaluation = evaluate(str(tiny_joint_package), _write(tmp_path / "test.jsonl", ROWS))
    values = json.loads(json.dumps(evaluation.to_dict(), allow_nan=False))
    assert values["accuracy"]["value"] == evaluation.accuracy.value  # type: ignore[union-attr]
    assert values["spans"]["micro"]["f1"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"text": "apaga a luz"}], "neither labels nor spans"),
        ([{"text": "apaga a luz", "label": "x"}, {"text": "acenda"}], "record 2 has no label"),
    ],
)
def test_a_test_set_without_labels_is_refused(
    tiny_package: Path, tmp_path: Path, rows: list[dict], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        evaluate(str(tiny_package), _write(tmp_path / "test.jsonl", rows))


def test_a_classifier_has_nothing_to_say_of_spans(tiny_package: Path, tmp_path: Path) -> None:
    rows = [{"text": "apaga a luz", "spans": []}]
    with pytest.raises(FtxError, match="predicts labels"):
        evaluate(str(tiny_package), _write(tmp_path / "test.jsonl", rows))


@pytest.mark.parametrize("target", ["nowhere", "google:x", "translate-test:table:x.tsv"])
def test_a_target_that_is_nothing_is_refused_in_one_line(labelled: Path, target: str) -> None:
    with pytest.raises(UsageError) as caught:
        evaluate(target, labelled)
    assert "\n" not in str(caught.value)


@pytest.mark.train
def test_a_run_is_its_student_and_is_compared_with_its_mplm(tiny_world, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    from ftx_edge.distillation import distill
    from ftx_edge.recipe import Recipe

    changes = {
        **tiny_world.changes,
        "student.architecture": "static",
        "student.embedding_size": 8,
        **{f"step{n}.{k}": v for n in (1, 2) for k, v in (("max_steps", 2), ("learning_rate", 0.01))},
    }
    run = tmp_path / "run"
    distill(Recipe().override(changes), run)

    student = evaluate(str(run), tiny_world.test)
    assert (student.language, student.reference) == ("pt", f"run:{run}#mplm")
    assert student.agreement is not None
    assert student.agreement.n == student.n
    mplm = evaluate(f"run:{run}#mplm", tiny_world.test)
    assert mplm.reference is None
    assert mplm.accuracy is not None
    alone = evaluate(f"run:{run}#pt", tiny_world.test, reference="none")
    assert alone.accuracy == student.accuracy
    assert alone.agreement is None


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ({"mplm": {}}, "no finished student yet"),
        ({"students/de": {}, "students/pt": {}}, "students for de, pt: say which language"),
    ],
)
def test_which_student_of_a_run_is_meant_must_be_clear(
    labelled: Path, tmp_path: Path, stages: dict, message: str
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text(json.dumps({"stages": stages}), encoding="utf-8")
    with pytest.raises(UsageError, match=message):
        evaluate(str(tmp_path / "run"), labelled)
