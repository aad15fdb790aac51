"""A student becomes an ONNX graph in float32."""

from __future__ import annotations

import io
import warnings

import onnx
import torch
from onnx import helper
from torch import Tensor, nn

from ftx_edge.runtime.manifest import output_names
from ftx_edge.students import Student

OPSET = 17
"""The first with LayerNormalization as one operator, and what browsers have run for years."""


class _Exported(nn.Module):
    """The student with its outputs as ONNX wants them: a tuple without None."""

    def __init__(self, student: Student) -> None:
        super().__init__()
        self.student = student

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, ...]:
        return tuple(o for o in self.student(input_ids, attention_mask) if o is not None)


def outputs_of(student: Student) -> list[str]:
    """Names of the outputs of a student's graph, in order."""
    return list(output_names(student.task, word_starts=student.config.word_starts))


def to_onnx(student: Student) -> onnx.ModelProto:
    """The float32 graph of a student: the same weights give the same bytes.

    Inputs ``input_ids`` and ``attention_mask``, int64 (batch, sequence), both dynamic; outputs
    ``logits`` (batch, C), from a tagger (batch, sequence, K), ``tag_logits`` from a joint student, and
    ``word_logits`` (batch, sequence) from one that says where words begin.
    """
    # An example of two rows and more than one column: a dimension of 1 would be taken for a constant.
    example = torch.ones(2, min(3, student.config.max_length), dtype=torch.int64)
    names = outputs_of(student)
    axes = {0: "batch", 1: "sequence"}
    dynamic = {"input_ids": axes, "attention_mask": axes, **{name: axes for name in names}}
    if student.task != "tagging":
        dynamic["logits"] = {0: "batch"}
    buffer = io.BytesIO()
    was_training = student.training
    with warnings.catch_warnings(), torch.inference_mode(False), torch.no_grad():
        warnings.simplefilter("ignore")
        # The TorchScript exporter: the other one fixes the length of an LSTM.
        torch.onnx.export(
            _Exported(student.eval()),
            (example, example),
            buffer,  # type: ignore[arg-type]  # its hints know only paths
            dynamo=False,
            opset_version=OPSET,
            input_names=["input_ids", "attention_mask"],
            output_names=names,
            dynamic_axes=dynamic,
        )
    student.train(was_training)
    model = onnx.load_from_string(buffer.getvalue())
    _complete_inputs(model.graph)
    _read_lengths_in_lstms(model.graph)
    _drop_unused(model.graph)
    _rename_weights(model.graph)
    for node in model.graph.node:
        node.doc_string = ""
    onnx.checker.check_model(model)
    return model


def _complete_inputs(graph: onnx.GraphProto) -> None:
    """Add the mask where the student does not read it: every package takes the same two inputs."""
    if not any(value.name == "attention_mask" for value in graph.input):
        shape = ["batch", "sequence"]
        mask = helper.make_tensor_value_info("attention_mask", onnx.TensorProto.INT64, shape)
        graph.input.append(mask)


def _read_lengths_in_lstms(graph: onnx.GraphProto) -> None:
    """Give every LSTM the lengths of its rows, so that padding is not read, and drop its zero states.

    Without the lengths the backward direction would begin on padding, wherever texts are run in batches.
    """
    lstms = [node for node in graph.node if node.op_type == "LSTM"]
    if not lstms:
        return
    for node in lstms:
        inputs = [*node.input, *[""] * (7 - len(node.input))]
        # Initial states are zero where they are not given.
        inputs[4:7] = ["lengths", "", ""]
        while not inputs[-1]:
            inputs.pop()
        node.input[:] = inputs
    axis = helper.make_tensor("lengths_axis", onnx.TensorProto.INT64, [1], [1])
    graph.initializer.append(axis)
    total = helper.make_node(
        "ReduceSum", ["attention_mask", axis.name], ["lengths_int64"], "lengths_sum", keepdims=0
    )
    cast = helper.make_node("Cast", ["lengths_int64"], ["lengths"], "lengths_cast", to=onnx.TensorProto.INT32)
    nodes = [total, cast, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def _drop_unused(graph: onnx.GraphProto) -> None:
    """Remove nodes and weights that nothing reads."""
    needed = {output.name for output in graph.output}
    kept = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
            kept.append(node)
    del graph.node[:]
    graph.node.extend(reversed(kept))
    weights = [tensor for tensor in graph.initializer if tensor.name in needed]
    del graph.initializer[:]
    graph.initializer.extend(weights)


def _rename_weights(graph: onnx.GraphProto) -> None:
    """``student.embedding.weight`` is ``embedding.weight``, as in the student's own file."""
    names = {t.name: t.name.removeprefix("student.") for t in graph.initializer}
    for tensor in graph.initializer:
        tensor.name = names[tensor.name]
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
