# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""ONNX files taken apart and put together again, beside the ``onnx`` package's own reading."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from segnode.onnx_compact import read_deploy_graph
from segnode.onnx_edit import operators, precision_of, read_tensor, take_apart
from segnode.runtimes.session import open_session
import small_model

onnx = pytest.importorskip('onnx')
pytest.importorskip('torch')
pytest.importorskip('onnxruntime')

from onnx import helper, numpy_helper, TensorProto  # noqa: E402


def content() -> bytes:
    path = small_model.model().onnx_path
    assert path is not None
    return read_deploy_graph(path)


def test_apart_and_together_it_is_the_same_graph() -> None:
    graph = take_apart(content())
    theirs = onnx.load_model_from_string(content()).graph
    assert [node.op for node in graph.nodes] == [node.op_type for node in theirs.node]
    assert [node.inputs for node in graph.nodes] == [list(n.input) for n in theirs.node]
    assert [node.outputs for node in graph.nodes] == [list(n.output) for n in theirs.node]
    assert list(operators(content())) == [node.op for node in graph.nodes]
    assert graph.inputs == {'image': 'uint8'} and graph.outputs == {'labels': 'uint8'}
    for tensor in theirs.initializer:
        found = graph.constants[tensor.name]
        expected = numpy_helper.to_array(tensor)
        assert found.dtype == expected.dtype and (found == expected).all()
    again = onnx.load_model_from_string(graph.encoded())
    onnx.checker.check_model(again, full_check=True)
    assert not again.metadata_props and list(again.opset_import) == list(
        onnx.load_model_from_string(content()).opset_import)
    assert [n.SerializeToString() for n in again.graph.node] == [
        n.SerializeToString() for n in theirs.node]
    images = small_model.frames(1)
    first, second = (open_session(c, threads=1).run(None, {'image': images})[0]
                     for c in (content(), graph.encoded()))
    assert (first == second).all()


@pytest.mark.parametrize('array', [
    np.float32([[1.5, -2.0]]), np.float64([0.1]), np.int64([-3, 1 << 40]), np.int32([[7], [-1]]),
    np.uint8([0, 255]), np.int8([-128, 5]), np.bool_([True, False]), np.float16([0.5, -1.0]),
    np.float32(3.25), np.zeros((0, 4), np.float32), np.uint64([1 << 63]),
])
@pytest.mark.parametrize('raw', [True, False])
def test_tensors_wherever_their_values_lie(array: np.ndarray, raw: bool) -> None:
    kind = helper.np_dtype_to_tensor_dtype(array.dtype)
    values: Any = array.tobytes() if raw else array.reshape(-1)
    if not raw and array.dtype == np.float16:
        values = array.reshape(-1).astype(np.float32)
    tensor = helper.make_tensor('t', kind, array.shape, values, raw=raw)
    name, found = read_tensor(tensor.SerializeToString())
    assert name == 't' and found.dtype == array.dtype and found.shape == array.shape
    assert (found == array).all()


def test_tensors_that_numpy_has_not() -> None:
    tensor = helper.make_tensor('t', TensorProto.BFLOAT16, [1], b'\0\0', raw=True)
    with pytest.raises(ValueError, match='tensor t is of type bfloat16'):
        read_tensor(tensor.SerializeToString())


def test_attributes() -> None:
    node = helper.make_node('Cast', ['a', ''], ['b'], name='n', to=TensorProto.FLOAT)
    graph = helper.make_graph([node], 'g', [], [])
    model = helper.make_model(graph)
    (found,) = take_apart(model.SerializeToString()).nodes
    assert found.inputs == ['a', ''] and found.number('to') == TensorProto.FLOAT
    assert found.number('nothing') is None and found.tensor('to') is None
    assert not found.has_graph
    found.set_number('to', -5)
    found.set_tensor('value', np.float16([[2.0]]))
    made = onnx.NodeProto.FromString(found.encoded())
    assert made.name == 'n' and made.op_type == 'Cast'
    assert {a.name: helper.get_attribute_value(a) for a in made.attribute}['to'] == -5
    value = next(a.t for a in made.attribute if a.name == 'value')
    assert numpy_helper.to_array(value).tolist() == [[2.0]] and value.data_type == 10


def test_precisions() -> None:
    from segnode.onnx_half import in_half_precision

    assert precision_of(content()) == 'fp32'
    assert precision_of(in_half_precision(content())) == 'fp16'
    body = helper.make_graph([helper.make_node('QuantizeLinear', ['a', 's'], ['q'])], 'b', [], [])
    loop = helper.make_node('Loop', ['n', 'c'], ['o'], body=body)
    model = helper.make_model(helper.make_graph([loop], 'g', [], [])).SerializeToString()
    assert list(operators(model)) == ['Loop', 'QuantizeLinear']
    assert precision_of(model) == 'int8' and take_apart(model).nodes[0].has_graph


@pytest.mark.parametrize('damage', [b'', b'\x08\x07', b'\xff' * 9, content])
def test_what_is_no_model(damage: Any) -> None:
    data = damage()[:1000] if callable(damage) else damage
    with pytest.raises(ValueError):
        take_apart(data)
