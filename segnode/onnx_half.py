# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""A deploy graph with its network in float16: what a strongly typed TensorRT computes as written.

Everything before the first convolution, such as the normalisation of the image, is float32, for
squares of pixels are beyond float16. Weights and what follows are float16, and so is the choice of
the class: float16 values have the same order in float32. What is made of the logits beside that,
such as the confidence, is float32 again. A vehicle does this by itself, without the ``onnx``
package.
"""

from __future__ import annotations

import numpy as np

from segnode.errors import SegnodeError
from segnode.onnx_compact import expanded
from segnode.onnx_edit import EditedGraph, Node, take_apart
from segnode.onnx_graph import type_number, TYPES

# What the network begins with; whatever comes before it prepares the image.
_FIRST = ('Conv', 'ConvTranspose', 'MatMul', 'Gemm')
# Inputs that ONNX wants in float32 whatever the type of the rest.
_STAY_FLOAT = {'Resize': (1, 2), 'Upsample': (1,)}
# Operators whose output is not of the type of their first input; of most it is.
_INTEGERS = ('Shape', 'Size', 'ArgMax', 'ArgMin', 'NonZero')
_TRUTHS = ('Equal', 'Less', 'LessOrEqual', 'Greater', 'GreaterOrEqual', 'Not', 'And', 'Or', 'Xor',
           'IsNaN', 'IsInf')
_FLOATS = ('float32', 'float16')


def in_half_precision(content: bytes) -> bytes:
    """Return the ONNX file ``content`` with its network in float16, without its metadata.

    Args:
        content: a deploy graph with uint8 images in; its outputs keep their types.

    Raises:
        SegnodeError: a weight does not fit into float16, the graph has a loop or is quantised, or
            it is damaged.
    """
    try:
        graph = take_apart(expanded(content))
    except ValueError as error:
        raise SegnodeError(f'the graph cannot be turned into float16: {error}') from error
    if any(node.has_graph for node in graph.nodes):
        raise SegnodeError('a graph with a loop is not turned into float16')
    if any(node.op == 'QuantizeLinear' for node in graph.nodes):
        raise SegnodeError('a graph with int8 values is not turned into float16')
    _Halves(graph).convert()
    return graph.encoded()


class _Halves:
    """Converts one graph in place."""

    def __init__(self, graph: EditedGraph) -> None:
        self.graph = graph
        self.constants = dict(graph.constants)
        for node in graph.nodes:
            value = node.tensor() if node.op == 'Constant' else None
            if value is not None:
                self.constants[node.outputs[0]] = value
        self.prepared, self.after = self._parts()
        self.types = self._types()
        self.made: set[str] = set()  # float16 and float32 twins of tensors
        self.nodes: list[Node] = []

    def _parts(self) -> tuple[set[str], set[str]]:
        """Return the tensors before the network and those made of its logits."""
        prepared = set(self.graph.inputs)
        known = set(self.constants)
        logits: set[str] = set()
        for node in self.graph.nodes:
            inputs = {name for name in node.inputs if name}
            if not inputs - known:
                known.update(node.outputs)  # a constant, or made of constants
            elif node.op not in _FIRST and inputs <= prepared | known:
                prepared.update(node.outputs)
            if node.op == 'ArgMax':
                logits.update(node.inputs[:1])
        after: set[str] = set()
        for node in self.graph.nodes:
            if set(node.inputs) & (logits | after) and node.op != 'ArgMax':
                after.update(node.outputs)
        return prepared, after

    def _types(self) -> dict[str, str]:
        """Return the type of every tensor."""
        types = {**self.graph.inputs, **{n: a.dtype.name for n, a in self.constants.items()}}
        for node in self.graph.nodes:
            kind = next((types[n] for n in node.inputs if types.get(n)), 'float32')
            stated = node.number('to' if node.op == 'Cast' else 'dtype')
            if stated is not None:
                kind = TYPES.get(stated, '')
            elif node.op in _INTEGERS:
                kind = 'int64'
            elif node.op in _TRUTHS:
                kind = 'bool'
            elif node.op == 'Where':
                kind = types.get(node.inputs[1], kind)
            elif node.op == 'ConstantOfShape':
                value = node.tensor()
                kind = 'float32' if value is None else value.dtype.name
            for index, name in enumerate(node.outputs):
                second = 'int64' if node.op in ('TopK', 'MaxPool', 'Unique') and index else kind
                types.setdefault(name, second)
        return types

    def convert(self) -> None:
        """Rewrite every node of the network to float16."""
        for node in self.graph.nodes:
            if set(node.outputs) & (self.prepared | set(self.constants)):
                pass
            elif set(node.outputs) & self.after:
                self._take(node, 'float32')
            else:
                self._take(node, 'float16')
                self._attributes(node)
                for name in node.outputs:
                    if self.types.get(name) == 'float32':
                        self.types[name] = 'float16'
            self.nodes.append(node)
        for name, kind in self.graph.outputs.items():
            if self.types.get(name) == 'float16' != kind:
                self._give_back(name, kind)
        used = {name for node in self.nodes for name in node.inputs} | set(self.graph.outputs)
        self.graph.nodes = [
            node for node in self.nodes if node.op != 'Constant' or node.outputs[0] in used]
        self.graph.constants = {
            name: array for name, array in self.graph.constants.items() if name in used}

    def _take(self, node: Node, wanted: str) -> None:
        """Make a node's inputs of one floating-point type."""
        stay = _STAY_FLOAT.get(node.op, ())
        for index, name in enumerate(node.inputs):
            kind = self.types.get(name)
            to = 'float32' if index in stay else wanted
            if name and kind in _FLOATS and kind != to:
                node.inputs[index] = self._twin(name, to)

    def _twin(self, name: str, to: str) -> str:
        twin = f'{name}/{to}'
        if twin not in self.made:
            self.made.add(twin)
            if name in self.constants:
                array = self.constants[name]
                self.graph.constants[twin] = (
                    half(array, name) if to == 'float16' else array.astype(np.float32))
            else:
                self.nodes.append(_cast(name, twin, to))
            self.types[twin] = to
        return twin

    def _attributes(self, node: Node) -> None:
        """Round what a node holds itself, and what it casts to."""
        float32 = type_number('float32')
        for name in ('to', 'dtype'):
            if node.number(name) == float32:
                node.set_number(name, type_number('float16'))
        for name in node.attributes:
            value = node.tensor(name)
            if value is not None and value.dtype == np.float32:
                node.set_tensor(name, half(value, node.outputs[0]))

    def _give_back(self, name: str, kind: str) -> None:
        """Keep the type of an output that a node of the network makes."""
        inner = f'{name}/inner'
        for node in self.nodes:
            node.inputs = [inner if n == name else n for n in node.inputs]
            node.outputs = [inner if n == name else n for n in node.outputs]
        self.nodes.append(_cast(inner, name, kind))


def half(values: np.ndarray, name: str) -> np.ndarray:
    """Return float32 values as float16.

    Raises:
        SegnodeError: one of them does not fit.
    """
    with np.errstate(over='ignore'):
        rounded = values.astype(np.float16)
    if not np.isfinite(rounded).all():
        raise SegnodeError(
            f'{name} holds {np.abs(values).max():g}, which float16 does not: its largest number '
            'is 65504'
        )
    return rounded


def _cast(name: str, made: str, to: str) -> Node:
    node = Node('Cast', [name], [made])
    node.set_number('to', type_number(to))
    return node
