"""A float32 graph becomes int8: the recipes that ONNX Runtime runs fast and that keep the answers."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Collection
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ftx_edge.errors import FtxError, UsageError

_ROUNDED = ("MatMul", "LSTM")


def quantize(model: onnx.ModelProto, keep_float: Collection[str] = ()) -> onnx.ModelProto:
    """The int8 graph: same inputs and outputs, about a quarter of the bytes.

    Embeddings are rounded with a scale for each row; weights of MatMul, Gemm and LSTM with one for each
    output channel, to 7 bits, since 8 saturate on processors without VNNI. Activations are
    rounded as they come, with a scale a run. The tag head stays float32: few bytes, and it
    decides between tags that are nearly equal.

    Args:
        model: as ``to_onnx`` makes it; left as it is.
        keep_float: names of ``products`` that stay float32 too.

    Raises:
        UsageError: a name that is not of a product.
        FtxError: the folder for temporary files cannot be written.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    if unknown := sorted(set(keep_float) - set(products(model))):
        raise UsageError(
            f"the graph has no product {', '.join(unknown)}; it has: {', '.join(products(model)) or 'none'}"
        )
    rounded = onnx.ModelProto()
    rounded.CopyFrom(model)
    _quantize_embeddings(rounded.graph)
    logger = logging.getLogger()
    level = logger.level
    # quantize_dynamic advises on the root logger to optimise first, which ties a graph to a processor.
    logger.setLevel(logging.ERROR)
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "model.onnx")
            quantize_dynamic(
                rounded,
                path,
                op_types_to_quantize=list(_ROUNDED),
                per_channel=True,
                reduce_range=True,
                weight_type=QuantType.QInt8,
                nodes_to_exclude=[*_heads(rounded.graph), *keep_float],
            )
            result = onnx.load(path)
    except OSError as error:
        cure = "free some space there, or set TMPDIR to another folder"
        raise FtxError(f"{tempfile.gettempdir()}: {error.strerror or error}: {cure}") from error
    finally:
        logger.setLevel(level)
    onnx.checker.check_model(result)
    return result


def products(model: onnx.ModelProto) -> tuple[str, ...]:
    """Names of the nodes that ``quantize`` computes in int8 and can leave, in the order of the graph.

    They are the MatMuls and LSTMs with weights: not the heads, and not a product of two activations, such as
    attention's.
    """
    weights = {tensor.name for tensor in model.graph.initializer}
    heads = _heads(model.graph)
    return tuple(
        node.name
        for node in model.graph.node
        if node.op_type in _ROUNDED and node.input[1] in weights and node.name not in heads
    )


def _quantize_embeddings(graph: onnx.GraphProto) -> None:
    """Gather(table) becomes Cast(Gather(int8 table)) * Gather(scales).

    Rows of an embedding differ in size by orders of magnitude: one scale for all rounds rare words away.
    """
    weights = {tensor.name: tensor for tensor in graph.initializer}
    nodes = []
    for node in graph.node:
        table = weights.get(node.input[0]) if node.op_type == "Gather" else None
        if table is None or len(table.dims) != 2 or table.data_type != onnx.TensorProto.FLOAT:
            nodes.append(node)
            continue
        values = numpy_helper.to_array(table)
        integers, scales = round_rows(values)
        name, output = table.name, node.output[0]
        graph.initializer.remove(table)
        graph.initializer.append(numpy_helper.from_array(integers, f"{name}_int8"))
        graph.initializer.append(numpy_helper.from_array(scales, f"{name}_scales"))
        rows, row_scales, floats = f"{output}_int8", f"{output}_scales", f"{output}_float"
        nodes += [
            helper.make_node("Gather", [f"{name}_int8", node.input[1]], [rows], f"{name}_rows"),
            helper.make_node("Gather", [f"{name}_scales", node.input[1]], [row_scales], f"{name}_row_scales"),
            helper.make_node("Cast", [rows], [floats], f"{name}_cast", to=onnx.TensorProto.FLOAT),
            helper.make_node("Mul", [floats, row_scales], [output], f"{name}_scaled"),
        ]
    del graph.node[:]
    graph.node.extend(nodes)


def _heads(graph: onnx.GraphProto) -> list[str]:
    """Names of the products that the outputs come from."""
    makers = {name: node for node in graph.node for name in node.output}
    names = []
    for output in graph.output:
        node = makers[output.name]
        # A bias that is added apart.
        while node.op_type == "Add":
            node = next(makers[name] for name in node.input if name in makers)
        names.append(node.name)
    return names


def round_rows(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(V, E) float32 -> int8 (V, E) and float32 scales (V, 1), so that values are about integers * scales."""
    largest = np.abs(values).max(axis=1, keepdims=True)
    scales = np.where(largest > 0, largest / 127, 1).astype(np.float32)
    return np.rint(values / scales).astype(np.int8), scales
