"""Where int8 costs too much, the products that it costs most at stay float32."""

from __future__ import annotations

import json
import shutil

import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")

import onnx
import torch

from ftx_edge.errors import GateError, UsageError
from ftx_edge.exporters import export_student, sensitivity
from ftx_edge.exporters.gate import Agreement, Gate
from ftx_edge.exporters.graph import to_onnx
from ftx_edge.exporters.quantize import products, quantize
from ftx_edge.recipe import Recipe
from ftx_edge.runtime import load
from ftx_edge.students import load_student, save_student

MAX_DROP = 0.15
"""More than int8 costs these students of random weights, less than it costs a spoiled one."""

HUGE = 1000.0


def rounded(model: onnx.ModelProto) -> int:
    """Nodes before the heads that compute with int8 weights."""
    return sum(
        node.op_type in ("MatMulInteger", "DynamicQuantizeLSTM") and "head" not in node.name
        for node in model.graph.node
    )


def spoil_block(student, number):
    """Huge weights on a feature that is always 0: nothing to float32; in int8 all others round to 0."""
    block = student.encoder.blocks[number]
    block.norm.weight[0] = block.norm.bias[0] = 0
    block.convolution.linear.weight[:, 0] = HUGE


def spoil_lstm(student):
    """The same in the first layer of an LSTM."""
    student.embedding.weight[:, 0] = 0
    student.encoder.lstm.weight_ih_l0[:, 0] = HUGE
    student.encoder.lstm.weight_ih_l0_reverse[:, 0] = HUGE


@pytest.fixture
def spoiled(make_student, tmp_path):
    """``spoiled("cnn", spoil_block, 0)``: the folder of a tagger, and its float32 graph."""

    def make(architecture, spoil, *arguments):
        student, tokenizer = load_student(make_student(architecture, "tagging"))
        with torch.no_grad():
            spoil(student, *arguments)
        save_student(student, tokenizer, tmp_path / "student")
        return tmp_path / "student", to_onnx(student)

    return make


@pytest.mark.parametrize("architecture", ["transformer", "bilstm", "cnn", "static"])
@pytest.mark.parametrize("task", ["classification", "joint"])
def test_products_are_what_becomes_int8_and_each_can_be_left_out(make_student, architecture, task):
    model = to_onnx(load_student(make_student(architecture, task))[0])
    names = products(model)
    assert rounded(quantize(model)) == len(names)
    assert len(names) == len(set(names))
    assert rounded(quantize(model, keep_float=names)) == 0
    if names:
        mixed = quantize(model, keep_float=names[:1])
        assert rounded(mixed) == len(names) - 1
        assert [n.name for n in mixed.graph.node if n.name in names] == [names[0]]


def test_a_name_that_is_no_product_is_refused(make_student):
    model = to_onnx(load_student(make_student("cnn", "tagging"))[0])
    with pytest.raises(UsageError, match=r"the graph has no product scissors; it has: \S+, \S+"):
        quantize(model, keep_float=["scissors"])


@pytest.mark.parametrize("number", [0, 1])
def test_the_most_sensitive_product_is_left_in_float32(spoiled, held_out, tmp_path, number):
    folder, model = spoiled("cnn", spoil_block, number)
    result = export_student(folder, held_out, tmp_path / "pt", language="pt", max_drop=MAX_DROP)
    kept = products(model)[number]
    assert (result.kept_float, result.products) == ((kept,), 2)
    assert result.int8.drop <= MAX_DROP
    assert (result.to_dict()["kept_float"], result.to_dict()["products"]) == ([kept], 2)
    package = load(result.folder)
    int8 = package.manifest.measured["export"]["int8"]
    assert int8 == {**result.int8.to_dict(), "products": 2, "float32_products": [kept]}
    card = (result.folder / "README.md").read_text()
    assert f"The int8 graph leaves 1 of 2 products in float32, the most sensitive: `{kept}`." in card
    graph = (result.folder / "onnx" / "model_quantized.onnx").read_bytes()
    assert graph == quantize(model, keep_float=[kept]).SerializeToString(deterministic=True)
    again = export_student(folder, held_out, tmp_path / "again", language="pt", max_drop=MAX_DROP)
    assert again.archive.read_bytes() == result.archive.read_bytes()


def test_an_lstm_is_a_product_too(spoiled, held_out, tmp_path):
    folder, model = spoiled("bilstm", spoil_lstm)
    result = export_student(folder, held_out, tmp_path / "pt", language="pt", max_drop=MAX_DROP)
    assert result.kept_float == products(model)[:1]
    ops = [node.op_type for node in onnx.load(result.folder / "onnx" / "model_quantized.onnx").graph.node]
    assert (ops.count("LSTM"), ops.count("DynamicQuantizeLSTM")) == (1, 1)


def test_nothing_is_left_in_float32_where_int8_passes_at_once(exported, make_student, monkeypatch):
    result = exported("cnn", "joint")
    model = to_onnx(load_student(make_student("cnn", "joint"))[0])
    graph = (result.folder / "onnx" / "model_quantized.onnx").read_bytes()
    assert graph == quantize(model).SerializeToString(deterministic=True)
    assert result.kept_float == ()
    assert "products" not in (result.folder / "ftx.json").read_text()
    assert "products" not in (result.folder / "README.md").read_text()


def test_products_join_one_by_one_up_to_half_and_the_best_joins_first(make_student, held_out):
    class Scored:
        """A gate to which the third product matters most, and then the first; the others are alike."""

        def agreement(self, graph):
            kept = {node.name for node in graph.graph.node} & set(names)
            cost = {names[2]: 0.5, names[0]: 0.2}
            return Divergence(1 - sum(cost.get(name, 0) for name in kept))

    class Divergence:
        def __init__(self, divergence):
            self.divergence = divergence

    model = to_onnx(load_student(make_student("transformer", "tagging"))[0])
    names = products(model)
    assert len(names) == 8
    chosen = list(sensitivity.most_sensitive(model, Scored()))
    assert chosen[0] == (names[2],)
    assert chosen[1] == (names[2], names[0])
    assert chosen[-1] == (names[2], names[0], names[1], names[3])
    assert [len(kept) for kept in chosen] == [1, 2, 3, 4]


def test_the_first_texts_rank_and_all_decide(spoiled, held_out, tmp_path, monkeypatch):
    ranked = []

    def agreement(gate, graph):
        ranked.append(list(gate.texts))
        return agreement_(gate, graph)

    agreement_ = Gate.agreement
    monkeypatch.setattr(Gate, "agreement", agreement)
    monkeypatch.setattr(sensitivity, "RANKING_TEXTS", 7)
    folder, _ = spoiled("cnn", spoil_block, 0)
    result = export_student(folder, held_out, tmp_path / "pt", language="pt", max_drop=MAX_DROP)
    assert ranked == [held_out[:7]] * 2
    assert result.int8.texts == len(held_out)


def test_where_half_of_the_products_do_not_suffice_nothing_is_written(spoiled, held_out, tmp_path):
    def spoil_both(student):
        spoil_block(student, 0)
        spoil_block(student, 1)

    folder, _ = spoiled("cnn", spoil_both)
    with pytest.raises(
        GateError,
        match=r"loses \S+%, above the limit of 15\.00%: int8: span F1 [^;]*; still \S+% "
        r"with 1 of 2 products left in float32: nothing was written \(--max-drop",
    ):
        export_student(folder, held_out, tmp_path / "pt", language="pt", max_drop=MAX_DROP)
    assert [path.name for path in tmp_path.iterdir()] == ["student"]


def test_where_the_float_graph_fails_too_nothing_is_tried(make_student, held_out, tmp_path, monkeypatch):
    monkeypatch.setattr("ftx_edge.exporters.pipeline.leave_float", None)
    monkeypatch.setattr(Agreement, "drop", 0.5)
    with pytest.raises(GateError, match=r"above the limit of 1\.00%: fp32: .*; int8: [^;]*$"):
        export_student(make_student("cnn", "tagging"), held_out, tmp_path / "pt", language="pt")


def test_the_larger_package_must_keep_its_size_too(spoiled, held_out, tmp_path):
    folder, _ = spoiled("cnn", spoil_block, 0)
    small = export_student(folder, held_out, tmp_path / "small", language="pt", max_drop=1)
    assert small.kept_float == ()
    with pytest.raises(GateError, match=r"MB with 1 of 2 products left in float32, above the limit"):
        export_student(
            folder, held_out, tmp_path / "pt", language="pt", max_drop=MAX_DROP, max_size=small.size + 1000
        )
    assert not (tmp_path / "pt").exists()


def test_the_command_says_how_many_are_left(spoiled, held_out, tmp_path, ftx):
    folder, _ = spoiled("cnn", spoil_block, 0)
    (tmp_path / "run.json").write_text(json.dumps({"stages": {"students/pt": {}}}))
    Recipe().write(tmp_path / "recipe.toml")
    student = shutil.copytree(folder, tmp_path / "students" / "pt")
    (student / "heldout.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in held_out))
    outcome = ftx("export", tmp_path, "--max-drop", MAX_DROP)
    assert "pt: 1 of 2 products left in float32, to stay within --max-drop" in outcome.out.splitlines()
