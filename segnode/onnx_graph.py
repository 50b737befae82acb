# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""ONNX graphs read, and laid around with further nodes, without the ``onnx`` package.

A vehicle has ONNX Runtime or TensorRT but not that package. Numbers of fields and of types are
those of onnx/onnx.proto.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from segnode.errors import SegnodeError
from segnode.files import read_bytes
from segnode.protobuf import Bytes, field, fields, float_field, int_field, integer, text

# ModelProto
_IR_VERSION, _GRAPH, _OPSET_IMPORT, _FUNCTIONS, _PRODUCER = 1, 7, 8, 25, 2
# GraphProto
_NODE, _NAME, _INITIALIZER, _INPUT, _OUTPUT, _VALUE_INFO, _SPARSE = 1, 2, 5, 11, 12, 13, 15
# TensorProto
_DIMS, _DATA_TYPE, _TENSOR_NAME, _RAW_DATA, _EXTERNAL_DATA, _LOCATION = 1, 2, 8, 9, 13, 14
# NodeProto: inputs are 1, outputs 2; AttributeProto: a graph is 6, graphs are 11.
_ATTRIBUTE, _ATTRIBUTE_GRAPHS = 5, (6, 11)

TYPES = {
    1: 'float32', 2: 'uint8', 3: 'int8', 4: 'uint16', 5: 'int16', 6: 'int32', 7: 'int64',
    8: 'string', 9: 'bool', 10: 'float16', 11: 'float64', 12: 'uint32', 13: 'uint64',
    16: 'bfloat16',
}
_NUMBERS = {name: number for number, name in TYPES.items()}
# From this version on an initializer need not be among the inputs too, so it is a constant.
_MIN_IR_VERSION = 4
LARGEST = 2**31 - 1  # bytes of a protobuf message

Dimension = int | str


@dataclass(frozen=True)
class Value:
    """An input or output of a graph.

    Args:
        name: of the tensor.
        type: such as 'float32'; '' where the file does not say.
        shape: of each dimension its size, or a text where that is open; None where the file does
            not say how many there are.
    """

    name: str
    type: str
    shape: tuple[Dimension, ...] | None

    def __str__(self) -> str:
        """Return name, type and shape for an error."""
        return f"'{self.name}' {self.form}"

    @property
    def form(self) -> str:
        """Return type and shape in words."""
        shape = 'of unknown shape'
        if self.shape is not None:
            shape = f'[{", ".join(str(side) or "?" for side in self.shape)}]'
        return f'{self.type or "of unknown type"} {shape}'


@dataclass(frozen=True)
class OnnxGraph:
    """What an ``.onnx`` file holds.

    Args:
        content: of the file, external data and all.
        opset: version of the operators of ONNX itself; 0 where it uses none.
        inputs: without those that have a value of their own in the file.
        outputs: of the graph.
    """

    content: bytes
    opset: int
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]


def read_graph(path: Path) -> OnnxGraph:
    """Read an ``.onnx`` file of whoever made it, with the files that hold its weights.

    Raises:
        SegnodeError: a file is not there, damaged or too large; one sentence.
    """
    try:
        content = _with_data(read_bytes(path), path)
        return _parsed(content)
    except OSError as error:
        raise SegnodeError(f'{path} cannot be read: {error.strerror or error}') from error
    except ValueError as error:
        raise SegnodeError(
            f'{path} is not an ONNX file, or is cut short or damaged: fetch it again'
        ) from error


def laid_around(
    graph: OnnxGraph,
    before: Iterable[bytes],
    after: Iterable[bytes],
    inputs: Iterable[Value],
    outputs: Iterable[Value],
    rename: Mapping[str, str],
) -> bytes:
    """Return an ONNX file's content: ``before``, the graph, ``after``, with other ends.

    Args:
        graph: in the middle; what it takes and gives become tensors like any other.
        before: nodes, see ``node``, that make what the graph takes.
        after: nodes that take what the graph gives.
        inputs: of the whole.
        outputs: of the whole.
        rename: new names for tensors of the graph, for instance where the whole has one of that
            name. ``before`` and ``after`` use the new ones.
    """
    model, middle = [], b''
    version = _MIN_IR_VERSION
    for number, whole, value in fields(graph.content):
        if number == _GRAPH:
            middle = bytes(value)
        elif number in (_OPSET_IMPORT, _FUNCTIONS):
            model.append(bytes(whole))
        elif number == _IR_VERSION:
            version = max(version, integer(value))
    if rename:
        middle = _renamed_graph(middle, rename)
    kept: dict[int, list[bytes]] = {_NODE: [], _INITIALIZER: [], _SPARSE: []}
    for number, whole, _ in fields(middle):
        if number in kept:
            kept[number].append(bytes(whole))
    made = [
        *(field(_NODE, made) for made in before), *kept[_NODE],
        *(field(_NODE, made) for made in after),
        field(_NAME, 'deploy'), *kept[_INITIALIZER], *kept[_SPARSE],
        *(field(_INPUT, value_info(value)) for value in inputs),
        *(field(_OUTPUT, value_info(value)) for value in outputs),
    ]
    return b''.join([
        int_field(_IR_VERSION, version), field(_PRODUCER, 'segnode'), *model,
        field(_GRAPH, b''.join(made)),
    ])


def node(op: str, inputs: Iterable[str], outputs: Iterable[str], **attributes: Any) -> bytes:
    """Return a node: an operator of ONNX itself with whole numbers, texts, lists or an array."""
    made = [field(1, name) for name in inputs]
    made += [field(2, name) for name in outputs]
    made.append(field(4, op))
    made += [field(_ATTRIBUTE, _attribute(*item)) for item in attributes.items()]
    return b''.join(made)


def tensor(array: np.ndarray, name: str = '') -> bytes:
    """Return an array as a tensor with a name."""
    little = array.astype(array.dtype.newbyteorder('<'))
    made = [int_field(_DIMS, side) for side in array.shape]
    made.append(int_field(_DATA_TYPE, _NUMBERS[array.dtype.name]))
    made.append(field(_TENSOR_NAME, name))
    made.append(field(_RAW_DATA, little.tobytes()))
    return b''.join(made)


def value_info(value: Value) -> bytes:
    """Return an input or output as a graph states it."""
    kind = int_field(1, type_number(value.type))
    if value.shape is not None:
        dims = (
            int_field(1, side) if isinstance(side, int) else field(2, side) if side else b''
            for side in value.shape
        )
        kind += field(2, b''.join(field(1, dim) for dim in dims))
    return field(1, value.name) + field(2, field(1, kind))


def type_number(name: str) -> int:
    """Return the number that stands for a type in ``Cast`` and elsewhere."""
    return _NUMBERS[name]


def tensor_names(graph: OnnxGraph) -> set[str]:
    """Return the names of all tensors of the graph itself, those of loops' bodies left out."""
    names = {value.name for value in (*graph.inputs, *graph.outputs)}
    for number, _, value in fields(_graph_of(graph.content)):
        if number == _NODE:
            names |= {text(v) for n, _, v in fields(value) if n in (1, 2)}
        elif number == _INITIALIZER:
            names |= {text(v) for n, _, v in fields(value) if n == _TENSOR_NAME}
    return names


def operator_of(graph: OnnxGraph, name: str) -> str:
    """Return the operator that makes a tensor, '' where no node does."""
    for number, _, value in fields(_graph_of(graph.content)):
        if number == _NODE:
            entries = [(n, v) for n, _, v in fields(value)]
            if any(n == 2 and text(v) == name for n, v in entries):
                return next((text(v) for n, v in entries if n == 4), '')
    return ''


def _graph_of(content: bytes) -> Bytes:
    return next((value for number, _, value in fields(content) if number == _GRAPH), b'')


def _parsed(content: bytes) -> OnnxGraph:
    opset, graph = 0, None
    for number, _, value in fields(content):
        if number == _OPSET_IMPORT:
            entry = {n: v for n, _, v in fields(value)}
            if text(entry.get(1, b'')) in ('', 'ai.onnx') and 2 in entry:
                opset = integer(entry[2])
        elif number == _GRAPH:
            graph = value
    if graph is None:
        raise ValueError('no graph')
    inputs, outputs, owned = [], [], set()
    for number, _, value in fields(graph):
        if number == _INPUT:
            inputs.append(_value(value))
        elif number == _OUTPUT:
            outputs.append(_value(value))
        elif number == _INITIALIZER:
            owned |= {text(v) for n, _, v in fields(value) if n == _TENSOR_NAME}
        elif number == _SPARSE:
            for n, _, v in fields(value):
                if n == 1:
                    owned |= {text(w) for m, _, w in fields(v) if m == _TENSOR_NAME}
    free = tuple(value for value in inputs if value.name not in owned)
    return OnnxGraph(content, opset, free, tuple(outputs))


def _value(data: Bytes) -> Value:
    """Read a ValueInfoProto; what is no plain tensor has no type."""
    entry = {n: v for n, _, v in fields(data)}
    name = text(entry.get(1, b''))
    kind = {n: v for n, _, v in fields(entry.get(2, b''))}
    if 1 not in kind:
        return Value(name, '', None)
    parts = {n: v for n, _, v in fields(kind[1])}
    number = integer(parts[1]) if 1 in parts else 0
    shape = None
    if 2 in parts:
        shape = tuple(_dimension(v) for n, _, v in fields(parts[2]) if n == 1)
    return Value(name, TYPES.get(number, f'type {number}' if number else ''), shape)


def _dimension(data: Bytes) -> Dimension:
    """Read one dimension; some exporters write -1 or 0 for an open one."""
    entry = {n: v for n, _, v in fields(data)}
    size = integer(entry[1]) if 1 in entry else 0
    return size if size > 0 else text(entry.get(2, b''))


def _attribute(name: str, value: Any) -> bytes:
    made = field(1, name)
    if isinstance(value, np.ndarray):
        return made + field(5, tensor(value)) + int_field(20, 4)
    if isinstance(value, int):
        return made + int_field(3, value) + int_field(20, 2)
    if isinstance(value, float):
        return made + float_field(2, value) + int_field(20, 1)
    if isinstance(value, str):
        return made + field(4, value) + int_field(20, 3)
    return made + b''.join(int_field(8, item) for item in value) + int_field(20, 7)


def _with_data(content: bytes, path: Path) -> bytes:
    """Return the file with the weights inside that lie in files beside it.

    Raises:
        SegnodeError: one of these is missing or too short, or lies elsewhere than beside it.
        ValueError: the file is damaged.
    """
    model = []
    changed = False
    for number, whole, value in fields(content):
        if number != _GRAPH:
            model.append(bytes(whole))
            continue
        graph = []
        for inner, entry, data in fields(value):
            loaded = _loaded(data, path) if inner == _INITIALIZER else None
            changed |= loaded is not None
            graph.append(bytes(entry) if loaded is None else field(_INITIALIZER, loaded))
        size = sum(map(len, graph))
        if size > LARGEST:
            raise SegnodeError(
                f'{path} holds {size / 1e9:.1f} GB with its data, and segnode takes 2.1 GB')
        model.append(field(_GRAPH, b''.join(graph)))
    return b''.join(model) if changed else content


def _loaded(data: Bytes, path: Path) -> bytes | None:
    """Return a TensorProto with its external data inside; None where it has none."""
    entries = [(n, whole, v) for n, whole, v in fields(data)]
    if not any(n == _LOCATION and integer(v) == 1 for n, _, v in entries):
        return None
    where = {}
    for number, _, value in entries:
        if number == _EXTERNAL_DATA:
            pair = {n: text(v) for n, _, v in fields(value)}
            where[pair.get(1, '')] = pair.get(2, '')
    location = where.get('location', '')
    beside = Path(location)
    if not location or beside.is_absolute() or '..' in beside.parts:
        raise SegnodeError(f'{path} has its weights in {location!r}, which is not beside it')
    file = path.parent / beside
    offset, length = int(where.get('offset') or 0), int(where.get('length') or -1)
    try:
        with open(file, 'rb') as opened:
            opened.seek(offset)
            raw = opened.read(length)
    except OSError as error:
        raise SegnodeError(
            f'{path} has its weights in {file}, which cannot be read: {error.strerror or error}'
        ) from error
    if length >= 0 and len(raw) != length:
        raise SegnodeError(f'{path} has its weights in {file}, which is cut short')
    kept = b''.join(bytes(w) for n, w, _ in entries if n not in (_EXTERNAL_DATA, _LOCATION))
    return kept + field(_RAW_DATA, raw)


def _renamed_graph(data: Bytes, names: Mapping[str, str]) -> bytes:
    """Return a GraphProto with other names for some tensors, in the bodies of loops too."""
    made = []
    for number, whole, value in fields(data):
        if number == _NODE:
            made.append(field(_NODE, _renamed_node(value, names)))
        elif number == _INITIALIZER:
            made.append(field(number, _renamed(value, _TENSOR_NAME, names)))
        elif number in (_INPUT, _OUTPUT, _VALUE_INFO):
            made.append(field(number, _renamed(value, 1, names)))
        else:
            made.append(bytes(whole))
    return b''.join(made)


def _renamed_node(data: Bytes, names: Mapping[str, str]) -> bytes:
    made = []
    for number, whole, value in fields(data):
        if number in (1, 2):
            made.append(field(number, names.get(text(value), text(value))))
        elif number == _ATTRIBUTE:
            made.append(field(number, b''.join(
                field(n, _renamed_graph(v, names)) if n in _ATTRIBUTE_GRAPHS else bytes(w)
                for n, w, v in fields(value))))
        else:
            made.append(bytes(whole))
    return b''.join(made)


def _renamed(data: Bytes, name_field: int, names: Mapping[str, str]) -> bytes:
    return b''.join(
        field(n, names.get(text(v), text(v))) if n == name_field else bytes(whole)
        for n, whole, v in fields(data))
