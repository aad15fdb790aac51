"""``distill``: a recipe in, a run folder out; no label takes part, the same seed gives the same weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from ftx_edge.errors import DataError, FtxError, UsageError

torch = pytest.importorskip("torch")

from ftx_edge.benchmarks.baselines import tfidf_of  # noqa: E402
from ftx_edge.distillation import distill, plan  # noqa: E402
from ftx_edge.recipe import Recipe  # noqa: E402
from ftx_edge.runs import RunLayout  # noqa: E402
from ftx_edge.students import load_student  # noqa: E402
from ftx_edge.teachers import open_teacher  # noqa: E402

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def finished(recipe, tmp_path_factory):
    """A finished classification run. Read only."""
    root = tmp_path_factory.mktemp("finished") / "run"
    return RunLayout(root), distill(recipe(), root)


def test_a_run_holds_all_that_comes_next(finished):
    layout, result = finished
    assert result.run == layout.root
    assert layout.languages() == ["pt"]
    for path in (
        layout.recipe,
        layout.record,
        layout.metrics,
        layout.curve,
        layout.mplm / "heads.safetensors",
    ):
        assert path.is_file(), path
    assert layout.curve.read_bytes().startswith(b"\x89PNG")
    assert sorted(p.name for p in layout.student("pt").iterdir()) == [
        "config.json",
        "heldout.jsonl",
        "model.safetensors",
        "tokenizer.json",
    ]
    assert not list(layout.checkpoints.iterdir())
    assert not list(layout.root.rglob("*.tmp"))


def test_the_record_says_what_was_measured(finished):
    layout, result = finished
    stages = layout.read_record()["stages"]
    assert stages["mplm"]["loss"] == result.mplm.loss
    assert stages["students/pt"]["agreement"] == result.students["pt"].agreement
    rows = [json.loads(line) for line in layout.metrics.read_text().splitlines()]
    assert [r["stage"] for r in rows] == ["mplm"] * 2 + ["students/pt"] * 2
    assert min(r["loss"] for r in rows if r["stage"] == "mplm") == result.mplm.loss


def test_held_out_texts_are_texts_of_the_corpus_with_the_labels_of_the_mplm(finished, world):
    layout = finished[0]
    rows = [json.loads(line) for line in layout.held_out("pt").read_text().splitlines()]
    held_out = [row["text"] for row in rows]
    assert len(held_out) == 6
    assert set(held_out) <= set(world.target.read_text().splitlines())
    mplm = open_teacher(f"run:{layout.root}#mplm@pt")
    said = [mplm.labels[column] for column in mplm.ask(held_out).labels.argmax(axis=1)]
    assert [row["label"] for row in rows] == said


def test_both_steps_learn(recipe, tmp_path):
    changes = {"step1.epochs": 6, "step2.epochs": 8, "data.held_out": 0.25}
    result = distill(recipe(**changes), tmp_path / "run")
    assert result.mplm.loss < 0.75 * result.mplm.history[0]["loss"]
    assert result.mplm.agreement > 0.9
    assert result.students["pt"].loss < 0.7 * result.students["pt"].history[0]["loss"]


@pytest.mark.parametrize("alignment", ["character-bridge", "first-subword"])
@pytest.mark.parametrize("task", ["tagging", "joint"])
def test_taggers_are_distilled_with_both_alignments(recipe, tmp_path, task, alignment):
    made = recipe(task, alignment=alignment, **{"step1.epochs": 3, "step2.epochs": 2})
    result = distill(made, tmp_path / "run")
    assert result.mplm.loss < result.mplm.history[0]["loss"]
    assert result.students["pt"].loss < result.students["pt"].history[0]["loss"]
    student, tokenizer = load_student(tmp_path / "run" / "students" / "pt")
    assert student.task == task
    assert student.config.tags == ("O", "B-room", "I-room")
    encoding = tokenizer.encode("acenda a luz da cozinha")
    outputs = student(torch.tensor([encoding.ids]), torch.tensor([encoding.attention_mask]))
    assert outputs.tag_logits.shape == (1, len(encoding.ids), 3)
    assert (outputs.logits is None) == (task == "tagging")


def test_the_tfidf_baseline_hears_what_a_joint_student_heard(recipe, tmp_path):
    pytest.importorskip("sklearn")
    layout = RunLayout(tmp_path / "run")
    distill(recipe("joint"), layout.root)
    known = sorted(layout.cache.iterdir())
    assert tfidf_of(layout.root, Recipe.read(layout.recipe), "pt").labels
    assert sorted(layout.cache.iterdir()) == known, "the mPLM is not asked anew"


def test_the_mplm_learns_which_words_are_rooms(recipe, tmp_path):
    distill(recipe("tagging", **{"step1.epochs": 10, "step2.max_steps": 1}), tmp_path / "run")
    mplm = open_teacher(f"run:{tmp_path / 'run'}#mplm", tagging=True)
    text = "play a song in the kitchen"
    words = [(0, 4), (5, 6), (7, 11), (12, 14), (15, 18), (19, 26)]
    found = mplm.ask([text], [words]).tags
    rooms = {text[a:b] for (a, b), row in zip(found.offsets, found.probs, strict=True) if row.argmax() == 1}
    assert rooms == {"kitchen"}


def test_languages_without_spaces_are_cut_into_words_at_distillation_only(recipe, tmp_path):
    pytest.importorskip("jieba")
    verbs, things, places = ("打开", "关掉", "播放"), ("灯", "音乐", "风扇"), ("厨房的", "客厅的", "现在")
    texts = [f"{v}{p}{t}" for v in verbs for t in things for p in places]
    (tmp_path / "zh.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
    made = recipe("joint", **{"data.targets": {"zh": str(tmp_path / "zh.txt")}, "step2.epochs": 1})
    distill(made, tmp_path / "run")
    assert RunLayout(tmp_path / "run").read_record()["stages"]["students/zh"]["segmenter"] == "jieba"
    _, tokenizer = load_student(tmp_path / "run" / "students" / "zh")
    assert "厨房" in tokenizer.encode("打开厨房的灯").tokens


def test_the_same_seed_gives_the_same_files(finished, recipe, tmp_path, contents):
    distill(recipe(), tmp_path / "run")
    again = RunLayout(tmp_path / "run")
    assert contents(again.mplm) == contents(finished[0].mplm)
    assert contents(again.student("pt")) == contents(finished[0].student("pt"))


def test_another_seed_gives_other_weights(finished, recipe, tmp_path, contents):
    distill(recipe(seed=1), tmp_path / "run")
    other = RunLayout(tmp_path / "run")
    name = "model.safetensors"
    assert contents(other.mplm)[name] != contents(finished[0].mplm)[name]
    assert contents(other.student("pt"))[name] != contents(finished[0].student("pt"))[name]


@pytest.mark.parametrize("labels", [["light_on", "light_off"], ["x7", "noise", "0"]], ids=["labels", "noise"])
def test_labels_in_the_unlabelled_files_change_nothing(finished, recipe, world, tmp_path, contents, labels):
    paths = {}
    for lang, file in (("en", world.source), ("pt", world.target)):
        rows = [
            {"text": text, "label": labels[i % len(labels)], "spans": [{"start": 0, "end": 2, "label": "x"}]}
            for i, text in enumerate(file.read_text().splitlines())
        ]
        paths[lang] = tmp_path / f"{lang}.jsonl"
        paths[lang].write_text("".join(json.dumps(row) + "\n" for row in rows))
    changes = {"data.source": str(paths["en"]), "data.targets": {"pt": str(paths["pt"])}}
    distill(recipe(**changes), tmp_path / "run")
    labelled = RunLayout(tmp_path / "run")
    assert contents(labelled.mplm) == contents(finished[0].mplm)
    assert contents(labelled.student("pt")) == contents(finished[0].student("pt"))


def test_a_finished_run_is_not_done_again(finished, recipe, progress, contents):
    layout, result = finished
    before = contents(layout.root)
    again = distill(recipe(), layout.root, progress=progress)
    assert progress.stages == []
    assert progress.notes[-2:] == ["mplm: done before", "students/pt: done before"]
    assert (again.mplm, again.students) == (result.mplm, result.students)
    assert contents(layout.root) == before


def test_a_student_that_is_gone_is_made_again_and_an_mplm_only_where_it_is_needed(
    finished, recipe, tmp_path, contents, progress
):
    root = Path(shutil.copytree(finished[0].root, tmp_path / "run"))
    before = contents(root / "students")
    shutil.rmtree(root / "students" / "pt")
    distill(recipe(), root)
    assert contents(root / "students") == before
    shutil.rmtree(root / "mplm")
    assert distill(recipe(), root, progress=progress).mplm == finished[1].mplm
    assert "mplm: done before" in progress.notes
    assert not (root / "mplm").exists()


def test_a_run_of_another_recipe_is_refused(finished, recipe, contents):
    before = contents(finished[0].root)
    with pytest.raises(FtxError, match="belongs to another recipe"):
        distill(recipe(seed=5), finished[0].root)
    assert contents(finished[0].root) == before


def test_a_run_whose_text_has_changed_is_refused(recipe, world, tmp_path):
    text = tmp_path / "pt.txt"
    text.write_text(world.target.read_text())
    made = recipe(**{"data.targets": {"pt": str(text)}, "step1.max_steps": 1, "step2.max_steps": 1})
    distill(made, tmp_path / "run")
    text.write_text(world.target.read_text() + "mais uma\n")
    with pytest.raises(FtxError, match="pt text changed since"):
        distill(made, tmp_path / "run")


def test_a_folder_that_is_no_run_is_left_alone(recipe, tmp_path):
    (tmp_path / "mine.txt").write_text("dear")
    with pytest.raises(FtxError, match="exists and is not a run"):
        distill(recipe(), tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_another_run_lends_its_step_1(finished, recipe, tmp_path, progress, contents):
    made = recipe(**{"student.architecture": "static"})
    distill(made, tmp_path / "run", reuse=finished[0].root, progress=progress)
    assert contents(tmp_path / "run" / "mplm") == contents(finished[0].mplm)
    assert "mplm: done before" in progress.notes
    with pytest.raises(UsageError, match="did another step 1: step1 differ"):
        distill(recipe(**{"step1.epochs": 1}), tmp_path / "other", reuse=finished[0].root)


def test_the_teacher_is_asked_once_for_each_corpus(recipe, world, tmp_path, monkeypatch):
    asked = []
    source = "def f(texts):\n    log(texts)\n    return [{'a': 0.5, 'b': 0.5} for _ in texts]\n"
    (tmp_path / "asked_teacher.py").write_text(source + "f.labels = ('a', 'b')\n")
    monkeypatch.syspath_prepend(tmp_path)
    import asked_teacher

    asked_teacher.log = asked.extend
    changes = {"step1.epochs": 3, "step2.max_steps": 1}
    distill(recipe(**{"teacher.label": "python:asked_teacher:f", **changes}), tmp_path / "run")
    assert sorted(asked) == sorted(world.source.read_text().splitlines())


def test_duplicates_are_left_out_and_said(recipe, world, tmp_path, progress):
    text = tmp_path / "pt.txt"
    text.write_text(world.target.read_text() + world.target.read_text())
    made = recipe(**{"data.targets": {"pt": str(text)}, "step1.max_steps": 1, "step2.max_steps": 1})
    distill(made, tmp_path / "run", progress=progress)
    assert "pt: 64 duplicate utterances left out" in progress.notes
    assert "pt: 58 utterances to learn from are few: expect little of it" in progress.notes
    assert RunLayout(tmp_path / "run").read_record()["stages"]["students/pt"]["texts"] == 58


def test_too_few_utterances_are_refused_before_anything_is_written(recipe, tmp_path):
    (tmp_path / "pt.txt").write_text("acenda\n")
    with pytest.raises(DataError, match="1 different utterances are too few"):
        distill(recipe(**{"data.targets": {"pt": str(tmp_path / "pt.txt")}}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_text_that_the_recorded_teacher_does_not_know_is_named(recipe, world, tmp_path):
    (tmp_path / "en.txt").write_text(world.source.read_text() + "who are you\n")
    made = recipe(**{"data.source": str(tmp_path / "en.txt")})
    with pytest.raises(DataError, match="no prediction for 1 of 65 utterances, such as 'who are you': add"):
        distill(made, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(DataError, match="no prediction for 1 of 65 utterances"):
        plan(made)


def test_a_tagger_named_as_label_teacher_is_refused(recipe, world, tmp_path):
    rows = [json.loads(line) for line in (world.folder / "teacher.jsonl").read_text().splitlines()]
    for row in rows:
        del row["probs"]
    (tmp_path / "tags.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(UsageError, match="is a tagger: name it"):
        distill(recipe(**{"teacher.label": f"recorded:{tmp_path / 'tags.jsonl'}"}), tmp_path / "run")


def test_texts_longer_than_the_mplm_can_read_are_cut(recipe, world, tmp_path):
    (tmp_path / "pt.txt").write_text(world.target.read_text() + "acenda a luz da cozinha " * 60 + "\n")
    changes = {"data.targets": {"pt": str(tmp_path / "pt.txt")}, "mplm.max_length": 128}
    made = recipe(**changes, **{"step1.max_steps": 1, "step2.max_steps": 1})
    assert distill(made, tmp_path / "run").students["pt"].steps == 1
