# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""An ONNX graph taken apart into nodes and constants and put together again, without ``onnx``.

Only what an edit needs is read; everything else is carried along as it was written. Numbers of
fields are those of onnx/onnx.proto.
"""

from __future__ import annotations

from collections.abc import Iterator
import dataclasses
from dataclasses import dataclass

import numpy as np

from segnode.onnx_graph import tensor, TYPES
from segnode.protobuf import Bytes, field, fields, int_field, integer, integers, text

# ModelProto, GraphProto
_GRAPH, _METADATA = 7, 14
_NODE, _INITIALIZER, _INPUT, _OUTPUT, _VALUE_INFO = 1, 5, 11, 12, 13
# NodeProto
_OPERATOR, _ATTRIBUTE = 4, 5
# AttributeProto: int, tensor, graph
_I, _T, _G = 3, 5, 6
# TensorProto: where values may lie instead of in its raw bytes: as floats of 32 and 64 bits, and
# as integers, which for those below 64 bits are those of 32.
_FLOATS, _INTEGERS = (4, 10), (5, 7, 11)


@dataclass
class Node:
    """One node.

    Args:
        op: its operator.
        inputs, outputs: names of tensors; '' for an optional input that is not given.
        attributes: as they are encoded, by name.
        rest: all other fields, as they are encoded.
    """

    op: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, bytes] = dataclasses.field(default_factory=dict)
    rest: bytes = b''

    def number(self, name: str) -> int | None:
        """Return the whole number that an attribute holds, None where there is no such one."""
        found = _part(self.attributes.get(name, b''), _I)
        return None if found is None else integer(found)

    def tensor(self, name: str = 'value') -> np.ndarray | None:
        """Return the array that an attribute holds, None where there is no such one."""
        found = _part(self.attributes.get(name, b''), _T)
        return None if found is None else read_tensor(found)[1]

    @property
    def has_graph(self) -> bool:
        """Tell whether it is a loop or a branch."""
        return any(_part(value, _G) is not None for value in self.attributes.values())

    def set_number(self, name: str, value: int) -> None:
        """Make an attribute a whole number."""
        self.attributes[name] = field(1, name) + int_field(_I, value) + int_field(20, 2)

    def set_tensor(self, name: str, value: np.ndarray) -> None:
        """Make an attribute an array."""
        self.attributes[name] = (
            field(1, name) + field(_T, tensor(value)) + int_field(20, 4))

    def encoded(self) -> bytes:
        """Return the node as a NodeProto."""
        made = [field(1, name) for name in self.inputs]
        made += [field(2, name) for name in self.outputs]
        made += [field(_OPERATOR, self.op), self.rest]
        made += [field(_ATTRIBUTE, value) for value in self.attributes.values()]
        return b''.join(made)


@dataclass
class EditedGraph:
    """An ONNX file's graph.

    Args:
        nodes: in their order.
        constants: the graph's initializers: name -> array.
        inputs, outputs: name -> type such as 'uint8'.
    """

    nodes: list[Node]
    constants: dict[str, np.ndarray]
    inputs: dict[str, str]
    outputs: dict[str, str]
    _graph_rest: bytes = b''
    _model_rest: bytes = b''

    def encoded(self) -> bytes:
        """Return an ONNX file's content without metadata and inferred types."""
        made = [field(_NODE, node.encoded()) for node in self.nodes]
        made += [field(_INITIALIZER, tensor(array, name))
                 for name, array in self.constants.items()]
        return self._model_rest + field(_GRAPH, b''.join(made) + self._graph_rest)


def take_apart(content: Bytes) -> EditedGraph:
    """Read an ONNX file's content whose weights lie inside.

    Raises:
        ValueError: it is damaged, or holds a tensor of a type that NumPy has not.
    """
    model, graph = [], None
    for number, whole, value in fields(content):
        if number == _GRAPH:
            graph = value
        elif number != _METADATA:
            model.append(bytes(whole))
    if graph is None:
        raise ValueError('no graph')
    made = EditedGraph([], {}, {}, {})
    rest = []
    for number, whole, value in fields(graph):
        if number == _NODE:
            made.nodes.append(read_node(value))
        elif number == _INITIALIZER:
            name, array = read_tensor(value)
            made.constants[name] = array
        elif number != _VALUE_INFO:
            rest.append(bytes(whole))
            if number in (_INPUT, _OUTPUT):
                name, kind = _value_type(value)
                (made.inputs if number == _INPUT else made.outputs)[name] = kind
    made._graph_rest, made._model_rest = b''.join(rest), b''.join(model)
    return made


def operators(content: Bytes) -> Iterator[str]:
    """Give the operator of each node, those of loops and branches too."""
    for number, _, value in fields(content):
        if number == _GRAPH:
            yield from _operators(value)


def _operators(graph: Bytes) -> Iterator[str]:
    for number, _, value in fields(graph):
        if number == _NODE:
            node = read_node(value)
            yield node.op
            for attribute in node.attributes.values():
                inner = _part(attribute, _G)
                if inner is not None:
                    yield from _operators(inner)


def read_tensor(data: Bytes) -> tuple[str, np.ndarray]:
    """Return a TensorProto's name and its array.

    Raises:
        ValueError: it is damaged, or of a type that NumPy has not.
    """
    name, kind, raw = '', 0, None
    shape: list[int] = []
    values: list[bytes] = []
    found: list[int] = []
    for number, whole, value in fields(data):
        if number == 1:
            shape += integers(whole, value)
        elif number == 2:
            kind = integer(value)
        elif number == 8:
            name = text(value)
        elif number == 9:
            raw = bytes(value)
        elif number in _FLOATS:
            values.append(bytes(value))
        elif number in _INTEGERS:
            found += integers(whole, value)
    known = TYPES.get(kind, '')
    if known in ('', 'string', 'bfloat16'):
        raise ValueError(f'tensor {name} is of type {known or kind}')
    if found:  # float16 lies there by its bits
        kind_there = np.dtype('uint16' if known == 'float16' else known)
        array = np.array(found, np.int64).astype(kind_there).view(known)
    else:
        stored = np.dtype(known).newbyteorder('<')
        array = np.frombuffer(b''.join(values) if raw is None else raw, stored)
    return name, array.reshape(shape).astype(known)


def read_node(data: Bytes) -> Node:
    """Return what a NodeProto states.

    Raises:
        ValueError: it is damaged.
    """
    node = Node('', [], [])
    rest = []
    for number, whole, value in fields(data):
        if number == 1:
            node.inputs.append(text(value))
        elif number == 2:
            node.outputs.append(text(value))
        elif number == _OPERATOR:
            node.op = text(value)
        elif number == _ATTRIBUTE:
            name = _part(value, 1)
            node.attributes[text(name or b'')] = bytes(value)
        else:
            rest.append(bytes(whole))
    node.rest = b''.join(rest)
    return node


def _value_type(data: Bytes) -> tuple[str, str]:
    """Return a ValueInfoProto's name and type, '' where it is no tensor of a known one."""
    name = text(_part(data, 1) or b'')
    shaped = _part(_part(data, 2) or b'', 1)
    kind = None if shaped is None else _part(shaped, 1)
    return name, '' if kind is None else TYPES.get(integer(kind), '')


def _part(data: Bytes, wanted: int) -> Bytes | None:
    """Return the last value of a field."""
    found = None
    for number, _, value in fields(data):
        if number == wanted:
            found = value
    return found


def precision_of(content: Bytes) -> str:
    """Return what a graph's network is in: 'int8' where it is quantised, 'fp16', or 'fp32'.

    Args:
        content: expanded, for float32 may lie in a file as float16, see ``segnode.onnx_compact``.

    Raises:
        ValueError: it is damaged.
    """
    if 'QuantizeLinear' in operators(content):
        return 'int8'
    for number, _, value in fields(content):
        if number == _GRAPH:
            for inner, _, data in fields(value):
                if inner == _INITIALIZER and TYPES.get(_kind(data)) == 'float16':
                    return 'fp16'
    return 'fp32'


def _kind(data: Bytes) -> int:
    found = _part(data, 2)
    return 0 if found is None else integer(found)
