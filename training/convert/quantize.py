# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""A deploy graph with its convolutions in int8, as QuantizeLinear and DequantizeLinear say it.

Written so that TensorRT's parser takes it and OpenVINO and ONNX Runtime run it: int8 values around
zero (TensorRT takes no other zero point and no uint8), a scale per output channel of the weights,
one for each input of a convolution, biases in float (TensorRT takes no int32 ones), and nothing
quantised behind a convolution, so that what follows it can still be fused to it.

What is not in int8 is in float32, or in float16 for a TensorRT that computes in the types that the
graph states: scales are of the type of what they scale, and so is what a convolution gives.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from segnode.onnx_half import in_half_precision
from segnode.runtimes.base import default_threads
from segnode.runtimes.session import open_session
from training.convert.graphs import initializers, with_outputs, with_shapes

LARGEST = 127  # of int8, the same on both sides of zero
SAMPLES = 4096  # values that are kept of each tensor of each frame
TOGETHER = 2**28  # bytes of tensors that are looked at in one pass over the frames
HALF_OPSET = 19  # the first whose QuantizeLinear and DequantizeLinear know float16


@dataclass(frozen=True)
class Layer:
    """A convolution that may be computed in int8.

    Args:
        name: of the node.
        input: the tensor that it takes.
        weight: the constant tensor (out, in / groups, kernel...).
    """

    name: str
    input: str
    weight: str


@dataclass(frozen=True)
class Range:
    """What a tensor held while the calibration frames ran.

    Args:
        largest: the largest absolute value.
        samples: absolute values, evenly taken from all frames, float32.
        elements: of one frame's tensor.
        pixels: height times width of it.
    """

    largest: float
    samples: np.ndarray
    elements: int
    pixels: int


def layers(content: bytes) -> list[Layer]:
    """Return the convolutions of a graph whose weights are constants, in the graph's order.

    Left out are those that stay in float for certain: the first, which sees the image itself, and
    the last ones, which make the logits.
    """
    import onnx

    graph = onnx.load_model_from_string(content).graph
    constants = initializers(graph)
    found = [
        Layer(node.name, node.input[0], node.input[1]) for node in graph.node
        if node.op_type == 'Conv' and node.input[1] in constants
    ]
    makers = {name: node for node in graph.node for name in node.output}
    ends = _next_convolutions([node.input[0] for node in graph.node if node.op_type == 'ArgMax'],
                              makers)
    return [layer for layer in found[1:] if layer.name not in ends]


def _next_convolutions(tensors: Iterable[str], makers: Mapping[str, object]) -> set[str]:
    """Return the convolutions met first on every way back from some tensors."""
    found, seen, waiting = set(), set(), list(tensors)
    while waiting:
        name = waiting.pop()
        node = makers.get(name)
        if node is None or name in seen:
            continue
        seen.add(name)
        if node.op_type == 'Conv':  # type: ignore[attr-defined]
            found.add(node.name)  # type: ignore[attr-defined]
        else:
            waiting += node.input  # type: ignore[attr-defined]
    return found


def calibrate(
    content: bytes, tensors: Collection[str], images: Iterable[np.ndarray]
) -> dict[str, Range]:
    """Run the graph and note what some of its tensors hold.

    Args:
        content: of the ``.onnx`` file.
        tensors: float32 ones.
        images: uint8 (1, H, W, 3), gone through once for each group of tensors that fits into
            memory.
    """
    names = list(dict.fromkeys(tensors))
    images = list(images)
    sizes = _sizes(content, names, images[0])
    ranges = {}
    for group in _groups(names, sizes):
        session = open_session(with_outputs(content, group), threads=default_threads())
        largest = dict.fromkeys(group, 0.0)
        samples: dict[str, list[np.ndarray]] = {name: [] for name in group}
        for image in images:
            outputs = session.run(None, {session.get_inputs()[0].name: image})
            for name, values in zip(group, outputs):
                flat = np.abs(values.ravel())
                largest[name] = max(largest[name], float(flat.max()))
                samples[name].append(flat[_places(flat.size)])
        for name in group:
            shape = sizes[name]
            ranges[name] = Range(
                largest[name], np.concatenate(samples[name]), int(np.prod(shape)),
                int(np.prod(shape[2:])),
            )
    return ranges


def _places(size: int) -> np.ndarray:
    """Return where samples are taken, the same for all frames and not along a row or column."""
    if size <= SAMPLES:
        return np.arange(size)
    return np.sort(np.random.default_rng(size).integers(0, size, SAMPLES))


def _sizes(content: bytes, names: list[str], image: np.ndarray) -> dict[str, tuple[int, ...]]:
    """Return the shapes that the tensors have for one image."""
    session = open_session(with_shapes(content, names), threads=default_threads())
    shapes = session.run(None, {session.get_inputs()[0].name: image})
    return {name: tuple(map(int, shape)) for name, shape in zip(names, shapes)}


def _groups(names: list[str], sizes: Mapping[str, tuple[int, ...]]) -> list[list[str]]:
    groups: list[list[str]] = [[]]
    taken = 0
    for name in names:
        size = 4 * int(np.prod(sizes[name]))
        if groups[-1] and taken + size > TOGETHER:
            groups.append([])
            taken = 0
        groups[-1].append(name)
        taken += size
    return groups


def clipped_at(ranges: Mapping[str, Range], method: str) -> dict[str, float]:
    """Return for each tensor the absolute value that becomes 127; beyond it values are cut off.

    Args:
        ranges: see ``calibrate``.
        method: 'max' for the largest value seen; 'mse' for the bound with the smallest mean
            squared error of the samples after rounding.
    """
    if method == 'max':
        return {name: seen.largest for name, seen in ranges.items()}
    return {name: _least_error(seen) for name, seen in ranges.items()}


METHODS = ('max', 'mse')


def _least_error(seen: Range) -> float:
    values = seen.samples.astype(np.float64)
    bounds = seen.largest * np.linspace(0.2, 1.0, 33)
    errors = []
    for bound in bounds:
        step = max(bound / LARGEST, 1e-12)
        rounded = np.minimum(np.round(values / step), LARGEST) * step
        errors.append(float(np.mean((rounded - values) ** 2)))
    return float(bounds[int(np.argmin(errors))])


def in_half(content: bytes) -> bytes:
    """Return the graph in float16, see ``in_half_precision``, such that it can be quantised.

    Raises:
        SegnodeError: see ``in_half_precision``.
    """
    import onnx

    model = onnx.load_model_from_string(content)
    (opset,) = (entry.version for entry in model.opset_import if entry.domain in ('', 'ai.onnx'))
    if opset < HALF_OPSET:
        model = onnx.version_converter.convert_version(model, HALF_OPSET)
        model.ir_version = max(model.ir_version, 9)  # that came with it
    return in_half_precision(model.SerializeToString())


def quantized(content: bytes, chosen: Iterable[Layer], bounds: Mapping[str, float]) -> bytes:
    """Return the graph with the layers chosen in int8, without its metadata.

    Args:
        content: of the ``.onnx`` file, in float32 or of ``in_half``.
        chosen: of ``layers`` of this very graph.
        bounds: of each layer's input, see ``clipped_at``.
    """
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load_model_from_string(content)
    del model.metadata_props[:]
    graph = model.graph
    constants = initializers(graph)
    by_name = {layer.name: layer for layer in chosen}
    made: list[onnx.NodeProto] = []
    done: set[str] = set()

    def constant(name: str, values: np.ndarray) -> str:
        graph.initializer.append(numpy_helper.from_array(values, name))
        return name

    def activation(name: str, kind: np.dtype) -> str:
        """Put a pair of nodes behind a tensor, once; return the tensor that comes out."""
        out = f'{name}/int8/float'
        if name not in done:
            done.add(name)
            scale = constant(f'{name}/scale', rounded_up(
                np.float32(max(bounds[name], 1e-9) / LARGEST), kind))
            zero = constant(f'{name}/zero', np.int8(0))
            made.append(helper.make_node(
                'QuantizeLinear', [name, scale, zero], [f'{name}/int8'], f'{name}/quantize'))
            made.append(helper.make_node(
                'DequantizeLinear', [f'{name}/int8', scale, zero], [out], f'{name}/dequantize'))
        return out

    def weight(name: str) -> str:
        out = f'{name}/int8/float'
        if name not in done:
            done.add(name)
            values, scales = quantized_weight(weights[name])
            made.append(helper.make_node(
                'DequantizeLinear',
                [constant(f'{name}/int8', values), constant(f'{name}/scale', scales),
                 constant(f'{name}/zero', np.zeros(len(scales), np.int8))],
                [out], f'{name}/dequantize', axis=0,
            ))
        return out

    weights = {
        layer.weight: numpy_helper.to_array(constants[layer.weight])
        for layer in by_name.values()
    }
    for node in graph.node:
        layer = by_name.get(node.name)
        if layer is not None:
            kind = weights[layer.weight].dtype
            node.input[0], node.input[1] = activation(layer.input, kind), weight(layer.weight)
        made.append(node)
    del graph.node[:]
    graph.node.extend(made)
    used = {name for node in made for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def quantized_weight(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Round weights (out, ...) to int8 of -127 to 127; returns them, and scales (out,).

    Args:
        values: float32 or float16; the scales are of the same type.
    """
    wide = values.astype(np.float32)
    largest = np.abs(wide.reshape(len(wide), -1)).max(1)
    exact = np.where(largest > 0, largest / np.float32(LARGEST), np.float32(1.0))
    scales = rounded_up(exact.astype(np.float32), values.dtype)
    shape = (-1, *[1] * (values.ndim - 1))
    rounded = np.round(wide / scales.astype(np.float32).reshape(shape))
    return np.clip(rounded, -LARGEST, LARGEST).astype(np.int8), scales


def rounded_up(scales: np.ndarray, kind: np.dtype) -> np.ndarray:
    """Return float32 scales in a type, no smaller than they are, so that nothing is cut off."""
    narrow = np.asarray(scales).astype(kind)
    return np.where(
        narrow.astype(np.float32) < scales, np.nextafter(narrow, np.array(np.inf, kind)), narrow)
