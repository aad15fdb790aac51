"""What is opened, and what is refused."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sys
import zipfile
from pathlib import Path

import onnx
import pytest
from onnx import helper, numpy_helper

from ftx_edge.errors import MissingExtraError, PackageError
from ftx_edge.runtime import inspect, load


@pytest.fixture
def package(tiny_package: Path, tmp_path: Path) -> Path:
    """A package that the test may change."""
    return Path(shutil.copytree(tiny_package, tmp_path / "package"))


def pack(folder: Path, path: Path, **changes: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(p for p in folder.rglob("*") if p.is_file()):
            archive.write(file, file.relative_to(folder).as_posix())
        for name, content in changes.items():
            archive.writestr(name, content)
    return path


def change_manifest(package: Path, **values: object) -> None:
    manifest = json.loads((package / "ftx.json").read_text())
    (package / "ftx.json").write_text(json.dumps(manifest | values))


def replace_file(package: Path, name: str, content: bytes) -> None:
    """Change a file, and the manifest with it, as someone would who wants to be believed."""
    (package / name).write_bytes(content)
    files = json.loads((package / "ftx.json").read_text())["files"]
    files[name] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
    change_manifest(package, files=files)


def test_a_folder_and_its_archive_say_the_same(package, tmp_path):
    archive = pack(package, tmp_path / "p.ftx")
    texts = ["acenda a luz", "toca música", ""]
    assert load(package).predict(texts) == load(archive).predict(texts)
    assert load(package).fingerprint == load(archive).fingerprint


def test_an_archive_is_not_unpacked(package, tmp_path):
    (tmp_path / "alone").mkdir()
    load(pack(package, tmp_path / "alone" / "p.ftx"))
    assert [p.name for p in (tmp_path / "alone").iterdir()] == ["p.ftx"]


@pytest.mark.parametrize("name", ["tokenizer.json", "onnx/model_quantized.onnx", "config.json"])
def test_one_changed_byte_in_any_file_is_refused(package, tmp_path, name):
    content = bytearray((package / name).read_bytes())
    content[len(content) // 2] ^= 1
    (package / name).write_bytes(content)
    for path in (package, pack(package, tmp_path / "p.ftx")):
        with pytest.raises(PackageError, match=rf"{re.escape(name)} does not have the SHA-256"):
            load(path)


def test_inspect_reports_a_changed_file_instead(package):
    content = bytearray((package / "config.json").read_bytes())
    content[0] ^= 1
    (package / "config.json").write_bytes(content)
    inspection = inspect(package)
    assert inspection.verified["config.json"] is False
    assert inspection.verified["tokenizer.json"] is True
    assert len(inspection.problems) == 1


def test_a_shortened_file_is_refused(package):
    path = package / "onnx" / "model_quantized.onnx"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(PackageError, match=r"bytes, ftx\.json says"):
        load(package)


def test_a_missing_file_is_named(package):
    (package / "tokenizer.json").unlink()
    with pytest.raises(PackageError, match=r"tokenizer\.json is missing: the package is incomplete"):
        load(package)


@pytest.mark.parametrize("name", ["onnx/model.onnx.data", "setup.py", "deep/er/file"])
def test_a_file_that_the_manifest_does_not_list_is_refused(package, tmp_path, name):
    (package / name).parent.mkdir(parents=True, exist_ok=True)
    (package / name).write_bytes(b"x")
    for path in (package, pack(package, tmp_path / "p.ftx")):
        with pytest.raises(PackageError, match=f"does not list the file '{name}'"):
            load(path)


def test_what_hubs_and_desktops_leave_in_a_folder_is_passed_over(package):
    for name in (".gitattributes", ".DS_Store", ".git/HEAD"):
        (package / name).parent.mkdir(exist_ok=True)
        (package / name).write_bytes(b"x")
    (package / ".cache").symlink_to("/nowhere")
    assert load(package).fingerprint == inspect(package).fingerprint
    assert not [name for name in inspect(package).files if name.startswith(".")]


@pytest.mark.parametrize("card", ["# Ours\n", None])
def test_the_card_may_be_edited_or_left_out(package, card):
    (package / "README.md").unlink()
    if card:
        (package / "README.md").write_text(card)
    load(package)
    assert inspect(package).problems == ()


def test_a_card_that_an_earlier_version_listed_may_be_edited(package):
    values = json.loads((package / "ftx.json").read_text())
    values["files"]["README.md"] = {"sha256": "0" * 64, "size": 1}
    (package / "ftx.json").write_text(json.dumps(values))
    load(package)


def test_a_link_is_refused(package, tmp_path):
    outside = tmp_path / "outside"
    (package / "README.md").rename(outside)
    (package / "README.md").symlink_to(outside)
    with pytest.raises(PackageError, match=r"refused: README\.md is a link"):
        load(package)


def test_a_link_in_an_archive_is_refused(package, tmp_path):
    archive = pack(package, tmp_path / "p.ftx")
    with zipfile.ZipFile(archive, "a") as opened:
        link = zipfile.ZipInfo("link")
        link.external_attr = 0o120777 << 16
        opened.writestr(link, "/etc/passwd")
    with pytest.raises(PackageError, match="refused: link is a link"):
        load(archive)


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", "C:\\x", "a\\..\\x", "x\0y", "a//b", "."])
def test_names_that_could_leave_the_package_are_refused(package, tmp_path, name):
    archive = pack(package, tmp_path / "p.ftx", **{name: b"x"})
    with pytest.raises(PackageError):
        load(archive)
    assert not (tmp_path / "x").exists()
    manifest = json.loads((package / "ftx.json").read_text())
    change_manifest(package, files=manifest["files"] | {name: {"sha256": "0" * 64, "size": 1}})
    with pytest.raises(PackageError, match="could lead out of the package"):
        load(package)


def test_a_name_twice_in_an_archive_is_refused(package, tmp_path):
    with pytest.warns(UserWarning, match="Duplicate"):
        archive = pack(package, tmp_path / "p.ftx", **{"README.md": b"other"})
    with pytest.raises(PackageError, match=r"README\.md is in the archive twice"):
        load(archive)


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.9, 0.999])
def test_a_truncated_archive_is_refused(package, tmp_path, share):
    content = pack(package, tmp_path / "p.ftx").read_bytes()
    (tmp_path / "cut.ftx").write_bytes(content[: int(len(content) * share)])
    with pytest.raises(PackageError, match=r"nor a whole \.ftx file"):
        load(tmp_path / "cut.ftx")


def test_a_damaged_archive_is_refused_wherever_the_damage_is(package, tmp_path):
    content = pack(package, tmp_path / "p.ftx").read_bytes()
    expected = load(package).predict("acenda a luz")
    for place in range(0, len(content), max(1, len(content) // 150)):
        damaged = bytearray(content)
        damaged[place] ^= 0xFF
        (tmp_path / "damaged.ftx").write_bytes(damaged)
        try:
            # Dates and the like may change; what is answered may not.
            assert load(tmp_path / "damaged.ftx").predict("acenda a luz") == expected
        except PackageError:
            continue


def test_a_graph_that_reads_other_files_is_refused(package, tmp_path):
    (tmp_path / "secret").write_bytes(bytes(64))
    model = onnx.load(package / "onnx" / "model_quantized.onnx")
    tensor = numpy_helper.from_array(numpy_helper.to_array(model.graph.initializer[0]), "labels")
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../secret")
    model.graph.initializer[0].CopyFrom(tensor)
    replace_file(package, "onnx/model_quantized.onnx", model.SerializeToString())
    for path in (package, pack(package, tmp_path / "p.ftx")):
        with pytest.raises(PackageError, match="refused: it takes data from other files"):
            load(path)


def test_other_data_hidden_in_the_attribute_of_a_node_is_refused_too(package):
    model = onnx.load(package / "onnx" / "model_quantized.onnx")
    tensor = onnx.TensorProto(name="hidden", data_type=onnx.TensorProto.FLOAT, dims=[1])
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="secret")
    inner = helper.make_graph([helper.make_node("Constant", [], ["c"], value=tensor)], "inner", [], [])
    model.graph.node.append(helper.make_node("If", ["x"], ["c"], then_branch=inner, else_branch=inner))
    replace_file(package, "onnx/model_quantized.onnx", model.SerializeToString())
    with pytest.raises(PackageError, match="refused"):
        load(package)


@pytest.mark.parametrize("content", [b"", b"not ONNX", b"\x08", b"\xff" * 100])
def test_a_graph_that_is_none_is_refused(package, tmp_path, content):
    replace_file(package, "onnx/model_quantized.onnx", content)
    for path in (package, pack(package, tmp_path / "p.ftx")):
        with pytest.raises(PackageError, match=r"model_quantized\.onnx"):
            load(path)


def test_a_tokenizer_that_is_none_is_refused(package):
    replace_file(package, "tokenizer.json", b"{}")
    with pytest.raises(PackageError, match=r"tokenizer\.json cannot be used"):
        load(package)


def test_a_graph_with_other_inputs_is_refused(package):
    change_manifest(package, task="joint", tags=["O", "B-x", "I-x"])
    with pytest.raises(PackageError, match="other inputs or outputs"):
        load(package)


def test_a_newer_format_says_what_to_do(package):
    change_manifest(package, format=2)
    with pytest.raises(PackageError, match=r"package format 2; .* upgrade ftx-edge"):
        load(package)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("task", "translation"), ("labels", []), ("labels", ["a", "a"]), ("labels", "abc"), ("tags", ["B-x"]),
        ("max_length", 0), ("max_length", True), ("max_length", "12"), ("files", []), ("min_score", 2),
        ("language", None), ("files", {}), ("files", {"tokenizer.json": "abc"}),
    ],
)  # fmt: skip
def test_a_manifest_with_a_field_that_makes_no_sense_is_refused(package, field, value):
    change_manifest(package, **{field: value})
    with pytest.raises(PackageError, match=r"ftx\.json"):
        load(package)


@pytest.mark.parametrize("content", ["", "[1]", "{", "nul", '{"format": 1}', "[" * 100_000])
def test_a_manifest_that_is_no_manifest_is_refused(package, content):
    (package / "ftx.json").write_text(content)
    with pytest.raises(PackageError, match=r"ftx\.json"):
        load(package)


def test_what_is_not_there_or_no_package_is_said_so(tmp_path):
    with pytest.raises(PackageError, match="no such package"):
        load(tmp_path / "nowhere")
    with pytest.raises(PackageError, match=r"ftx\.json is missing"):
        load(tmp_path)


def test_a_segmenter_that_is_not_installed_is_named_with_its_extra(package, monkeypatch):
    change_manifest(package, segmenter="jieba", language="zh")
    # A device has the runtime alone.
    monkeypatch.setitem(sys.modules, "ftx_edge.words", None)
    with pytest.raises(MissingExtraError, match=r"ftx-edge\[zh\]"):
        load(package)


def test_parts_add_up_to_the_size(package):
    inspection = inspect(package)
    assert sum(inspection.parts.values()) == inspection.size == sum(inspection.files.values())
    assert json.dumps(inspection.to_dict())


def test_behind_a_segmenter_spans_still_index_the_text_as_given(tiny_joint_package, tmp_path):
    text = "acenda  a luz,da cozinha e da sala de jantar"
    expected = load(tiny_joint_package).predict(text)
    copy = Path(shutil.copytree(tiny_joint_package, tmp_path / "copy"))
    change_manifest(copy, segmenter="whitespace")
    assert load(copy).predict(text) == expected
    assert expected.spans[0].text == "cozinha"


def test_a_student_of_first_subwords_reads_the_text_as_it_is(tiny_joint_package, tmp_path):
    text = "acenda a luz,da cozinha"
    expected = load(tiny_joint_package).encode(text)
    copy = Path(shutil.copytree(tiny_joint_package, tmp_path / "copy"))
    change_manifest(copy, segmenter="characters", alignment="first-subword")
    encoded = load(copy).encode(text)
    assert (encoded.ids, encoded.offsets) == (expected.ids, expected.offsets)
    assert encoded.words == [(i, i + 1) for i, char in enumerate(text) if char != " "]
    # Behind a segmenter any other student reads the words with spaces between.
    change_manifest(copy, alignment="character-bridge")
    assert len(load(copy).encode(text).ids) == 1 + len(encoded.words)


def test_a_segmenter_that_this_version_does_not_have_is_refused(package):
    change_manifest(package, segmenter="scissors")
    with pytest.raises(PackageError, match="cannot cut its words: 'scissors' is not a segmenter"):
        load(package)
    change_manifest(package, segmenter="whitespace", segmenter_options={"HMM": True})
    with pytest.raises(PackageError, match=r"made with whitespace \{'HMM': True\}"):
        load(package)
