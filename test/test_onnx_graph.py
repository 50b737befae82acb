# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""ONNX files read and written by hand: agreement with the onnx package, and every damage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segnode import protobuf
from segnode.errors import SegnodeError
from segnode.onnx_graph import node, operator_of, read_graph, tensor_names, Value, value_info
from small_custom import write_network

onnx = pytest.importorskip('onnx')


@pytest.mark.parametrize('number', [0, 1, 127, 128, 300, 2**31, 2**62, -1, -128, -2**62])
def test_integers(number: int) -> None:
    ((found, whole, value),) = protobuf.fields(protobuf.int_field(7, number))
    assert (found, protobuf.integer(value)) == (7, number)
    shape = onnx.TensorShapeProto()
    dim = shape.dim.add()
    dim.dim_value = number
    assert dim.SerializeToString() == protobuf.int_field(1, number)


def test_a_node_is_that_of_the_onnx_package() -> None:
    table = np.arange(6, dtype=np.int32).reshape(2, 3)
    attributes: dict[str, Any] = {
        'axis': -1, 'mode': 'linear', 'alpha': 0.25, 'perm': [0, 3, 1, 2], 'value': table}
    made = onnx.NodeProto.FromString(node('Op', ['a', ''], ['b', 'c'], **attributes))
    assert (made.op_type, list(made.input), list(made.output)) == ('Op', ['a', ''], ['b', 'c'])
    found = {a.name: onnx.helper.get_attribute_value(a) for a in made.attribute}
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(found.pop('value')), table)
    assert found == {'axis': -1, 'mode': b'linear', 'alpha': 0.25, 'perm': [0, 3, 1, 2]}


@pytest.mark.parametrize('dtype', [np.float32, np.float16, np.int64, np.int32, np.uint8, np.bool_])
@pytest.mark.parametrize('shape', [(), (0,), (3,), (1, 3, 1, 1)])
def test_an_array_is_that_of_the_onnx_package(dtype: Any, shape: tuple[int, ...]) -> None:
    array = np.full(shape, 1, dtype)
    made = onnx.NodeProto.FromString(node('Constant', [], ['x'], value=array))
    found = onnx.numpy_helper.to_array(made.attribute[0].t)
    assert found.dtype == array.dtype and found.shape == shape
    np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize('value', [
    Value('x', 'uint8', ('batch', 3, 4)), Value('y', 'float16', ()), Value('z', 'int64', None),
    Value('w', 'float32', ('', 1)),
])
def test_an_input_is_that_of_the_onnx_package(value: Value) -> None:
    made = onnx.ValueInfoProto.FromString(value_info(value))
    kind = made.type.tensor_type
    number = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(value.type))
    assert (made.name, kind.elem_type) == (value.name, number)
    if value.shape is None:
        assert not kind.HasField('shape')
    else:
        assert [d.dim_param or d.dim_value or '' for d in kind.shape.dim] == list(value.shape)


def test_what_is_read(tmp_path: Path) -> None:
    path = write_network(tmp_path / 'a.onnx', batch=None, output='probabilities', ir_version=3)
    graph = read_graph(path)
    assert graph.opset == 17
    assert [str(v) for v in graph.inputs] == ["'input' float32 [batch, 3, 32, 64]"]
    assert [str(v) for v in graph.outputs] == ["'output' float32 [batch, 11, 4, 8]"]
    assert tensor_names(graph) == {'input', 't0', 'weight', 'bias', 'output'}
    assert operator_of(graph, 'output') == 'Softmax'
    assert operator_of(graph, 'input') == ''


@pytest.mark.parametrize('side, shown', [(-1, '?'), (0, '?'), (7, '7')])
def test_sizes_that_are_none(tmp_path: Path, side: int, shown: str) -> None:
    """Paddle writes -1 for an open dimension, others 0."""
    model = onnx.load(write_network(tmp_path / 'a.onnx'))
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = side
    onnx.save(model, tmp_path / 'a.onnx')
    assert str(read_graph(tmp_path / 'a.onnx').inputs[0]) == \
        f"'input' float32 [{shown}, 3, 32, 64]"


def test_inputs_that_are_no_tensors(tmp_path: Path) -> None:
    helper = onnx.helper
    pair = helper.make_sequence_type_proto(helper.make_tensor_type_proto(1, [1]))
    graph = helper.make_graph(
        [helper.make_node('SequenceAt', ['x', 'i'], ['y'])], 'g',
        [helper.make_value_info('x', pair), helper.make_tensor_value_info('i', 7, None)],
        [helper.make_tensor_value_info('y', 1, None)])
    onnx.save(helper.make_model(graph), tmp_path / 'a.onnx')
    assert [str(v) for v in read_graph(tmp_path / 'a.onnx').inputs] == [
        "'x' of unknown type of unknown shape", "'i' int64 of unknown shape"]


def test_weights_beside_it(tmp_path: Path) -> None:
    whole = read_graph(write_network(tmp_path / 'a.onnx'))
    path = write_network(tmp_path / 'b.onnx', external='b.data')
    assert len(path.read_bytes()) < len(whole.content)
    inside = onnx.load_from_string(read_graph(path).content)
    expected = onnx.load_from_string(whole.content)
    for found, right in zip(inside.graph.initializer, expected.graph.initializer):
        assert not found.external_data and found.data_location == 0
        np.testing.assert_array_equal(
            onnx.numpy_helper.to_array(found), onnx.numpy_helper.to_array(right))
    data = (tmp_path / 'b.data').read_bytes()
    (tmp_path / 'b.data').write_bytes(data[:-1])
    with pytest.raises(SegnodeError, match='b.onnx has its weights in .*b.data, which is cut'):
        read_graph(path)
    (tmp_path / 'b.data').unlink()
    with pytest.raises(SegnodeError, match='b.data, which cannot be read: No such file'):
        read_graph(path)


@pytest.mark.parametrize('location', ['/etc/passwd', '../b.data', 'a/../../b.data', ''])
def test_weights_elsewhere(tmp_path: Path, location: str) -> None:
    path = write_network(tmp_path / 'b.onnx', external='b.data')
    model = onnx.load(path, load_external_data=False)
    for held in model.graph.initializer:
        held.external_data[0].value = location
    path.write_bytes(model.SerializeToString())
    with pytest.raises(SegnodeError, match='which is not beside it'):
        read_graph(path)


def test_damage_anywhere_is_one_sentence_or_nothing(tmp_path: Path) -> None:
    """A file of others has no digest: a change may go unseen, but nothing else may happen."""
    path = write_network(tmp_path / 'a.onnx')
    content = path.read_bytes()
    seen = 0
    for position in range(len(content)):
        for bit in range(8):
            spoilt = bytearray(content)
            spoilt[position] ^= 1 << bit
            path.write_bytes(spoilt)
            try:
                read_graph(path)
            except SegnodeError as error:
                seen += 1
                assert '\n' not in str(error)
    assert seen > len(content)
    for length in (0, 1, 10, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(SegnodeError, match='is not an ONNX file, or is cut short'):
            read_graph(path)


@pytest.mark.parametrize('content', [b'hello', b'\x80\x04', b'\0' * 50, b'<html></html>'])
def test_other_content(tmp_path: Path, content: bytes) -> None:
    (tmp_path / 'a.onnx').write_bytes(content)
    with pytest.raises(SegnodeError, match='a.onnx is not an ONNX file'):
        read_graph(tmp_path / 'a.onnx')
