# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""ONNX networks of nobody's making in every convention, and what they are to give, in NumPy."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from segnode.labels import load_label_set

CLASSES = 11
SIZE = (32, 64)
# Of a 1x1 convolution of what the network takes, in the order in which it takes it.
WEIGHTS = np.random.default_rng(1).normal(size=(CLASSES, 3)).astype(np.float32)
BIAS = np.linspace(-0.5, 0.5, CLASSES, dtype=np.float32)
# For each convention: entries of the description, and the same as (scale, mean, std) in float64.
CONVENTIONS: dict[str, tuple[dict[str, Any], tuple[Any, Any, Any]]] = {
    'unit rgb': (
        {'color_order': 'rgb', 'scale': '1/255', 'mean': [0.485, 0.456, 0.406],
         'std': [0.229, 0.224, 0.225]},
        (1 / 255, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])),
    'raw bgr': (
        {'color_order': 'bgr', 'scale': 1, 'mean': [104.0, 117.5, 123], 'std': [57, 58, 59.5]},
        (1.0, [104, 117.5, 123], [57, 58, 59.5])),
    'minus one to one': (
        {'color_order': 'rgb', 'scale': '2/255', 'mean': 1}, (2 / 255, 1.0, 1.0)),
}


def write_network(
    path: Path,
    *,
    size: tuple[int, int] | None = SIZE,
    batch: int | None = 1,
    layout: str = 'nchw',
    dtype: str = 'float32',
    stride: int = 8,
    classes: int = CLASSES,
    output: str = 'logits',
    output_dtype: str = '',
    output_layout: str = '',
    names: tuple[str, str] = ('input', 'output'),
    opset: int = 17,
    ir_version: int = 8,
    inner_batch: int | None = None,
    external: str = '',
) -> Path:
    """Write a network: a 1x1 convolution of every stride-th pixel, and what is made of it.

    Args:
        path: of the file.
        size: height and width, None leaves them open.
        batch: None leaves it open.
        layout: of the input.
        dtype: of the input and of the weights.
        stride: of the logits.
        classes: channels of the logits.
        output: 'logits', 'probabilities', 'labels' (N, H, W) or 'labels1' (N, 1, H, W).
        output_dtype: of the output; by default what the operators give.
        output_layout: 'nhwc' turns logits and labels1.
        names: of input and output.
        opset: version of the operators.
        ir_version: of the file; below 4 the weights are listed among the inputs.
        inner_batch: a number of images that the graph has inside.
        external: name of a file beside it that the weights go to.
    """
    onnx = pytest.importorskip('onnx')
    helper, to_array = onnx.helper, onnx.numpy_helper.from_array
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    weights = np.float32 if dtype == 'uint8' else np.dtype(dtype)
    held = [to_array(np.resize(WEIGHTS, (classes, 3))[:, :, None, None].astype(weights), 'weight'),
            to_array(np.resize(BIAS, classes).astype(weights), 'bias')]
    x, nodes = names[0], []

    def add(op: str, *inputs: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(op, list(inputs), [f't{len(nodes)}'], **attributes))
        return f't{len(nodes) - 1}'

    if layout == 'nhwc':
        x = add('Transpose', x, perm=[0, 3, 1, 2])
    if dtype == 'uint8':
        x = add('Cast', x, to=onnx.TensorProto.FLOAT)
    if inner_batch is not None:
        held.append(to_array(np.array([inner_batch, 3, *(size or SIZE)]), 'shape'))
        x = add('Reshape', x, 'shape')
    x = add('Conv', x, 'weight', 'bias', strides=[stride, stride])
    made = kind if dtype != 'uint8' else onnx.TensorProto.FLOAT
    if output == 'probabilities':
        x = add('Softmax', x, axis=1) if classes > 1 else add('Sigmoid', x)
    elif output.startswith('labels'):
        x = add('ArgMax', x, axis=1, keepdims=int(output == 'labels1'))
        made = onnx.TensorProto.INT64
    if output_layout == 'nhwc':
        x = add('Transpose', x, perm=[0, 2, 3, 1])
    if output_dtype:
        made = helper.np_dtype_to_tensor_dtype(np.dtype(output_dtype))
        x = add('Cast', x, to=made)
    nodes[-1].output[0] = names[1]
    sides = list(size) if size else ['height', 'width']
    small: list[Any] = [-(-s // stride) for s in size] if size else ['h', 'w']
    number = batch or 'batch'
    channels = {'labels': [], 'labels1': [1]}.get(output, [classes])
    taken = [number, 3, *sides] if layout == 'nchw' else [number, *sides, 3]
    given = [number, *small, *channels] if output_layout == 'nhwc' else [number, *channels, *small]
    inputs = [helper.make_tensor_value_info(names[0], kind, taken)]
    if ir_version < 4:
        inputs += [helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in held]
    graph = helper.make_graph(
        nodes, 'theirs', inputs, [helper.make_tensor_value_info(names[1], made, given)], held)
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid('', opset)], ir_version=ir_version)
    onnx.checker.check_model(model)
    onnx.save(model, path, save_as_external_data=bool(external), location=external or None,
              size_threshold=0)
    return path


def describe(path: Path, file: str, *, output: Mapping[str, Any] | None = None,
             **more: Any) -> Path:
    """Write a description; ``more`` are entries of it, and those of 'input' as one of them."""
    entries = {'file': file, 'label_set': 'camvid', 'licence': 'made for tests', **more}
    entries.setdefault('input', dict(CONVENTIONS['unit rgb'][0]))
    if output is not None:
        entries['output'] = dict(output)
    path.write_text(yaml.safe_dump(entries))
    return path


def frames(count: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Return uint8 (count, *size, 3) random pixels in blocks of 4, BGR."""
    rng = np.random.default_rng(2)
    blocks = rng.integers(0, 256, (count, -(-size[0] // 4), -(-size[1] // 4), 3), np.uint8)
    return blocks.repeat(4, 1).repeat(4, 2)[:, : size[0], : size[1]].copy()


def prepared(images: np.ndarray, convention: str) -> np.ndarray:
    """Return float64 (N, 3, H, W) as the network of this convention takes it."""
    entries, (scale, mean, std) = CONVENTIONS[convention]
    x = images.astype(np.float64)
    if entries['color_order'] == 'rgb':
        x = x[..., ::-1]
    return ((x * scale - mean) / std).transpose(0, 3, 1, 2)


def logits(images: np.ndarray, convention: str, stride: int = 8) -> np.ndarray:
    """Return float64 (N, C, H / stride, W / stride)."""
    x = prepared(images, convention)[:, :, ::stride, ::stride]
    return np.einsum('kc,nchw->nkhw', WEIGHTS.astype(np.float64), x) + BIAS[:, None, None]


def enlarged(
    maps: np.ndarray, size: tuple[int, int], *, align_corners: bool = False
) -> np.ndarray:
    """Return (N, C, *size) by bilinear interpolation of (N, C, h, w)."""
    for axis, wanted in zip((2, 3), size):
        side = maps.shape[axis]
        if align_corners:
            places = np.arange(wanted) * (side - 1) / max(wanted - 1, 1)
        else:
            places = np.clip((np.arange(wanted) + 0.5) * side / wanted - 0.5, 0, side - 1)
        low = np.minimum(places.astype(int), side - 1)
        high = np.minimum(low + 1, side - 1)
        share = (places - low).reshape([-1 if a == axis else 1 for a in range(4)])
        maps = maps.take(low, axis) * (1 - share) + maps.take(high, axis) * share
    return maps


def camvid_names() -> list[str]:
    """Return the names of the classes."""
    return list(load_label_set('camvid').names)
