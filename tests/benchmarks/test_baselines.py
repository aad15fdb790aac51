"""What label-free students are measured against: each is trained, scored, and says what it read."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ftx_edge.benchmarks.tables import MeasurementStore
from ftx_edge.errors import DataError, FtxError, UsageError
from ftx_edge.soft_labels import SoftLabels

pytest.importorskip("torch")

from ftx_edge import Recipe, distill, evaluate, export
from ftx_edge.benchmarks.baselines import gold_supervised, measure, tfidf, translate_train_pseudo
from ftx_edge.runs import RunLayout

pytestmark = pytest.mark.train

VERBS = {"acenda": "light_on", "apague": "light_off", "toque": "play_music"}
THINGS = ("a luz", "o abajur", "uma música", "o ventilador")
ROOMS = ("na cozinha", "na sala", "no quarto")
TEXTS = [f"{verb} {thing} {room}" for verb in VERBS for thing in THINGS for room in ROOMS]
LABELS = ("light_off", "light_on", "never_said", "play_music")
SMALL = {
    "student.architecture": "static",
    "student.embedding_size": 32,
    "student.init": "random",
    "balance.method": "none",
    "student.vocab_size": 200,
    "student.max_length": 32,
    "step2.learning_rate": 0.01,
    "step2.batch_size": 8,
    "step2.epochs": 20,
    "device": "cpu",
    "precision": "fp32",
}


def soft_labels(texts):
    probs = np.full((len(texts), len(LABELS)), 0.1, dtype=np.float32)
    for row, text in enumerate(texts):
        probs[row, LABELS.index(VERBS[text.split()[0]])] = 0.7
    return SoftLabels(LABELS, probs)


def labelled(tmp_path, *, spans=False):
    rows = []
    for text in TEXTS:
        row = {"text": text, "label": VERBS[text.split()[0]]}
        if spans:
            room = text.split()[-1]
            row["spans"] = [{"start": len(text) - len(room), "end": len(text), "label": "room"}]
        rows.append(row)
    path = tmp_path / "pt.gold.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def table_of(tiny_world, tmp_path):
    """A translator of every English text but one."""
    words = {"turn on": "acenda", "switch off": "apague", "play": "toque", "start": "ligue"}
    lines = []
    for text in tiny_world.source.read_text().splitlines()[1:]:
        verb = next(v for v in words if text.startswith(v))
        lines.append(f"{text}\t{words[verb]}{text.removeprefix(verb)}\n")
    path = tmp_path / "en-pt.tsv"
    path.write_text("".join(lines))
    return f"table:{path}"


def test_tfidf_learns_the_soft_labels_and_keeps_labels_that_never_occur():
    learnt = tfidf(TEXTS[::2], soft_labels(TEXTS[::2]))
    assert learnt.labels == LABELS
    probs = learnt.ask(TEXTS[1::2]).labels
    assert probs.dtype == np.float32
    np.testing.assert_allclose(probs.sum(axis=1), 1, atol=1e-5)
    assert (probs.argmax(axis=1) == soft_labels(TEXTS[1::2]).probs.argmax(axis=1)).all()
    assert (probs[:, LABELS.index("never_said")] == 0).all()
    again = tfidf(TEXTS[::2], soft_labels(TEXTS[::2]))
    assert again.fingerprint == learnt.fingerprint
    assert (again.ask(TEXTS).labels == learnt.ask(TEXTS).labels).all()


def test_tfidf_of_a_single_answer_gives_that_answer():
    only = tfidf(TEXTS[:12], soft_labels(TEXTS[:12]))
    assert set(only.ask(TEXTS).labels.argmax(axis=1)) == {LABELS.index("light_on")}


def test_a_teacher_object_is_evaluated_as_it_is(tmp_path):
    teacher = tfidf(TEXTS, soft_labels(TEXTS))
    result = evaluate(teacher, labelled(tmp_path), reference=teacher)
    assert (result.target, result.reference) == ("tfidf", "tfidf")
    assert result.accuracy.value == result.agreement.value == 1
    assert result.calibration.error < 0.5


@pytest.mark.parametrize("task", ["classification", "tagging", "joint"])
def test_gold_supervised_learns_from_labels_says_so_and_can_be_exported(tmp_path, task):
    recipe = Recipe().override({**SMALL, "teacher.label": "hf:nowhere", "ensemble.labels": ("hf:nowhere-2",)})
    path = labelled(tmp_path, spans=True)
    baseline = gold_supervised(path, tmp_path / "gold", recipe, lang="pt", task=task)
    result = evaluate(f"run:{tmp_path / 'gold'}", path)
    if task != "tagging":
        assert result.accuracy.value > 0.8
    if task != "classification":
        assert result.spans.micro.f1 > 0.8
    record = RunLayout(tmp_path / "gold").read_record()
    assert (record["method"], record["stages"]["students/pt"]["supervised"]) == ("supervised", True)
    assert "hf:nowhere" not in (tmp_path / "gold" / "recipe.toml").read_text()
    [exported] = export(tmp_path / "gold", max_drop=1.0)
    assert "labelled text" in (exported.folder / "README.md").read_text()
    assert evaluate(str(exported.folder), path).n == len(TEXTS)
    assert baseline.target == f"run:{tmp_path / 'gold'}#pt"


def test_translate_train_pseudo_learns_the_english_answers_without_an_mplm(tiny_world, tmp_path):
    recipe = Recipe().override(
        {**SMALL, "teacher.label": tiny_world.teacher, "data.source": str(tiny_world.source)}
    )
    out = tmp_path / "translated"
    baseline = translate_train_pseudo(out, recipe, lang="pt", mt=table_of(tiny_world, tmp_path))
    assert baseline.fit.agreement > 0.5
    layout = RunLayout(out)
    assert not layout.mplm.exists()
    assert layout.read_record()["method"] == "translate-train-pseudo"
    texts = [json.loads(line)["text"] for line in layout.held_out("pt").read_text().splitlines()]
    assert all(text.split()[0] in ("acenda", "apague", "toque", "ligue") for text in texts)
    [exported] = export(out, max_drop=1.0)
    assert evaluate(str(exported.folder), tiny_world.test).language == "pt"
    # What is done is not done again, and another method does not take it for its own.
    weights = (layout.student("pt") / "model.safetensors").stat().st_mtime_ns
    translate_train_pseudo(out, recipe, lang="pt", mt=table_of(tiny_world, tmp_path))
    assert (layout.student("pt") / "model.safetensors").stat().st_mtime_ns == weights
    with pytest.raises(FtxError, match="a run of translate-train-pseudo, not of supervised"):
        gold_supervised(labelled(tmp_path), out, recipe, lang="pt")


def test_spans_go_to_the_translation_by_the_untouched_mplm(tiny_world, tmp_path):
    rows = []
    for text in tiny_world.source.read_text().splitlines():
        words = text.split()
        tags = [{"B-room": 0.9, "O": 0.1} if w in ("kitchen", "hall") else {"O": 1.0} for w in words]
        rows.append({"text": text, "words": words, "tag_probs": tags})
    recorded = tmp_path / "tags.jsonl"
    recorded.write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = Recipe().override(
        {
            **SMALL,
            "teacher.tag": f"recorded:{recorded}",
            "data.source": str(tiny_world.source),
            "mplm.name": str(tiny_world.mplm),
        }
    )
    mt = table_of(tiny_world, tmp_path)
    baseline = translate_train_pseudo(tmp_path / "tags", recipe, lang="pt", mt=mt)
    assert 0 < baseline.fit.agreement <= 1
    assert RunLayout(tmp_path / "tags").languages() == ["pt"]


def test_a_translator_that_gives_nothing_is_an_error(tiny_world, tmp_path):
    (tmp_path / "empty.tsv").write_text("something else\toutra coisa\n")
    recipe = Recipe().override(
        {**SMALL, "teacher.label": tiny_world.teacher, "data.source": str(tiny_world.source)}
    )
    with pytest.raises(FtxError, match="nothing could be translated into pt"):
        translate_train_pseudo(tmp_path / "out", recipe, lang="pt", mt=f"table:{tmp_path / 'empty.tsv'}")


@pytest.fixture(scope="module")
def run(tiny_world, tmp_path_factory):
    out = tmp_path_factory.mktemp("baselines") / "run"
    recipe = Recipe().override(
        {
            **SMALL,
            **tiny_world.changes,
            "step1.learning_rate": 0.01,
            "step1.max_steps": 3,
        }
    )
    distill(recipe, out)
    return out


def test_all_are_trained_beside_a_run_and_measured(run, tiny_world, tmp_path):
    store = MeasurementStore(tmp_path / "records.json")
    found = measure(
        run,
        {"pt": tiny_world.test},
        store,
        gold={"pt": labelled(tmp_path)},
        mt={"pt": table_of(tiny_world, tmp_path)},
        command="again",
    )
    accuracies = {m.method: m for m in found if m.metric == "accuracy"}
    assert list(accuracies) == ["tfidf", "gold-supervised", "translate-train-pseudo"]
    assert accuracies["gold-supervised"].source is None
    assert accuracies["translate-train-pseudo"].mplm is None
    assert accuracies["tfidf"].mplm == str(tiny_world.mplm)
    assert store.read() == found
    assert RunLayout(run / "baselines" / "gold-supervised" / "pt").languages() == ["pt"]


def test_a_language_that_the_run_does_not_have_is_refused(run, tiny_world, tmp_path):
    with pytest.raises(UsageError, match="has no text of de: it has pt"):
        measure(run, {"de": tiny_world.test}, MeasurementStore(tmp_path / "r.json"), command="again")


def test_gold_supervised_needs_labels(tiny_world, tmp_path):
    with pytest.raises(DataError, match="utterance 1 has no label"):
        gold_supervised(tiny_world.target, tmp_path / "gold", Recipe().override(SMALL), lang="pt")
    assert not (tmp_path / "gold").exists()
