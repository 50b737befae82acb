# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Three ONNX graphs joined to one: what comes before a loop, its body, what comes after."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

COUNTER, CONDITION, AGAIN = 'loop/counter', 'loop/condition', 'loop/again'


def joined(start: bytes, body: bytes, end: bytes, times: int) -> bytes:
    """Return ``end(body(... body(start(x))))``, the body run ``times`` times by a Loop.

    Only the first value goes round; the others that ``start`` returns are the same each time.

    Args:
        start: graph of any inputs -> (value, *constants).
        body: graph of (value, *constants), by their names in ``start`` -> next value.
        end: graph of value, by its name in ``body``'s output -> the outputs.
        times: trips, 1 or more.

    All three are of one exporter and one version, have no Loop or If themselves, and ``body`` has
    an output of another name than its inputs.
    """
    import onnx
    from onnx import helper, TensorProto

    models = [onnx.load_model_from_string(content) for content in (start, body, end)]
    first, middle, last = (model.graph for model in models)
    outputs = [output.name for output in first.output]
    value, result = outputs[0], middle.output[0].name
    carried = f'loop/{value}'
    _rename(first, 'start', {name: name for name in [*outputs, *_names(first.input)]})
    _rename(middle, 'body', {**{name: name for name in outputs}, value: carried,
                             result: f'loop/{result}'})
    _rename(last, 'end', {name: name for name in [result, *_names(last.output)]})

    inputs = [
        helper.make_tensor_value_info(COUNTER, TensorProto.INT64, []),
        helper.make_tensor_value_info(CONDITION, TensorProto.BOOL, []),
        _value_info(middle.input, carried),
    ]
    again = helper.make_tensor_value_info(AGAIN, TensorProto.BOOL, [])
    # What only the body uses is in the body: optimisers look for weights beside their layer.
    inner = helper.make_graph(
        [helper.make_node('Identity', [CONDITION], [AGAIN]), *middle.node], 'body', inputs,
        [again, middle.output[0]], list(middle.initializer))
    loop = [
        helper.make_node('Constant', [], ['loop/times'], value=helper.make_tensor(
            'loop/times', TensorProto.INT64, [], [times])),
        helper.make_node('Constant', [], ['loop/true'], value=helper.make_tensor(
            'loop/true', TensorProto.BOOL, [], [True])),
        helper.make_node('Loop', ['loop/times', 'loop/true', value], [result], 'loop', body=inner),
    ]
    whole = helper.make_graph(
        [*first.node, *loop, *last.node], first.name, list(first.input), list(last.output),
        [*first.initializer, *last.initializer])
    made = helper.make_model(
        whole, producer_name=models[0].producer_name, producer_version=models[0].producer_version,
        opset_imports=list(models[0].opset_import), ir_version=models[0].ir_version)
    onnx.checker.check_model(made)
    return made.SerializeToString()


def nodes(graph: Any) -> Iterator[Any]:
    """Give every node of a graph, those of a loop's body too."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            yield from nodes(attribute.g)


def _names(values: Any) -> list[str]:
    return [value.name for value in values]


def _value_info(values: Any, name: str) -> Any:
    (found,) = (value for value in values if value.name == name)
    return found


def _rename(graph: Any, prefix: str, given: dict[str, str]) -> None:
    """Give every value its new name, or its own behind the prefix."""
    def new(name: str) -> str:
        return given.get(name, f'{prefix}/{name}') if name else ''  # '' is an input left out

    for node in graph.node:
        node.name = f'{prefix}/{node.name}'
        node.input[:] = map(new, node.input)
        node.output[:] = map(new, node.output)
    for value in [*graph.input, *graph.output, *graph.initializer]:
        value.name = new(value.name)
