# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""A model whose runtime really fails, when the image says so.

Its deploy graph is made by hand: the label of a pixel is its blue divided by STEP, at once. Where
the second byte of an image is KEY, its first one is a command beside that; ONNX Runtime then
raises, runs out of memory or does not come back, by its own doing. Needs neither PyTorch nor
weights.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segnode.labels import load_label_set
from segnode.model import RECORD_KEY, WEIGHTS_KEY
from segnode.onnx_file import with_metadata
from segnode.record import ModelRecord

SIZE = (128, 256)
STEP = 24  # blue 0 to 239 is label 0 to 9
RAISE, EXHAUST, HANG = 251, 252, 253  # the commands
KEY = 170  # of the second byte; noise does not command by chance


def image(blue: int, size: tuple[int, int] = SIZE, command: int | None = None) -> np.ndarray:
    """Return uint8 (*size, 3) BGR of one blue, the rest a ramp; all its labels are blue // STEP.

    Only at SIZE does the command reach the graph as it is.
    """
    made = np.zeros((*size, 3), np.uint8)
    made[..., 0] = blue
    made[..., 1] = np.arange(size[1]) % 256
    if command is not None:
        made[0, 0, :2] = command, KEY
    return made


def write(
    folder: Path, name: str = 'faulty', step: int = STEP, label_set: str = 'camvid'
) -> Path:
    """Write the model into a folder and return its path; labels are blue // step."""
    onnx = pytest.importorskip('onnx')
    from onnx import helper, numpy_helper, TensorProto

    def constant(name: str, value: Any, kind: Any = np.int64) -> Any:
        return numpy_helper.from_array(np.asarray(value, kind), name)

    def commanded(value: int, command: int) -> np.ndarray:
        """Return a table by the first pixel's blue: `value` where it is the command, else 1."""
        table = np.ones(256, np.int64)
        table[command] = value
        return table

    body = helper.make_graph(
        [helper.make_node('Identity', ['go_on'], ['go_on_out']),
         helper.make_node('Add', ['turn', 'round'], ['turn_out'])],
        'body',
        [helper.make_tensor_value_info('round', TensorProto.INT64, []),
         helper.make_tensor_value_info('go_on', TensorProto.BOOL, []),
         helper.make_tensor_value_info('turn', TensorProto.INT64, [])],
        [helper.make_tensor_value_info('go_on_out', TensorProto.BOOL, []),
         helper.make_tensor_value_info('turn_out', TensorProto.INT64, [])])
    nodes = [
        helper.make_node('Reshape', ['image', 'minus_one'], ['flat']),
        helper.make_node('Gather', ['flat', 'zero'], ['first']),
        helper.make_node('Cast', ['first'], ['given'], to=TensorProto.INT64),
        helper.make_node('Gather', ['flat', 'one'], ['second']),
        helper.make_node('Cast', ['second'], ['told'], to=TensorProto.INT64),
        helper.make_node('Equal', ['told', 'key'], ['meant']),
        helper.make_node('Where', ['meant', 'given', 'zero'], ['command']),
        # RAISE: an index that the table of four does not have.
        helper.make_node('Gather', ['index_of', 'command'], ['index']),
        helper.make_node('Gather', ['four', 'index'], ['raised']),
        # EXHAUST: more bytes than an address has bits for.
        helper.make_node('Gather', ['size_of', 'command'], ['size']),
        helper.make_node('Reshape', ['size', 'minus_one'], ['shape']),
        helper.make_node('ConstantOfShape', ['shape'], ['huge'],
                         value=helper.make_tensor('v', TensorProto.FLOAT, [1], [0.0])),
        helper.make_node('ReduceMax', ['huge'], ['exhausted_float'], keepdims=0),
        helper.make_node('Cast', ['exhausted_float'], ['exhausted'], to=TensorProto.INT64),
        # HANG: more rounds than anyone waits for.
        helper.make_node('Gather', ['rounds_of', 'command'], ['rounds']),
        helper.make_node('Loop', ['rounds', 'true', 'zero'], ['hung'], body=body),
        helper.make_node('Add', ['raised', 'exhausted'], ['two']),
        helper.make_node('Add', ['two', 'hung'], ['three']),
        helper.make_node('Gather', ['image', 'zero'], ['blue'], axis=3),
        helper.make_node('Cast', ['blue'], ['wide'], to=TensorProto.INT64),
        helper.make_node('Div', ['wide', 'step'], ['plain']),
        helper.make_node('Add', ['plain', 'three'], ['sum']),
        helper.make_node('Cast', ['sum'], ['labels'], to=TensorProto.UINT8),
    ]
    graph = helper.make_graph(
        nodes, 'faulty',
        [helper.make_tensor_value_info('image', TensorProto.UINT8, ['batch', *SIZE, 3])],
        [helper.make_tensor_value_info('labels', TensorProto.UINT8, ['batch', *SIZE])],
        [constant('minus_one', [-1]), constant('zero', 0), constant('one', 1),
         constant('key', KEY), constant('step', step),
         constant('four', [0, 0, 0, 0]), constant('true', True, bool),
         constant('index_of', commanded(10**6, RAISE)),
         constant('size_of', commanded(1 << 46, EXHAUST)),
         constant('rounds_of', commanded(1 << 40, HANG))])
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8)
    onnx.checker.check_model(model)
    record = ModelRecord(
        network='fsffnet', label_set=load_label_set(label_set), input_size=SIZE,
        data_licence='made for tests', training={'seed': 0})
    path = folder / f'{name}.onnx'
    path.write_bytes(with_metadata(
        model.SerializeToString(), {RECORD_KEY: record.to_json(), WEIGHTS_KEY: ''}))
    return path
