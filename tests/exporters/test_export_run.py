"""The students of a run become packages; what a run lacks is named."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")

from ftx_edge.errors import FtxError, UsageError
from ftx_edge.exporters import export
from ftx_edge.recipe import Recipe
from ftx_edge.runtime import load

TEXTS = ["acenda a luz da cozinha", "toque uma música", "apague o abajur da sala de jantar agora"]


def write_run(
    folder: Path, student: Path, language: str, *, alignment: str = "character-bridge", **stage: object
) -> Path:
    """A run whose one student is a copy of that; ``stage`` is what its record says of it."""
    Recipe().override({"alignment": alignment, "teacher.tag": "recorded:x"}).write(folder / "recipe.toml")
    (folder / "run.json").write_text(json.dumps({"stages": {f"students/{language}": stage}}))
    shutil.copytree(student, folder / "students" / language)
    held_out = folder / "students" / language / "heldout.jsonl"
    held_out.write_text("".join(json.dumps({"text": t}) + "\n" for t in TEXTS))
    return folder


def test_where_one_of_several_fails_it_is_named_and_so_are_those_that_were_written(
    make_student, tmp_path, ftx
):
    run = write_run(tmp_path, make_student("static", "joint"), "de")
    shutil.copytree(make_student("cnn", "joint"), run / "students" / "pt")
    shutil.copy(run / "students" / "de" / "heldout.jsonl", run / "students" / "pt")
    (run / "run.json").write_text(json.dumps({"stages": {"students/de": {}, "students/pt": {}}}))
    small = export(run, "de", max_drop=1)[0].size
    outcome = ftx("export", run, "--max-drop", 1, "--max-size", small)
    assert outcome.code == 1
    assert outcome.error.startswith("pt: the package would have")
    assert outcome.error.endswith("nothing was written; packages written before it: de")


def test_what_is_no_run_and_a_language_it_lacks(tmp_path, make_student):
    with pytest.raises(FtxError, match="is not a run"):
        export(tmp_path)
    (tmp_path / "run.json").write_text('{"stages": {"students/pt": {}}}')
    with pytest.raises(UsageError, match=r"no finished student of de; it has: pt"):
        export(tmp_path, ["de"])


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("recipe.toml", None, r"recipe\.toml: no such recipe"),
        ("students/pt/heldout.jsonl", None, r"heldout\.jsonl is missing"),
        ("students/pt/heldout.jsonl", "", r"heldout\.jsonl: "),
        ("students/pt/heldout.jsonl", '{"text": "acenda"}\n{"text": 5}\n', r"heldout\.jsonl:2: "),
        ("students/pt/model.safetensors", None, r"model\.safetensors is missing"),
        ("students/pt/model.safetensors", "weights", r"model\.safetensors is damaged"),
        ("run.json", '{"stages": {"students/pt": 3}}', r"run\.json is damaged"),
    ],
)
def test_a_file_of_the_run_that_is_missing_or_damaged_is_named(
    tmp_path, make_student, ftx, file, content, says
):
    run = write_run(tmp_path, make_student("static", "classification"), "pt")
    (run / file).unlink()
    if content is not None:
        (run / file).write_text(content)
    outcome = ftx("export", run)
    assert (outcome.code, outcome.out) == (1, "")
    assert re.search(says, outcome.error)
    assert not (run / "packages").exists()


def test_a_run_exports_every_finished_student(tmp_path, make_student):
    heads = {"label_agreement": 0.8, "tag_agreement": 0.95}
    history = [{"step": 5, "label_agreement": 0.5}, {"step": 10, **heads}]
    stage = {"loss": 0.1, "agreement": 0.9, "texts": 60, "seconds": 3.0, "best_step": 10, "history": history}
    stages = {"students/pt": stage, "mplm": {}}
    record = {
        "recipe": "ab",
        "seed": 3,
        "inputs": {"source": "cd"},
        "versions": {"torch": "2"},
        "stages": stages,
    }
    (tmp_path / "run.json").write_text(json.dumps(record))
    Recipe().write(tmp_path / "recipe.toml")
    student = Path(shutil.copytree(make_student("static", "joint"), tmp_path / "students" / "pt"))
    (student / "heldout.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in TEXTS))
    (result,) = export(tmp_path, "pt", max_drop=1)
    assert result.folder == tmp_path / "packages" / "pt"
    assert result.archive == tmp_path / "packages" / "pt.ftx"
    manifest = load(result.archive).manifest
    assert manifest.provenance["inputs"] == {"source": "cd"}
    assert manifest.measured["student"] == {"kl": 0.1, **heads, "texts": len(TEXTS)}
    assert result.latency_ms > 0


@pytest.mark.parametrize("supervised", [True, False])
def test_the_card_says_whether_labels_were_read(tmp_path, make_student, supervised):
    run = write_run(tmp_path, make_student("static", "joint"), "pt", supervised=supervised)
    (result,) = export(run, max_drop=1)
    card = (result.folder / "README.md").read_text()
    assert ("its teacher, in what follows, is those labels" in card) == supervised
    assert ("errors and biases of the labels that it learned from" in card) == supervised
    assert ("no label was read" in card) != supervised


@pytest.mark.parametrize(
    ("language", "alignment", "segmenter", "expected"),
    [
        ("zh", "first-subword", "characters", "characters"),
        ("th", "first-subword", "whitespace", "whitespace"),
        ("zh", "character-bridge", "characters", None),
        ("pt", "first-subword", "whitespace", None),
    ],
)
def test_only_first_subwords_of_unspaced_text_need_their_segmenter(
    make_student, tmp_path, language, alignment, segmenter, expected
):
    student = make_student("static", "tagging")
    run = write_run(tmp_path, student, language, alignment=alignment, segmenter=segmenter)
    (result,) = export(run, max_drop=1, archive=False)
    manifest = load(result.folder).manifest
    assert (manifest.segmenter, manifest.alignment) == (expected, alignment)
    assert manifest.provenance.get("segmenter") == expected


def test_a_classifier_needs_no_segmenter_whatever_the_alignment(make_student, tmp_path):
    student = make_student("static", "classification")
    run = write_run(tmp_path, student, "zh", alignment="first-subword", segmenter="characters")
    (result,) = export(run, max_drop=1, archive=False)
    assert load(result.folder).manifest.segmenter is None


def test_the_same_student_is_exported_and_checked_behind_a_segmenter(make_student, tmp_path, monkeypatch):
    from ftx_edge.exporters import gate

    seen = []

    def compare(student, graph, texts, encoded, package):
        seen.extend(encoded)
        return compare_(student, graph, texts, encoded, package)

    compare_ = gate.compare
    monkeypatch.setattr(gate, "compare", compare)
    run = write_run(
        tmp_path, make_student("cnn", "joint"), "pt", alignment="character-bridge", segmenter="whitespace"
    )
    (result,) = export(run, out=tmp_path / "behind", segmenter="characters", max_drop=1)
    package = load(result.archive)
    assert package.manifest.segmenter == "characters"
    assert "the word segmenter `characters`" in (result.folder / "README.md").read_text()
    assert seen[0] == package.encode(TEXTS[0])
    assert seen[0].words
    with pytest.raises(UsageError, match="'scissors' is not a segmenter"):
        export(run, segmenter="scissors")
