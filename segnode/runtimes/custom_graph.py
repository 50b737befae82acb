# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The deploy graph of a network of somebody else: ours around theirs, in one ONNX file.

What it does before and behind the network is what ``segnode.runtimes.graph`` does, so every
runtime runs it like one of our own. It is put together without PyTorch and without the ``onnx``
package.
"""

from __future__ import annotations

from dataclasses import replace
import logging
from pathlib import Path
from typing import Any

import numpy as np

from segnode.custom_network import CustomNetwork, FLOATS, Form
from segnode.dependencies import installed, versions
from segnode.errors import SegnodeError
from segnode.files import write_bytes
from segnode.labels import IGNORE
from segnode.model import Model, RECORD_KEY, WEIGHTS_KEY
from segnode.onnx_file import with_metadata
from segnode.onnx_graph import (
    Dimension,
    laid_around,
    node,
    tensor_names,
    type_number,
    Value,
)
from segnode.record import ModelRecord
from segnode.runtimes.base import output_names
from segnode.runtimes.cache import cached
from segnode.runtimes.session import open_session

_LOG = logging.getLogger('segnode')

# Of what is laid around the network: raise it with any change here that alters the graph.
CUSTOM_GRAPH_VERSION = 1
_PREFIX = 'segnode/'
_ENDS = ('image', 'labels', 'confidence')


def custom_graph_path(
    model: Model, size: tuple[int, int], *, confidence: bool = False, label_stride: int = 1
) -> Path:
    """Return the path of the deploy graph of a model with ``custom``, making it where need be.

    Args:
        model: with ``custom``.
        size: (H, W) of the images.
        confidence: give the second output.
        label_stride: the labels are at 1/label_stride of the input.

    Raises:
        SegnodeError: the network does not run at this size, or what it gives then is not what
            its description says; see also ``cached``.
    """
    network = model.custom
    assert network is not None
    made_from = {
        'weights': model.weights_sha256,
        'record': model.record.to_json(),
        'settings': network.settings(),
        'custom_graph_version': str(CUSTOM_GRAPH_VERSION),
        'size': f'{size[0]}x{size[1]}',
        'confidence': str(confidence),
        'label_stride': str(label_stride),
        # ONNX Runtime tells how large the output is and whether several images can be run.
        'versions': str(versions('segnode', 'onnxruntime')),
    }

    def make(path: Path) -> None:
        content = custom_graph(
            network, model.record, size, confidence=confidence, label_stride=label_stride)
        write_bytes(path, content)

    name = f'{model.name}-{size[0]}x{size[1]}' + ('-confidence' if confidence else '')
    if label_stride > 1:
        name += f'-stride{label_stride}'
    return cached(name, '.onnx', made_from, make)


def custom_graph(
    network: CustomNetwork,
    record: ModelRecord,
    size: tuple[int, int],
    *,
    confidence: bool = False,
    label_stride: int = 1,
) -> bytes:
    """Return the content of an ``.onnx`` file with the deploy graph, the record in its metadata.

    Args:
        network: in the middle.
        record: how images are prepared, and the label set.
        size: (H, W) of the images.
        confidence: give the second output.
        label_stride: the labels are at 1/label_stride of the input.

    Raises:
        SegnodeError: see ``custom_graph_path``.
    """
    theirs = network.graph()
    names = tensor_names(theirs)
    rename = {name: f'{_PREFIX}their/{name}' for name in names
              if name in _ENDS or name.startswith(_PREFIX)}
    taken = rename.get(network.input.name, network.input.name)
    given = rename.get(network.output.name, network.output.name)
    before = _Nodes(theirs.opset, 'before')
    _prepare(before, network, record, taken)

    batch = network.batch
    image = Value('image', 'uint8', (batch or 'batch', *size, 3))
    output = network.output
    if installed('onnxruntime'):
        probe = laid_around(
            theirs, before.made, (), [image], [Value(given, output.type, None)], rename)
        output, batch = _tried(probe, network, size)
    form = network.form(output)
    sides = _sides(network, form, output)
    if confidence and form.kind == 'labels':
        raise SegnodeError(
            f'{network.path}: {network.file.name} gives {output}, labels, of which there is no '
            'confidence'
        )

    after = _Nodes(theirs.opset, 'after')
    wanted = (size[0] // label_stride, size[1] // label_stride)
    if form.kind == 'labels':
        _of_labels(after, network, record, form, output, given, sides, wanted, batch)
    else:
        _of_logits(after, network, record, form, output, given, sides, wanted, batch, confidence)
    ends = [Value(name, 'uint8', (batch or 'batch', *wanted))
            for name in output_names(confidence, 0)]
    image = replace(image, shape=(batch or 'batch', *size, 3))
    content = laid_around(theirs, before.made, after.made, [image], ends, rename)
    stated = replace(
        record, input_size=size, network_args={**record.network_args, 'fixed_size': list(size)})
    return with_metadata(content, {
        RECORD_KEY: stated.to_json(),
        WEIGHTS_KEY: network.sha256,
        'segnode_graph_version': f'custom {CUSTOM_GRAPH_VERSION}',
    })


class _Nodes:
    """Nodes in the making, in operators of one version."""

    def __init__(self, opset: int, prefix: str) -> None:
        self.opset = opset
        self.made: list[bytes] = []
        self._prefix = f'{_PREFIX}{prefix}/'
        self._count = 0

    def add(self, op: str, *inputs: str, output: str = '', **attributes: Any) -> str:
        """Add a node of one output and return its name."""
        self._count += 1
        output = output or f'{self._prefix}{self._count}'
        self.made.append(node(op, inputs, [output], **attributes))
        return output

    def constant(self, value: Any, dtype: Any = np.float32) -> str:
        """Add an array and return its name. A node: no version asks for more."""
        return self.add('Constant', value=np.asarray(value, dtype))

    def cast(self, x: str, dtype: str, output: str = '') -> str:
        """Add a conversion to a type."""
        return self.add('Cast', x, output=output, to=type_number(dtype))

    def over_axes(self, op: str, x: str, axes: list[int], **attributes: Any) -> str:
        """Add an operator whose axes were an attribute before they became an input."""
        since = {'Squeeze': 13, 'ReduceSum': 13, 'ReduceMax': 18}[op]
        if self.opset < since:
            return self.add(op, x, axes=axes, **attributes)
        return self.add(op, x, self.constant(axes, np.int64), **attributes)

    def resize(
        self, x: str, sides: tuple[int, int], wanted: tuple[int, int], batch: int | None,
        channels: int, **attributes: Any,
    ) -> str:
        """Add the resizing of (N, C, *sides) to (N, C, *wanted)."""
        empty = self.constant([])
        scales = [np.float32(want / side) for side, want in zip(sides, wanted)]
        if all(float(scale) * side == want for scale, side, want in zip(scales, sides, wanted)):
            return self.add('Resize', x, empty, self.constant([1, 1, *scales]), **attributes)
        # Such a scale may be rounded to a side that is one too small, so sizes are given.
        if batch is not None:
            sizes = self.constant([batch, channels, *wanted], np.int64)
        else:
            number = self.add(
                'Gather', self.add('Shape', x), self.constant([0], np.int64), axis=0)
            sizes = self.add(
                'Concat', number, self.constant([channels, *wanted], np.int64), axis=0)
        return self.add('Resize', x, empty, empty, sizes, **attributes)


def _prepare(nodes: _Nodes, network: CustomNetwork, record: ModelRecord, output: str) -> None:
    """Turn 'image', uint8 (N, H, W, 3) BGR, into what the network takes."""
    x = nodes.cast('image', 'float32')
    axis = 3
    if network.input_layout == 'nchw':
        x, axis = nodes.add('Transpose', x, perm=[0, 3, 1, 2]), 1
    if record.color_order == 'rgb':
        x = nodes.add('Gather', x, nodes.constant([2, 1, 0], np.int64), axis=axis)
    shape = (1, 3, 1, 1) if axis == 1 else (1, 1, 1, 3)
    direction = 1 if record.color_order == 'rgb' else -1
    # As in DeployGraph: (x / 255 - mean) / std as one subtraction and one product.
    mean = np.float32(255.0) * np.asarray(record.mean, np.float32)[::direction]
    scale = np.float32(1.0) / (np.float32(255.0) * np.asarray(record.std, np.float32)[::direction])
    if mean.any():
        x = nodes.add('Sub', x, nodes.constant(mean.reshape(shape)))
    if (scale != 1).any():
        x = nodes.add('Mul', x, nodes.constant(scale.reshape(shape)))
    if network.input.type == 'float32':
        nodes.add('Identity', x, output=output)
    else:
        nodes.cast(x, network.input.type, output)


def _of_logits(
    nodes: _Nodes, network: CustomNetwork, record: ModelRecord, form: Form, output: Value,
    x: str, sides: tuple[int, int], wanted: tuple[int, int], batch: int | None, confidence: bool,
) -> None:
    """Turn logits or probabilities into 'labels' and, where asked for, 'confidence'."""
    if output.type != 'float32':
        x = nodes.cast(x, 'float32')
    axis = 1 if form.layout == 'nchw' else 3
    channels = output.shape[axis] if output.shape else ''
    resized = sides != wanted
    if axis == 3 and resized:
        x, axis = nodes.add('Transpose', x, perm=[0, 3, 1, 2]), 1
    if channels == 1:  # of the second class; the first has 0, as in a sigmoid, or what is left
        first = nodes.add('Sub', nodes.constant([1.0]), x) if form.kind == 'probabilities' \
            else nodes.add('Mul', nodes.constant([0.0]), x)
        x = nodes.add('Concat', first, x, axis=axis)
    count = len(network.classes)
    if resized and all(side % want == 0 for side, want in zip(sides, wanted)):
        factors = [side // want for side, want in zip(sides, wanted)]
        x = nodes.add('AveragePool', x, kernel_shape=factors, strides=factors)
    elif resized:
        coordinates = 'align_corners' if network.align_corners else 'half_pixel'
        x = nodes.resize(x, sides, wanted, batch, count, mode='linear',
                         coordinate_transformation_mode=coordinates)
    winner = nodes.add('ArgMax', x, axis=axis, keepdims=0)
    if network.classes != tuple(range(record.label_set.num_classes)):
        winner = nodes.add('Gather', nodes.constant(network.classes, np.int32), winner, axis=0)
    nodes.cast(winner, 'uint8', 'labels')
    if not confidence:
        return
    best = nodes.over_axes('ReduceMax', x, [axis], keepdims=1)
    if form.kind == 'logits':
        powers = nodes.add('Exp', nodes.add('Sub', x, best))
        total = nodes.over_axes('ReduceSum', powers, [axis], keepdims=1)
        best = nodes.add('Div', nodes.constant([1.0]), total)
    level = nodes.add('Add', nodes.add('Mul', best, nodes.constant([255.0])), nodes.constant(
        [0.5]))
    nodes.cast(nodes.over_axes('Squeeze', level, [axis]), 'uint8', 'confidence')


def _of_labels(
    nodes: _Nodes, network: CustomNetwork, record: ModelRecord, form: Form, output: Value,
    x: str, sides: tuple[int, int], wanted: tuple[int, int], batch: int | None,
) -> None:
    """Turn labels of any type into 'labels'; a value that is no class becomes 255."""
    x = nodes.cast(x, 'float32')  # holds every whole number up to 2^24
    if output.type in FLOATS:
        x = nodes.add('Floor', nodes.add('Add', x, nodes.constant([0.5])))
    count = len(network.classes)
    x = nodes.add('Clip', x, nodes.constant(-1.0), nodes.constant(float(count)))
    x = nodes.add('Add', x, nodes.constant([1.0]))
    if sides != wanted:
        if form.layout == '':
            shape = nodes.constant([batch or -1, 1, *sides], np.int64)
            x = nodes.add('Reshape', x, shape)
        elif form.layout == 'nhwc':
            x = nodes.add('Transpose', x, perm=[0, 3, 1, 2])
        x = nodes.resize(x, sides, wanted, batch, 1, mode='nearest', nearest_mode='floor',
                         coordinate_transformation_mode='asymmetric')
        x = nodes.over_axes('Squeeze', x, [1])
    elif form.layout:
        x = nodes.over_axes('Squeeze', x, [1 if form.layout == 'nchw' else 3])
    table = nodes.constant([IGNORE, *network.classes, IGNORE], np.int32)
    nodes.cast(nodes.add('Gather', table, nodes.cast(x, 'int32'), axis=0), 'uint8', 'labels')


def _sides(network: CustomNetwork, form: Form, output: Value) -> tuple[int, int]:
    """Return (h, w) of the output."""
    shape: tuple[Dimension, ...] = output.shape or ()
    found = {'nchw': shape[2:4], 'nhwc': shape[1:3], '': shape[1:3]}[form.layout]
    height, width = found if len(found) == 2 else ('', '')
    if not isinstance(height, int) or not isinstance(width, int):
        raise SegnodeError(
            f'{network.path}: {network.file.name} does not state the size of {output}, and '
            'running it tells where ONNX Runtime is installed: pip install onnxruntime'
        )
    return height, width


def _tried(
    probe: bytes, network: CustomNetwork, size: tuple[int, int]
) -> tuple[Value, int | None]:
    """Run the network on black images.

    Args:
        probe: the network behind its preparation.
        network: what it is.
        size: (H, W) of the images.

    Returns:
        the output with the shape that it has, and the number of images that can be run at once:
        the file's, or 1 where it leaves the number open but holds it fixed inside.

    Raises:
        SegnodeError: it does not run.
    """
    try:
        session = open_session(probe, threads=1)
    except SegnodeError as error:
        raise SegnodeError(f'{network.path}: {network.file.name}: {error}') from error
    count = network.batch or 1
    try:
        (found,) = session.run(None, {'image': np.zeros((count, *size, 3), np.uint8)})
    except Exception as error:  # its classes differ from release to release
        reason = str(error).partition('\n')[0]
        raise SegnodeError(
            f'{network.path}: {network.file.name} does not run at {size[0]}x{size[1]}: {reason}'
        ) from error
    output = replace(network.output, type=found.dtype.name, shape=found.shape)
    batch = network.batch
    if batch is None:
        try:
            (both,) = session.run(None, {'image': np.zeros((2, *size, 3), np.uint8)})
            several = both.shape == (2, *found.shape[1:])
        except Exception:  # as above; shapes that are fixed inside
            several = False
        if not several:
            _LOG.info('%s takes one image at a time', network.file.name)
            batch = 1
    return output, batch
