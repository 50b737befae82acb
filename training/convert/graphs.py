# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Small changes of a deploy graph that conversions and their checks are made of."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

LOGITS = 'logits'


def with_logits(content: bytes) -> bytes:
    """Return the graph with one more output: what it takes the labels from, in float32.

    The logits stand last among the outputs and are called ``logits``: (N, C, h, w) at the size at
    which the class is chosen. A network of somebody else may give labels itself: then there are
    none, and the graph is returned as it is.
    """
    import onnx

    model = onnx.load_model_from_string(content)
    graph = model.graph
    choices = [node for node in graph.node if node.op_type == 'ArgMax']
    if not choices:
        return content
    # An output of our own name, in a type that all that run it give back.
    graph.node.append(onnx.helper.make_node(
        'Cast', [choices[-1].input[0]], [LOGITS], LOGITS, to=onnx.TensorProto.FLOAT))
    graph.output.append(
        onnx.helper.make_tensor_value_info(LOGITS, onnx.TensorProto.FLOAT, None))
    return bytes(model.SerializeToString())


def with_outputs(content: bytes, tensors: Iterable[str]) -> bytes:
    """Return the graph with these tensors as outputs, in place of its own."""
    import onnx

    model = onnx.load_model_from_string(content)
    del model.graph.output[:]
    model.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
        for name in tensors
    )
    return bytes(model.SerializeToString())


def with_shapes(content: bytes, tensors: Iterable[str]) -> bytes:
    """Return the graph with the shapes of these tensors as outputs, in place of its own."""
    import onnx

    model = onnx.load_model_from_string(content)
    graph = model.graph
    del graph.output[:]
    for name in tensors:
        graph.node.append(onnx.helper.make_node('Shape', [name], [f'{name}/shape']))
        graph.output.append(onnx.helper.make_tensor_value_info(
            f'{name}/shape', onnx.TensorProto.INT64, None))
    return bytes(model.SerializeToString())


def initializers(graph: Any) -> dict[str, Any]:
    """Return the constant tensors of a graph by name, those of Constant nodes too."""
    found = {tensor.name: tensor for tensor in graph.initializer}
    found.update(
        (node.output[0], node.attribute[0].t) for node in graph.node
        if node.op_type == 'Constant' and node.attribute[0].HasField('t')
    )
    return found
