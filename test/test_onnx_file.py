# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The metadata of ``.onnx`` files: agreement with the onnx package, and every damage."""

from __future__ import annotations

import pytest

from segnode.errors import SegnodeError
from segnode.onnx_file import parse_metadata, with_metadata

METADATA = {'segnode_record': '{"ä": 1}', 'empty': '', 'long': 'x' * 300}


@pytest.fixture(scope='module')
def plain() -> bytes:
    """Return a valid file: y = x + 1."""
    onnx = pytest.importorskip('onnx')
    helper = onnx.helper
    one = onnx.numpy_helper.from_array(__import__('numpy').ones(1, 'float32'), 'one')
    graph = helper.make_graph(
        [helper.make_node('Add', ['x', 'one'], ['y'])], 'g',
        [helper.make_tensor_value_info('x', onnx.TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info('y', onnx.TensorProto.FLOAT, [1])], [one],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8)
    helper.set_model_props(model, {'old': 'gone'})
    return bytes(model.SerializeToString())


def test_round_trip_and_the_onnx_package_agrees(plain: bytes) -> None:
    onnx = pytest.importorskip('onnx')
    content = with_metadata(plain, METADATA)
    assert parse_metadata(content, 'a.onnx') == METADATA
    model = onnx.load_from_string(content)
    onnx.checker.check_model(model)
    found = {p.key: p.value for p in model.metadata_props}
    assert {k: v for k, v in found.items() if k != 'sha256'} == METADATA
    again = with_metadata(content, METADATA)
    assert again == content


def test_onnx_runtime_reads_it(plain: bytes) -> None:
    ort = pytest.importorskip('onnxruntime')
    session = ort.InferenceSession(
        with_metadata(plain, METADATA), providers=['CPUExecutionProvider']
    )
    assert session.get_modelmeta().custom_metadata_map['segnode_record'] == '{"ä": 1}'


def test_every_truncation_and_every_flipped_bit(plain: bytes) -> None:
    content = with_metadata(plain, METADATA)
    for length in range(len(content)):
        with pytest.raises(SegnodeError):
            parse_metadata(content[:length], 'a.onnx')
    for position in range(len(content)):
        for bit in range(8):
            spoilt = bytearray(content)
            spoilt[position] ^= 1 << bit
            with pytest.raises(SegnodeError) as caught:
                parse_metadata(bytes(spoilt), 'a.onnx')
            assert '\n' not in str(caught.value)


@pytest.mark.parametrize('content', [b'', b'hello', b'\x80\x04', b'\0' * 50, b'<html></html>'])
def test_other_content(content: bytes) -> None:
    with pytest.raises(SegnodeError, match='a.onnx'):
        parse_metadata(content, 'a.onnx')


def test_a_file_of_others(plain: bytes) -> None:
    with pytest.raises(SegnodeError, match='sha256'):
        parse_metadata(plain, 'a.onnx')
