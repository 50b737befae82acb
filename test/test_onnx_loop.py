# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Three graphs joined by a loop, with arithmetic that tells every trip."""

from __future__ import annotations

import numpy as np
import pytest

from segnode.onnx_loop import joined, nodes

onnx = pytest.importorskip('onnx')
ort = pytest.importorskip('onnxruntime')

FLOAT = onnx.TensorProto.FLOAT


def graph_of(inputs: list[str], outputs: list[str], *made: tuple[str, list[str], str]) -> bytes:
    """Return a graph of float (N,) tensors; all three have values and weights of one name."""
    helper = onnx.helper
    weight = onnx.numpy_helper.from_array(np.full(1, 3.0 if 'y' in outputs else 2.0, 'f'), 'w')
    graph = helper.make_graph(
        [helper.make_node(kind, taken, [given], given) for kind, taken, given in made], 'g',
        [helper.make_tensor_value_info(name, FLOAT, ['N']) for name in inputs],
        [helper.make_tensor_value_info(name, FLOAT, ['N']) for name in outputs], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8)
    return bytes(model.SerializeToString())


# zero = x - x, constant = 2 x; sum = sum + (2 constant + 1 of x / x); y = 3 sum
START = graph_of(['x'], ['zero', 'constant', 'one'], ('Sub', ['x', 'x'], 'zero'),
                 ('Mul', ['x', 'w'], 'constant'), ('Div', ['x', 'x'], 'one'))
BODY = graph_of(['zero', 'constant', 'one'], ['sum'], ('Mul', ['constant', 'w'], 'inner'),
                ('Add', ['inner', 'one'], 'more'), ('Add', ['zero', 'more'], 'sum'))
END = graph_of(['sum'], ['y'], ('Mul', ['sum', 'w'], 'y'))


@pytest.mark.parametrize('times', [1, 2, 7])
def test_every_trip_adds_the_same(times: int) -> None:
    content = joined(START, BODY, END, times)
    onnx.checker.check_model(onnx.load_model_from_string(content), full_check=True)
    session = ort.InferenceSession(content)
    x = np.array([1.0, 2.0, 10.0], np.float32)
    (y,) = session.run(['y'], {'x': x})
    np.testing.assert_allclose(y, 3 * times * (4 * x + 1))
    assert [value.name for value in session.get_inputs()] == ['x']


def test_nodes_of_the_body_are_found() -> None:
    model = onnx.load_model_from_string(joined(START, BODY, END, 3))
    kinds = [node.op_type for node in nodes(model.graph)]
    assert kinds.count('Mul') == 3 and kinds.count('Add') == 2 and kinds.count('Loop') == 1
    names = [node.name for node in nodes(model.graph) if node.op_type in ('Mul', 'Add', 'Div')]
    assert {name.split('/')[0] for name in names} == {'start', 'body', 'end'}
