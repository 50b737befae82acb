# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Deploy graphs at half their size in a file, and as they were in memory, bit for bit.

A model's weights are float16 values, but folded into them is batch normalisation, one factor for
each channel that a layer gives; what comes out fills a float32. So the file holds both, and the
two operators of ONNX that make the one of the others: ``float16 -> Cast -> Mul(factors) ->
weight``. Where nothing was folded the Cast is enough. ONNX Runtime reads such a file by itself.
Here a graph is given to a runtime with those nodes computed, by NumPy: what looks for
constants beside a layer, as TensorRT and int8 do, finds them.
"""

from __future__ import annotations

from collections.abc import Iterable
import math
from pathlib import Path

import numpy as np

from segnode.errors import SegnodeError
from segnode.onnx_edit import Node, read_node, read_tensor
from segnode.onnx_file import read_onnx
from segnode.onnx_graph import LARGEST, node, tensor, type_number
from segnode.protobuf import Bytes, field, fields, integer, text

# ModelProto, GraphProto, NodeProto, AttributeProto, TensorProto, ValueInfoProto
_MODEL_GRAPH, _METADATA = 7, 14
_NODE, _INITIALIZER, _INPUT, _OUTPUT, _VALUE_INFO = 1, 5, 11, 12, 13
_DOMAIN = 7
_GRAPHS = (6, 11)
_TENSOR_TYPE, _TENSOR_NAME = 2, 8
_VALUE_NAME = 1
_FLOAT32, _FLOAT16 = type_number('float32'), type_number('float16')

# Values of the smallest tensor that is worth two nodes, some 300 bytes, and its factors.
_MIN_VALUES = 512


def read_deploy_graph(path: Path) -> bytes:
    """Return a checked ``.onnx`` file's content, expanded: what every runtime is given.

    Raises:
        SegnodeError: see ``segnode.onnx_file.read_onnx``.
    """
    content, _ = read_onnx(path)
    try:
        return expanded(content)
    except ValueError as error:
        raise SegnodeError(f'{path} holds no valid graph: {error}') from error


def stored_weights(content: Bytes) -> list[np.ndarray]:
    """Return the float16 tensors that a file holds, all (out, ...)."""
    _, graph, _ = _split(content)
    return [
        read_tensor(data)[1] for number, _, data in graph
        if number == _INITIALIZER and _tensor_type(data) == _FLOAT16
    ]


def compact(content: Bytes, weights: Iterable[np.ndarray] = ()) -> bytes:
    """Return an ONNX file's content with its float32 weights stored as float16, without metadata.

    That is done with each constant that can be given back bit for bit; loops' bodies are left as
    they are. ``expanded`` gives ``content`` back.

    Args:
        content: of the file.
        weights: float16 tensors (out, ...) of which some of the graph's are multiples, each
            channel by a factor of its own, such as the parameters of the network.

    Raises:
        ValueError: the content is damaged.
    """
    known: dict[tuple[int, ...], list[np.ndarray]] = {}
    for array in weights:
        known.setdefault(array.shape, []).append(array.astype(np.float32))
    before, graph, after = _split(content)
    replaceable = {_name(data, _VALUE_NAME) for number, _, data in graph if number == _INPUT}
    taken = _names(graph)
    made, rest = [], []
    for number, whole, data in graph:
        stored = None
        if number == _INITIALIZER and _tensor_type(data) == _FLOAT32:
            name, array = read_tensor(data)
            made_names = {f'{name}/{part}' for part in ('half', 'whole', 'factors')}
            if array.size >= _MIN_VALUES and name not in replaceable and not made_names & taken:
                stored = _stored(array, known.get(array.shape, []))
        if stored is None:
            rest.append(bytes(whole))
            continue
        half, factors = stored
        rest.append(field(_INITIALIZER, tensor(half, f'{name}/half')))
        whole_name = name if factors is None else f'{name}/whole'
        made.append(node('Cast', [f'{name}/half'], [whole_name], to=_FLOAT32))
        if factors is not None:
            rest.append(field(_INITIALIZER, tensor(factors, f'{name}/factors')))
            made.append(node('Mul', [whole_name, f'{name}/factors'], [name]))
    inside = b''.join([field(_NODE, one) for one in made] + rest)
    return before + field(_MODEL_GRAPH, inside) + after


def _stored(
    array: np.ndarray, weights: list[np.ndarray]
) -> tuple[np.ndarray, np.ndarray | None] | None:
    """Return float16 values and the factors by which they are the array, None without any."""
    with np.errstate(over='ignore', invalid='ignore'):
        half = array.astype(np.float16)
    if _same(half.astype(np.float32), array):
        return half, None
    for one in weights if array.ndim > 1 else ():
        factors = _factors(array, one)
        if factors is not None:
            return one.astype(np.float16), factors
    return None


def _factors(array: np.ndarray, weights: np.ndarray) -> np.ndarray | None:
    """Return float32 (out, 1, ...) that make the one of the other exactly, None without any.

    The quotient of two float32 is off from the factor by a few of its last digits at most.
    """
    wanted, given = (x.reshape(len(x), -1) for x in (array, weights))
    where = np.arange(len(given)), np.abs(given).argmax(1)
    divisors = np.where(given[where] == 0, 1, given[where]).astype(np.float64)
    with np.errstate(over='ignore', invalid='ignore'):
        first = (wanted[where] / divisors).astype(np.float32)
        if not np.allclose(given * first[:, None], wanted, rtol=1e-6, atol=0):
            return None  # another layer's
        factors, found = first, np.zeros(len(first), bool)
        for steps in (0, 1, -1, 2, -2):
            tried = first
            for _ in range(abs(steps)):
                tried = np.nextafter(tried, np.float32(np.copysign(np.inf, steps)))
            fits = (_bits(given * tried[:, None]) == _bits(wanted)).all(1)
            factors = np.where(fits & ~found, tried, factors)
            found |= fits
    if not found.all():
        return None
    return factors.reshape(-1, *[1] * (array.ndim - 1))


def expanded(content: bytes) -> bytes:
    """Return an ONNX file's content with float16 constants that are cast to float32 as float32.

    So are products of these with other constants of float32. Everything else, such as the order
    of the nodes, is as it was, but for the metadata, which are of the file. Content without such
    constants is given back as it is, and so is what would be more than ONNX takes.

    Raises:
        ValueError: the content is damaged.
    """
    before, graph, after = _split(content)
    found = _Constants(graph)
    if not found.made:
        return content
    made = before + field(_MODEL_GRAPH, b''.join(found.expanded())) + after
    return content if len(made) > LARGEST else made


class _Constants:
    """The constants of a graph, and what nodes make of them alone."""

    def __init__(self, graph: list[tuple[int, memoryview, memoryview]]) -> None:
        self.graph = graph
        ends = {kind: {_name(data, _VALUE_NAME) for number, _, data in graph if number == kind}
                for kind in (_INPUT, _OUTPUT)}
        self.outputs = ends[_OUTPUT]
        # One that is among the inputs too is but what they are where nobody gives another.
        self.given = {
            name: data for number, _, data in graph if number == _INITIALIZER
            for name in [_name(data, _TENSOR_NAME)] if name not in ends[_INPUT]
        }
        self.types = {name: _tensor_type(data) for name, data in self.given.items()}
        self.made: dict[str, np.ndarray] = {}
        self.made_of: dict[str, str] = {}  # the float16 tensor in whose place it comes
        self.folded: set[int] = set()  # places of nodes
        # Bytes: ours are twice what they are made of, and one may be cast a thousand times.
        self.room = min(LARGEST, 8 * sum(len(whole) for _, whole, _ in graph))
        if _FLOAT16 in self.types.values():
            for place, (number, _, data) in enumerate(graph):
                if number == _NODE and self._folds(read_node(data)):
                    self.folded.add(place)

    def _folds(self, one: Node) -> bool:
        """Compute a node where that is what it is there for."""
        if self.room < 0:
            return False
        if one.op not in ('Cast', 'Mul') or _is_foreign(one) or self.outputs & set(one.outputs):
            return False
        (made,) = one.outputs
        if one.op == 'Cast':
            (name,) = one.inputs
            if self.types.get(name) != _FLOAT16 or one.number('to') != _FLOAT32:
                return False
            half = read_tensor(self.given[name])[1]
            if not self._has_room(half.shape):
                return False
            self.made[made] = half.astype(np.float32)
            self.made_of[made] = name
            return True
        known = [name for name in one.inputs if name in self.made]
        if not known or not all(
            name in self.made or self.types.get(name) == _FLOAT32 for name in one.inputs
        ):
            return False
        first, second = (
            self.made[name] if name in self.made else read_tensor(self.given[name])[1]
            for name in one.inputs)
        shape = np.broadcast_shapes(first.shape, second.shape)
        if shape not in (first.shape, second.shape):
            return False  # it would take more room than both
        if not self._has_room(shape):
            return False
        with np.errstate(all='ignore'):
            self.made[made] = first * second
        self.made_of[made] = self.made_of[known[0]]
        return True

    def _has_room(self, shape: tuple[int, ...]) -> bool:
        """Take the room of a float32 tensor, and tell whether there was enough."""
        self.room -= 4 * math.prod(shape)
        return self.room >= 0

    def expanded(self) -> list[bytes]:
        """Return the fields of the graph."""
        used = set(self.outputs)
        taken = set()  # by nodes that are no more
        for place, (number, _, data) in enumerate(self.graph):
            if place in self.folded:
                taken.update(read_node(data).inputs)
            elif number == _NODE:
                used |= _used(data)
        gone = (taken | set(self.made)) - used
        instead: dict[str, list[bytes]] = {}
        for name, array in self.made.items():
            if name not in gone:
                made = field(_INITIALIZER, tensor(array, name))
                instead.setdefault(self.made_of[name], []).append(made)
        results = []
        for place, (number, whole, data) in enumerate(self.graph):
            if number == _INITIALIZER:
                name = _name(data, _TENSOR_NAME)
                if name not in gone:
                    results.append(bytes(whole))
                results += instead.get(name, [])
            elif number == _VALUE_INFO and _name(data, _VALUE_NAME) in gone:
                continue
            elif place not in self.folded:
                results.append(bytes(whole))
        return results


def _split(content: Bytes) -> tuple[bytes, list[tuple[int, memoryview, memoryview]], bytes]:
    """Return the fields of a model's graph, and all that comes before and after, less metadata."""
    ends: list[list[bytes]] = [[], []]
    graph = None
    for number, whole, value in fields(content):
        if number == _MODEL_GRAPH:
            graph = list(fields(value))
        elif number != _METADATA:
            ends[graph is not None].append(bytes(whole))
    if graph is None:
        raise ValueError('no graph')
    return b''.join(ends[0]), graph, b''.join(ends[1])


def _names(graph: Iterable[tuple[int, Bytes, Bytes]]) -> set[str]:
    """Return the names of all tensors of a graph and of the bodies in it."""
    names: set[str] = set()
    for number, _, data in graph:
        if number == _NODE:
            one = read_node(data)
            names.update(one.inputs, one.outputs)
            for attribute in one.attributes.values():
                for kind, _, body in fields(attribute):
                    if kind in _GRAPHS:
                        names |= _names(fields(body))
        elif number in (_INPUT, _OUTPUT):
            names.add(_name(data, _VALUE_NAME))
        elif number == _INITIALIZER:
            names.add(_name(data, _TENSOR_NAME))
    return names


def _used(data: Bytes) -> set[str]:
    """Return the names of the tensors that a node uses, in the bodies of a loop too."""
    one = read_node(data)
    names = set(one.inputs)
    for attribute in one.attributes.values():
        for number, _, body in fields(attribute):
            for inner, _, value in fields(body) if number in _GRAPHS else ():
                if inner == _NODE:
                    names |= _used(value)
                elif inner == _OUTPUT:
                    names.add(_name(value, _VALUE_NAME))
    return names


def _is_foreign(one: Node) -> bool:
    """Tell whether a node's operator is not of ONNX itself."""
    return any(
        number == _DOMAIN and text(value) not in ('', 'ai.onnx')
        for number, _, value in fields(one.rest))


def _name(data: Bytes, wanted: int) -> str:
    return next((text(value) for number, _, value in fields(data) if number == wanted), '')


def _tensor_type(data: Bytes) -> int:
    found = (integer(value) for number, _, value in fields(data) if number == _TENSOR_TYPE)
    return next(found, 0)


def _same(first: np.ndarray, second: np.ndarray) -> bool:
    return bool((_bits(first) == _bits(second)).all())


def _bits(array: np.ndarray) -> np.ndarray:
    """Return float32 as the integers that they are stored as: -0.0 is not 0.0."""
    return np.ascontiguousarray(array).view(np.uint32)
