# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""A model that gives labels for next to no work: what is left of a node's time is the node's.

It is a released model like any other as far as the node can see, a deploy graph with its record,
of three operators: a pixel's label is its blue, shifted down to the classes that there are. Needs
neither PyTorch nor the ``onnx`` package.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from segnode.files import write_bytes
from segnode.labels import load_label_set
from segnode.model import RECORD_KEY, WEIGHTS_KEY
from segnode.networks.zoo import CUSTOM
from segnode.onnx_file import with_metadata
from segnode.onnx_graph import laid_around, node, OnnxGraph, Value
from segnode.protobuf import field, int_field
from segnode.record import ModelRecord

SHIFT = 5  # bits: blue 0 to 255 is label 0 to 7
OPSET = 13
# ModelProto.opset_import, and in it the version (onnx/onnx.proto).
_OPSET_IMPORT, _VERSION = 8, 2


def write(folder: Path, size: tuple[int, int]) -> Path:
    """Write ``null.onnx`` for images of the size into a folder and return its path."""
    nodes = [
        _constant('channel', [0]), _constant('next', [1]), _constant('axis', [3]),
        node('Slice', ['image', 'channel', 'next', 'axis'], ['blue']),
        node('Squeeze', ['blue', 'axis'], ['flat']),
        node('Constant', [], ['bits'], value=np.array(SHIFT, np.uint8)),
        node('BitShift', ['flat', 'bits'], ['labels'], direction='RIGHT'),
    ]
    nothing = OnnxGraph(field(_OPSET_IMPORT, int_field(_VERSION, OPSET)), OPSET, (), ())
    content = laid_around(
        nothing, nodes, (), [Value('image', 'uint8', ('batch', *size, 3))],
        [Value('labels', 'uint8', ('batch', *size))], {})
    path = folder / 'null.onnx'
    record = ModelRecord(
        network=CUSTOM, label_set=load_label_set('camvid'), input_size=size,
        network_args={'file': path.name, 'fixed_size': list(size)},
        data_licence='none: no weights')
    write_bytes(path, with_metadata(content, {RECORD_KEY: record.to_json(), WEIGHTS_KEY: ''}))
    return path


def _constant(name: str, value: list[int]) -> bytes:
    return node('Constant', [], [name], value=np.array(value, np.int64))
