"""A student becomes a package that says the same, or there is no package."""

from __future__ import annotations

import json
import shutil
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")

import onnx
import torch
from onnx import numpy_helper

from ftx_edge.errors import FtxError, GateError, UsageError
from ftx_edge.exporters import export_student
from ftx_edge.exporters.gate import Agreement, feed_of
from ftx_edge.exporters.graph import to_onnx
from ftx_edge.exporters.package import parse_size
from ftx_edge.exporters.quantize import round_rows
from ftx_edge.runtime import inspect, load
from ftx_edge.runtime.loading import open_session
from ftx_edge.students import StudentConfig, build_student, load_student

ARCHITECTURES = ("transformer", "bilstm", "cnn", "static")
TASKS = ("classification", "tagging", "joint")
TEXTS = ["acenda a luz da cozinha", "toque uma música", "apague o abajur da sala de jantar agora"]

every_student = pytest.mark.parametrize(
    ("architecture", "task"), [(a, t) for a in ARCHITECTURES for t in TASKS]
)


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@every_student
def test_the_package_says_what_the_student_says(exported, make_student, architecture, task):
    result = exported(architecture, task)
    assert result.fp32.drop == 0
    assert result.fp32.largest_difference < 1e-4
    assert result.int8.drop <= 0.2
    student, tokenizer = load_student(make_student(architecture, task))
    package = load(result.folder)
    for text in TEXTS:
        feed = feed_of([tokenizer.encode(text).ids])
        with torch.inference_mode():
            outputs = student(*map(torch.from_numpy, feed.values()))
        if outputs.logits is not None:
            expected = outputs.logits.softmax(-1).numpy()
            np.testing.assert_allclose(package.soft_labels([text]), expected, atol=0.1)
        if outputs.tag_logits is not None:
            expected = outputs.tag_logits[0, 1:].softmax(-1).numpy()
            assert np.abs(package.soft_tags([text]).probs - expected).mean() < 0.05


@every_student
def test_folder_and_archive_answer_alike(exported, architecture, task):
    result = exported(architecture, task)
    assert load(result.folder).predict(TEXTS) == load(result.archive).predict(TEXTS)


@every_student
def test_the_float_graph_is_the_student_at_every_length_and_with_padding(
    exported, make_student, architecture, task
):
    student, _ = load_student(make_student(architecture, task))
    session = open_session(str(exported(architecture, task).folder / "onnx" / "model.onnx"), "fp32")
    ids = np.random.default_rng(1).integers(1, student.config.vocab_size, (3, 24)).tolist()
    for rows in ([ids[0][:n]] for n in range(1, 25)):
        _same(session, student, feed_of(rows))
    padded = feed_of([ids[0][:1], ids[1][:24], ids[2][:7]])
    for mine, other in zip(session.run(None, padded), _outputs(student, padded), strict=True):
        for row, length in enumerate((1, 24, 7)):
            kept = (row,) if mine.ndim == 2 else (row, slice(length))
            np.testing.assert_allclose(mine[kept], other[kept], atol=1e-3)


def test_a_dilated_block_is_few_nodes():
    def nodes(layers: int) -> int:
        config = StudentConfig("cnn", vocab_size=20, embedding_size=8, layers=layers, tags=("O", "B-x"))
        graph = to_onnx(build_student(config)).graph
        return sum(node.op_type not in ("Constant", "Identity") for node in graph.node)

    assert nodes(4) - nodes(3) <= 10, "on a phone each costs as much as a good part of the arithmetic"


def _outputs(student, feed):
    with torch.inference_mode():
        outputs = student(torch.from_numpy(feed["input_ids"]), torch.from_numpy(feed["attention_mask"]))
    return [o.numpy() for o in outputs if o is not None]


def _same(session, student, feed):
    for mine, other in zip(session.run(None, feed), _outputs(student, feed), strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-3)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_same_student_exports_the_same_bytes(exported, make_student, held_out, tmp_path, architecture):
    before = exported(architecture, "joint")
    after = export_student(
        make_student(architecture, "joint"), held_out, tmp_path / f"{architecture}-joint",
        language="pt", fp32=True, max_drop=0.2, provenance={"seed": 1},
    )  # fmt: skip
    assert contents(before.folder) == contents(after.folder)
    assert before.archive.read_bytes() == after.archive.read_bytes()


@every_student
def test_int8_weighs_about_a_quarter_and_holds_no_float_embedding(exported, architecture, task):
    result = exported(architecture, task)
    model = onnx.load(result.folder / "onnx" / "model_quantized.onnx")
    tables = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer if "embedding" in t.name}
    assert {name: table.dtype.name for name, table in tables.items()} == {
        "embedding.weight_int8": "int8",
        "embedding.weight_scales": "float32",
    }
    assert "ConvInteger" not in {node.op_type for node in model.graph.node}
    if architecture == "bilstm":
        assert {n.op_type for n in model.graph.node if "LSTM" in n.op_type} == {"DynamicQuantizeLSTM"}


def test_every_row_of_an_embedding_keeps_its_own_precision():
    values = np.random.default_rng(0).normal(size=(50, 32)).astype(np.float32)
    values *= np.logspace(-4, 2, 50, dtype=np.float32)[:, None]
    values[0] = 0
    integers, scales = round_rows(values)
    error = np.linalg.norm(integers * scales - values, axis=1)
    assert error[0] == 0
    assert (error[1:] / np.linalg.norm(values[1:], axis=1)).max() < 0.01


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("task", ["classification", "tagging"])
@pytest.mark.slow
def test_it_opens_in_optimum_and_transformers_with_the_same_answers(exported, architecture, task):
    optimum = pytest.importorskip("optimum.onnxruntime")
    transformers = pytest.importorskip("transformers")
    folder = exported(architecture, task).folder
    package = load(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    kind = "TokenClassification" if task == "tagging" else "SequenceClassification"
    model = getattr(optimum, f"ORTModelFor{kind}").from_pretrained(
        folder, subfolder="onnx", file_name="model_quantized.onnx"
    )
    for text in TEXTS:
        logits = model(**tokenizer(text, return_tensors="np"))["logits"][0]
        if task == "tagging":
            probs = torch.softmax(torch.tensor(logits), -1).numpy()[1:]
            np.testing.assert_allclose(probs, package.soft_tags([text]).probs, atol=1e-5)
        else:
            assert model.config.id2label[int(logits.argmax())] == package.predict(text).label


def test_the_manifest_and_the_card_say_what_it_is(exported):
    result = exported("cnn", "joint")
    manifest = inspect(result.folder).manifest
    assert (manifest.task, manifest.language, manifest.architecture) == ("joint", "pt", "cnn")
    assert manifest.span_boundaries == "word"
    assert manifest.measured["export"]["int8"] == result.int8.to_dict()
    assert manifest.provenance["seed"] == 1
    card = (result.folder / "README.md").read_text()
    for part in (
        "language: pt",
        "`light_on`",
        "`room`",
        "| int8 |",
        "What it cannot do",
        "the architecture is `cnn`",
    ):
        assert part in card
    assert json.loads((result.folder / "config.json").read_text())["model_type"] == "distilbert"


@pytest.mark.parametrize("task", ["tagging", "joint"])
def test_a_student_that_says_where_words_begin_does_so_on_the_device(make_student, tmp_path, task):
    folder = make_student("cnn", task, word_starts=True)
    result = export_student(folder, TEXTS, tmp_path / "zh", language="zh", fp32=True, max_drop=0.5)
    package = load(result.folder)
    assert package.manifest.span_boundaries == "model"
    assert result.fp32.drop == 0
    student, tokenizer = load_student(folder)
    graph = open_session(str(result.folder / "onnx" / "model.onnx"), "fp32")
    feed = feed_of([tokenizer.encode(TEXTS[0]).ids, tokenizer.encode(TEXTS[1]).ids])
    with torch.inference_mode():
        expected = student(*map(torch.from_numpy, feed.values())).word_logits
    assert expected.shape == feed["input_ids"].shape
    np.testing.assert_allclose(graph.run(["word_logits"], feed)[0], expected, atol=1e-4)
    for text in TEXTS:
        read = package.encode(text)
        begins = package.run(read.ids)[-1][0] > 0
        starts = {start for begin, (start, _) in zip(begins, read.offsets, strict=True) if begin}
        words = {s + (text[s] == " ") for s in {0, *starts}}
        assert {span.start for span in package.predict(text).spans} <= words


def test_with_a_segmenter_or_between_spaces_a_student_is_not_asked_where_words_begin(make_student, tmp_path):
    folder = make_student("cnn", "tagging", word_starts=True)
    result = export_student(folder, TEXTS, tmp_path / "pt", language="pt", max_drop=0.5)
    assert load(result.folder).manifest.span_boundaries == "word"
    assert load(result.folder).predict(TEXTS[0]).spans is not None


def test_a_graph_that_does_not_say_where_words_begin_is_refused(exported, tmp_path):
    folder = shutil.copytree(exported("cnn", "tagging").folder, tmp_path / "package")
    manifest = json.loads((folder / "ftx.json").read_text())
    (folder / "ftx.json").write_text(json.dumps(manifest | {"span_boundaries": "model"}))
    with pytest.raises(FtxError, match="other inputs or outputs than a student"):
        load(folder)


def test_without_float_the_package_has_only_the_int8_graph(make_student, tmp_path):
    result = export_student(
        make_student("static", "classification"),
        TEXTS,
        tmp_path / "pt",
        language="pt",
        max_drop=1,
        archive=False,
    )
    assert sorted(contents(result.folder)) == [
        "README.md", "config.json", "ftx.json", "onnx/model_quantized.onnx", "tokenizer.json",
        "tokenizer_config.json",
    ]  # fmt: skip
    assert result.archive is None
    assert result.size == sum(len(content) for content in contents(result.folder).values())


def test_without_int8_the_float_graph_is_the_one_that_runs(make_student, tmp_path):
    result = export_student(
        make_student("cnn", "joint"), TEXTS, tmp_path / "pt", language="pt", int8=False, max_drop=0
    )
    assert result.int8 is None
    assert "int8" not in (result.folder / "README.md").read_text()
    assert load(result.archive).manifest.model_file == "onnx/model.onnx"


def test_a_drop_at_the_limit_is_not_above_it():
    assert Agreement(300, 297 / 300, None, None, 0.1, 0.01).drop == 0.01


def test_above_the_limit_nothing_is_written_and_the_figures_are_told(make_student, tmp_path, monkeypatch):
    def ruin(model, keep_float=()):
        ruined = onnx.ModelProto()
        ruined.CopyFrom(model)
        for tensor in ruined.graph.initializer:
            if "label_head" in tensor.name:
                tensor.CopyFrom(numpy_helper.from_array(-numpy_helper.to_array(tensor), tensor.name))
        return ruined

    monkeypatch.setattr("ftx_edge.exporters.pipeline.quantize", ruin)
    monkeypatch.setattr("ftx_edge.exporters.sensitivity.quantize", ruin)
    with pytest.raises(GateError, match=r"loses \d+\.\d+%, above the limit of 1\.00%: int8: label agreement"):
        export_student(make_student("cnn", "classification"), TEXTS, tmp_path / "pt", language="pt")
    assert list(tmp_path.iterdir()) == []


def test_a_package_that_is_too_large_is_not_written(make_student, tmp_path):
    with pytest.raises(GateError, match=r"above the limit of 0\.01 MB \(onnx/model_quantized\.onnx"):
        export_student(
            make_student("cnn", "joint"), TEXTS, tmp_path / "pt", language="pt", max_drop=1, max_size="10kB"
        )
    assert list(tmp_path.iterdir()) == []


def test_a_failed_export_leaves_the_old_package_as_it_was(exported, make_student, tmp_path, monkeypatch):
    old = exported("static", "joint")
    folder = Path(shutil.copytree(old.folder, tmp_path / "pt"))
    shutil.copy(old.archive, tmp_path / "pt.ftx")
    before = contents(tmp_path)

    def disk_full(self, name, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "writestr", disk_full)
    with pytest.raises(FtxError, match="No space left on device: free some space"):
        export_student(make_student("cnn", "joint"), TEXTS, folder, language="pt", max_drop=1)
    assert contents(tmp_path) == before


def test_a_full_temporary_folder_is_named(make_student, tmp_path, monkeypatch):
    def disk_full(*args, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("onnxruntime.quantization.quantize_dynamic", disk_full)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(FtxError, match=f"{tmp_path}: No space left on device: free .* or set TMPDIR"):
        export_student(make_student("static", "joint"), TEXTS, tmp_path / "pt", language="pt", max_drop=1)


def test_a_package_is_replaced_by_a_new_one(exported, make_student, tmp_path):
    folder = Path(shutil.copytree(exported("static", "joint").folder, tmp_path / "pt"))
    export_student(make_student("cnn", "joint"), TEXTS, folder, language="pt", max_drop=1)
    assert load(folder).manifest.architecture == "cnn"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["pt", "pt.ftx"]


def test_a_folder_with_something_else_is_not_replaced(make_student, tmp_path):
    (tmp_path / "letters.txt").write_text("dear")
    with pytest.raises(UsageError, match="would be lost"):
        export_student(make_student("cnn", "joint"), TEXTS, tmp_path, language="pt")
    assert contents(tmp_path) == {"letters.txt": b"dear"}


@pytest.mark.parametrize("option", ["max_drop", "min_score", "min_agreement"])
@pytest.mark.parametrize("share", [float("nan"), -0.1, 1.5])
def test_a_share_that_is_none_is_refused(make_student, tmp_path, option, share):
    with pytest.raises(UsageError, match=rf"--{option.replace('_', '-')} \S+ is no share"):
        export_student(
            make_student("static", "classification"), TEXTS, tmp_path / "pt", language="pt", **{option: share}
        )


def test_without_held_out_text_nothing_is_exported(make_student, tmp_path):
    with pytest.raises(UsageError, match="no held-out text"):
        export_student(make_student("cnn", "joint"), [], tmp_path / "pt", language="pt")


@pytest.mark.parametrize("options", [{"top_k": 2}, {"min_score": 0.5}])
def test_a_tagger_refuses_what_is_asked_of_labels(exported, options):
    with pytest.raises(UsageError, match="this package is a tagger"):
        load(exported("static", "tagging").folder).predict("acenda a luz", **options)


@pytest.mark.parametrize("name", ["pt", "pt.ftx"])
def test_what_is_no_package_is_not_replaced(make_student, held_out, tmp_path, name):
    mine = tmp_path / name
    mine.write_text("notes of mine")
    with pytest.raises(UsageError, match=rf"{name} is"):
        export_student(make_student("static", "joint"), held_out, tmp_path / "pt", language="pt", max_drop=1)
    assert mine.read_text() == "notes of mine"


def test_an_older_archive_is_not_left_beside_a_new_package(make_student, held_out, tmp_path):
    folder, options = make_student("static", "joint"), {"language": "pt", "max_drop": 1}
    export_student(folder, held_out, tmp_path / "pt", **options)
    export_student(folder, held_out, tmp_path / "pt", **options)
    with pytest.raises(UsageError, match=r"pt\.ftx is of an earlier export: remove it"):
        export_student(folder, held_out, tmp_path / "pt", archive=False, **options)


@pytest.mark.parametrize(
    ("text", "size"), [("6MB", 6_000_000), ("500 kB", 500_000), ("5.5MiB", 5_767_168), ("12", 12), (12, 12)]
)
def test_sizes_as_people_write_them(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["six", "6 M", "MB", "", "1e999MB", "6PB", "-1MB", "0", -5])
def test_a_size_that_is_none(text):
    with pytest.raises(UsageError, match="is no size"):
        parse_size(text)
