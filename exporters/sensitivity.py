"""What int8 costs is not spread evenly: the few products that lose most of it can stay float32."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import onnx

from ftx_edge.exporters.gate import CheckedGraph, Gate
from ftx_edge.exporters.quantize import products, quantize
from ftx_edge.runtime.manifest import INT8

RANKING_TEXTS = 300
"""Of the gate's texts, the first that products are ranked on; all decide whether enough are float32."""


def leave_float(model: onnx.ModelProto, gate: Gate, max_drop: float) -> CheckedGraph | None:
    """The int8 graph with as many of the most sensitive products in float32 as ``max_drop`` asks for.

    Args:
        model: the float32 graph, as ``to_onnx`` makes it.
        gate: that the int8 graph has to pass.
        max_drop: the most that ``Agreement.drop`` may be.

    Returns:
        The first graph within the limit; where half of the products do not suffice, the one with that half;
        None where the graph has no product.

    Raises:
        GateError: an int8 graph gives no numbers at some length.
    """
    mixed = None
    for kept in most_sensitive(model, gate.first(RANKING_TEXTS)):
        mixed = replace(gate.check(quantize(model, kept), INT8), kept_float=kept)
        if mixed.agreement.drop <= max_drop:
            break
    return mixed


def most_sensitive(model: onnx.ModelProto, gate: Gate) -> Iterator[tuple[str, ...]]:
    """Names of one product, of two, ... of half of them, rounded up: each time the one joins that helps most.

    That is the one whose float32, beside those before it, leaves the least divergence; of equals, the first
    in the graph. The drop itself counts few texts: errors that happen to cancel would hide what causes them.
    """
    names = products(model)
    kept: tuple[str, ...] = ()

    def loss(name: str) -> float:
        return gate.agreement(quantize(model, (*kept, name))).divergence

    for _ in range((len(names) + 1) // 2):
        kept = (*kept, min((name for name in names if name not in kept), key=loss))
        yield kept
