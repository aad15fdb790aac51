"""``train_source``: an English model of one's own, for those who have labels."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from ftx_edge.errors import DataError, FtxError, UsageError

torch = pytest.importorskip("torch")

from ftx_edge import source  # noqa: E402
from ftx_edge.distillation import direct  # noqa: E402
from ftx_edge.distillation.progress import Silent  # noqa: E402
from ftx_edge.recipe import Recipe  # noqa: E402
from ftx_edge.source import train_source  # noqa: E402
from ftx_edge.teachers import open_teacher  # noqa: E402

pytestmark = pytest.mark.train

VERBS = {"turn on": "light_on", "switch off": "light_off", "play": "play_music"}
ROWS = [
    {
        "text": f"{verb} {thing} in the {room}",
        "label": label,
        "spans": [
            {
                "start": len(f"{verb} {thing} in the "),
                "end": len(f"{verb} {thing} in the {room}"),
                "label": "room",
            }
        ],
    }
    for verb, label in VERBS.items()
    for thing in ("the light", "the lamp", "a song", "the fan")
    for room in ("kitchen", "hall", "living room")
]


def written(tmp_path, rows, name="labelled.jsonl"):
    path = tmp_path / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """A trained classifier, once for all. Read only."""
    folder = tmp_path_factory.mktemp("source")
    return train_source(written(folder, ROWS), folder / "en", epochs=8, device="cpu")


def test_a_classifier_learns_and_opens_as_a_teacher(classifier):
    assert classifier.labels == ("light_off", "light_on", "play_music")
    teacher = open_teacher(classifier.teacher)
    assert classifier.teacher == f"hf:{classifier.folder}"
    probs = teacher.ask(["turn on the light in the hall", "play a song in the kitchen"]).labels
    assert [teacher.labels[i] for i in probs.argmax(1)] == ["light_on", "play_music"]


def test_it_is_an_ordinary_hugging_face_folder(classifier):
    import transformers

    names = {p.name for p in classifier.folder.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"} <= names
    model = transformers.AutoModelForSequenceClassification.from_pretrained(classifier.folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(classifier.folder)
    logits = model(**tokenizer("turn on the lamp", return_tensors="pt")).logits
    assert model.config.id2label[int(logits.argmax())] == "light_on"


def test_no_checkpoint_is_left(classifier):
    assert not list(classifier.folder.parent.glob(".*"))


def test_a_tagger_learns_where_rooms_are(tmp_path):
    result = train_source(written(tmp_path, ROWS), tmp_path / "en", task="tagging", epochs=8, device="cpu")
    assert result.tags == ("O", "B-room", "I-room")
    teacher = open_teacher(result.teacher, tagging=True)
    words = [(0, 4), (5, 6), (7, 11), (12, 14), (15, 18), (19, 25), (26, 30)]
    found = teacher.ask(["play a song in the living room"], [words]).tags
    tags = [teacher.tags[i] for i in found.probs.argmax(1)]
    assert tags == ["O", "O", "O", "O", "O", "B-room", "I-room"]


def test_spans_that_cut_words_are_counted(tmp_path):
    class Notes(Silent):
        def __init__(self):
            self.said = []

        def note(self, message):
            self.said.append(message)

    cut = {"text": "lights in kitchen-diner", "spans": [{"start": 18, "end": 23, "label": "room"}]}
    for rows, counted in ((ROWS, 0), ([*ROWS, cut, cut], 2)):
        notes = Notes()
        path = written(tmp_path, rows)
        train_source(path, tmp_path / f"{counted}", task="tagging", epochs=1, device="cpu", progress=notes)
        told = [f"{path}: spans that cut a word, taken to its edges: 2"] if counted else []
        assert [said for said in notes.said if "spans" in said] == told


def test_the_same_seed_gives_the_same_file(tmp_path):
    path = written(tmp_path, ROWS)
    models = [
        train_source(path, tmp_path / name, epochs=1, seed=seed, device="cpu").folder / "model.safetensors"
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    ]
    assert models[0].read_bytes() == models[1].read_bytes() != models[2].read_bytes()


def test_a_finished_model_is_not_trained_again(tmp_path, monkeypatch):
    path, out = written(tmp_path, ROWS), tmp_path / "en"
    made = train_source(path, out, epochs=1, device="cpu")
    files = {file.name: file.read_bytes() for file in out.iterdir()}
    monkeypatch.setattr(source, "Fit", None)
    again = train_source(path, out, epochs=1, device="cpu")
    assert again == replace(made, fit=replace(made.fit, seconds=0.0))
    assert {file.name: file.read_bytes() for file in out.iterdir()} == files


@pytest.mark.parametrize("change", [{"epochs": 2}, {"seed": 1}, {"task": "tagging"}])
def test_a_model_of_other_settings_is_not_replaced(tmp_path, change):
    path, out = written(tmp_path, ROWS), tmp_path / "en"
    train_source(path, out, epochs=1, device="cpu")
    before = (out / "model.safetensors").read_bytes()
    with pytest.raises(FtxError, match="en is a model of other labels or settings: choose another --out"):
        train_source(path, out, **({"epochs": 1, "device": "cpu"} | change))
    assert (out / "model.safetensors").read_bytes() == before


@pytest.mark.parametrize("name", ["notes", "notes/today.txt"])
def test_what_is_no_model_is_not_replaced(tmp_path, name):
    mine = tmp_path / "notes" / "today.txt"
    mine.parent.mkdir()
    mine.write_text("mine")
    with pytest.raises(FtxError, match="exists and is not a model of train-source"):
        train_source(written(tmp_path, ROWS), tmp_path / name, epochs=1, device="cpu")
    assert mine.read_text() == "mine"


@pytest.mark.parametrize("task", ["classification", "tagging"])
def test_a_student_trained_on_labels_is_a_run_that_says_so(tmp_path, task):
    result = train_source(
        written(tmp_path, ROWS), tmp_path / "run", task=task, architecture="static", epochs=2, device="cpu"
    )
    assert result.teacher == f"run:{tmp_path / 'run'}#en"
    teacher = open_teacher(result.teacher, tagging=task == "tagging")
    assert (teacher.labels, teacher.tags) == (result.labels, result.tags)
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["stages"]["students/en"]["supervised"] is True


def test_a_source_model_knows_nothing_of_the_multilingual_lm(tmp_path, monkeypatch):
    def forbidden(*_):
        raise AssertionError("the multilingual LM was opened")

    monkeypatch.setattr(direct, "load_encoder", forbidden)
    train_source(written(tmp_path, ROWS), tmp_path / "run", architecture="static", epochs=1, device="cpu")
    assert Recipe.read(tmp_path / "run" / "recipe.toml").student.init == "random"


@pytest.mark.parametrize(
    ("rows", "task", "message"),
    [
        ([{"text": "a", "label": "x"}, {"text": "b"}], "classification", "utterance 2 has no label"),
        ([{"text": "a", "label": "x"}] * 4, "tagging", "utterance 1 has no spans"),
        ([{"text": "a", "label": "x"}, {"text": "b", "label": "x"}], "classification", "1 different labels"),
        ([{"text": "a", "spans": []}, {"text": "b", "spans": []}], "tagging", "1 different labels"),
    ],
)
def test_labels_that_do_not_do_are_refused_by_file(tmp_path, rows, task, message):
    path = written(tmp_path, rows)
    with pytest.raises(DataError, match=message) as caught:
        train_source(path, tmp_path / "en", task=task, device="cpu")
    assert str(path) in str(caught.value)
    assert not (tmp_path / "en").exists()


def test_unknown_tasks_and_architectures_are_refused(tmp_path):
    path = written(tmp_path, ROWS)
    with pytest.raises(UsageError, match="unknown task 'joint'"):
        train_source(path, tmp_path / "en", task="joint")
    with pytest.raises(UsageError, match="unknown architecture 'gru'"):
        train_source(path, tmp_path / "en", architecture="gru")
