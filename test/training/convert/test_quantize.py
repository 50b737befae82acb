# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""int8: which layers, which ranges, and the arithmetic against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from segnode.onnx_compact import read_deploy_graph
from segnode.runtimes.session import open_session
import small_model

torch = pytest.importorskip('torch')
onnx = pytest.importorskip('onnx')
pytest.importorskip('onnxruntime')
pytest.importorskip('tqdm')

from onnx import helper, numpy_helper, TensorProto  # noqa: E402

from training.convert import quantize  # noqa: E402
from training.convert.graphs import LOGITS, with_logits, with_outputs  # noqa: E402
from training.convert.quantize import (  # noqa: E402
    calibrate,
    clipped_at,
    in_half,
    Layer,
    layers,
    quantized,
    quantized_weight,
    Range,
    rounded_up,
)

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (3, 1, 4, 6, 3), np.uint8)


def _graph() -> tuple[bytes, dict[str, np.ndarray]]:
    """Cast, transpose, three convolutions, the middle one seen twice, choice of the class."""
    weights = {
        'first': RNG.normal(size=(4, 3, 1, 1)), 'middle': RNG.normal(size=(4, 4, 1, 1)),
        'last': RNG.normal(size=(5, 8, 1, 1)),
    }
    tensors = {name: values.astype(np.float32) / 50 for name, values in weights.items()}
    tensors['bias'] = RNG.normal(size=4).astype(np.float32)

    def node(kind: str, inputs: list[str], output: str, **more: object) -> onnx.NodeProto:
        return helper.make_node(kind, inputs, [output], output, **more)

    nodes = [
        node('Cast', ['image'], 'float', to=TensorProto.FLOAT),
        node('Transpose', ['float'], 'x', perm=[0, 3, 1, 2]),
        node('Conv', ['x', 'first'], 'a'),
        node('Conv', ['a', 'middle', 'bias'], 'b'),
        node('Conv', ['a', 'middle', 'bias'], 'c'),
        node('Sigmoid', ['c'], 'd'),
        node('Concat', ['b', 'd'], 'e', axis=1),
        node('Conv', ['e', 'last'], 'f'),
        node('Relu', ['f'], 'g'),
        node('ArgMax', ['g'], 'h', axis=1, keepdims=0),
        node('Cast', ['h'], 'labels', to=TensorProto.UINT8),
    ]
    graph = helper.make_graph(
        nodes, 'g', [helper.make_tensor_value_info('image', TensorProto.UINT8, ['n', 4, 6, 3])],
        [helper.make_tensor_value_info('labels', TensorProto.UINT8, ['n', 4, 6])],
        [numpy_helper.from_array(values, name) for name, values in tensors.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString(), tensors


def _pointwise(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    return np.einsum('nchw,oc->nohw', x, weight[:, :, 0, 0])


def test_the_ends_stay_in_float() -> None:
    content, _ = _graph()
    assert layers(content) == [Layer('b', 'a', 'middle'), Layer('c', 'a', 'middle')]
    content = read_deploy_graph(small_model.model().onnx_path)  # type: ignore[arg-type]
    found = [layer.name for layer in layers(content)]
    convolutions = [
        node.name for node in onnx.load_model_from_string(content).graph.node
        if node.op_type == 'Conv'
    ]
    assert len(found) > 70
    assert convolutions[0] not in found, 'it sees the image'
    assert convolutions[-1] not in found, 'it makes the logits'
    assert convolutions[1:-1] == found


def test_ranges_are_what_the_tensors_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    content, tensors = _graph()
    x = IMAGES[:, 0].transpose(0, 3, 1, 2).astype(np.float32)
    a = _pointwise(x, tensors['first'])
    for together in (2**28, 1):  # in one pass over the frames, and in one for each tensor
        monkeypatch.setattr(quantize, 'TOGETHER', together)
        found = calibrate(content, ['a', 'd', 'a'], IMAGES)
        assert list(found) == ['a', 'd']
        assert found['a'].largest == pytest.approx(np.abs(a).max(), rel=1e-5)
        assert np.allclose(np.sort(found['a'].samples), np.sort(np.abs(a).ravel()), rtol=1e-4,
                           atol=1e-5)
        assert (found['a'].elements, found['a'].pixels) == (4 * 4 * 6, 4 * 6)
        assert 0 < found['d'].largest <= 1
    monkeypatch.setattr(quantize, 'SAMPLES', 10)
    (few,) = calibrate(content, ['a'], IMAGES).values()
    assert few.samples.shape == (30,) and few.largest == pytest.approx(np.abs(a).max(), rel=1e-5)


def test_bounds() -> None:
    even = Range(127.0, np.arange(128, dtype=np.float32), 128, 128)
    assert clipped_at({'t': even}, 'max') == {'t': 127.0}
    # Whole numbers up to 127 are met exactly by a step of 1, and by no smaller bound.
    assert clipped_at({'t': even}, 'mse') == {'t': 127.0}
    values = np.concatenate([RNG.uniform(0, 1, 1_000_000), [4.0]]).astype(np.float32)
    bound = clipped_at({'t': Range(4.0, values, 1, 1)}, 'mse')['t']
    assert 0.99 <= bound < 1.5, 'one stray value must not coarsen all others'


def test_weights_have_a_scale_per_channel() -> None:
    weight = np.array([[[[0.5]], [[-1.27]]], [[[0.0]], [[0.0]]], [[[3e-3]], [[1e-3]]]], np.float32)
    values, scales = quantized_weight(weight)
    assert values.dtype == np.int8 and scales.dtype == np.float32
    assert values.reshape(3, 2).tolist() == [[50, -127], [0, 0], [127, 42]]
    assert scales == pytest.approx([0.01, 1.0, 3e-3 / 127])


def test_the_graph_computes_what_numpy_does() -> None:
    content, tensors = _graph()
    bounds = {'a': 3.0}
    (layer, _) = layers(content)
    made = quantized(content, [layer], bounds)
    outputs = open_session(with_outputs(made, ['b', 'c', 'a']), threads=1).run(
        None, {'image': IMAGES[0]})
    b, c, a = outputs
    step = np.float32(3.0) / 127
    rounded = np.clip(np.round(a / step), -128, 127) * step
    values, scales = quantized_weight(tensors['middle'])
    weight = values * scales.reshape(-1, 1, 1, 1)
    bias = tensors['bias'].reshape(1, -1, 1, 1)
    assert np.allclose(b, _pointwise(rounded, weight) + bias, atol=1e-4)
    assert np.allclose(c, _pointwise(a, tensors['middle']) + bias, atol=1e-4), 'left in float'
    assert np.abs(b - c).max() > 1e-3


def test_scales_in_float16_cut_nothing_off() -> None:
    exact = np.float32([0.1, 1e-3, 3e-6, 1e-9, 1.0])
    scales = rounded_up(exact, np.dtype(np.float16))
    assert scales.dtype == np.float16 and (scales.astype(np.float32) >= exact).all()
    assert (scales[:3].astype(np.float32) < exact[:3] * 1.02).all() and scales[4] == 1
    assert (rounded_up(exact, np.dtype(np.float32)) == exact).all()
    weight = RNG.normal(size=(3, 4, 1, 1)).astype(np.float16) * np.float16(1e-3)
    values, scales = quantized_weight(weight)
    assert scales.dtype == np.float16 and np.abs(values).max(axis=(1, 2, 3)).min() > 115
    back = values.astype(np.float32) * scales.astype(np.float32).reshape(-1, 1, 1, 1)
    assert np.abs(back - weight).max() <= 0.51 * scales.max()


def test_what_is_left_may_be_in_float16() -> None:
    """As written: weights, scales and biases in float16, and the arithmetic NumPy's."""
    content, tensors = _graph()
    halved = in_half(content)
    (layer, _) = layers(halved)
    bound = 3.0
    made = quantized(halved, [layer], {layer.input: bound})
    model = onnx.load_model_from_string(made)
    onnx.checker.check_model(model, full_check=True)
    stored = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    assert TensorProto.FLOAT not in {
        kind for name, kind in stored.items() if not name.endswith('/int8')}
    assert list(stored.values()).count(TensorProto.INT8) == 3, 'a weight and two zeros'
    kinds = [node.op_type for node in model.graph.node]
    assert kinds.count('QuantizeLinear') == 1 and kinds.count('DequantizeLinear') == 2
    outputs = open_session(with_logits(made), threads=1).run(None, {'image': IMAGES[0]})
    x = IMAGES[0].transpose(0, 3, 1, 2).astype(np.float32)
    a = _pointwise(x, tensors['first'])
    step = np.float32(rounded_up(np.float32(bound / 127), np.dtype(np.float16)))
    values, scales = quantized_weight(tensors['middle'].astype(np.float16))
    weight = values * scales.astype(np.float32).reshape(-1, 1, 1, 1)
    bias = tensors['bias'].reshape(1, -1, 1, 1)
    b = _pointwise(np.clip(np.round(a / step), -128, 127) * step, weight) + bias
    c = _pointwise(a, tensors['middle']) + bias
    logits = _pointwise(np.concatenate([b, 1 / (1 + np.exp(-c))], 1), tensors['last'])
    assert np.abs(outputs[1] - np.maximum(logits, 0)).max() < 0.02 * np.abs(logits).max()


def test_one_pair_for_a_tensor_however_many_see_it() -> None:
    content, _ = _graph()
    graph = onnx.load_model_from_string(quantized(content, layers(content), {'a': 3.0})).graph
    kinds = [node.op_type for node in graph.node]
    assert kinds.count('QuantizeLinear') == 1
    assert kinds.count('DequantizeLinear') == 2, 'of the tensor and of the weight'
    stored = {tensor.name: tensor.data_type for tensor in graph.initializer}
    assert 'middle' not in stored and stored['middle/int8'] == TensorProto.INT8
    assert stored['bias'] == TensorProto.FLOAT, 'TensorRT takes no int32 bias'
    zero = next(t for t in graph.initializer if t.name == 'a/zero')
    assert numpy_helper.to_array(zero) == 0 and zero.data_type == TensorProto.INT8


def test_logits_are_what_the_class_is_chosen_from() -> None:
    content, _ = _graph()
    session = open_session(with_logits(content), threads=1)
    assert [output.name for output in session.get_outputs()] == ['labels', LOGITS]
    labels, logits = session.run(None, {'image': IMAGES[0]})
    assert logits.dtype == np.float32 and logits.shape == (1, 5, 4, 6)
    assert (labels == logits.argmax(1)).all()


@pytest.mark.parametrize('half', [False, True])
def test_tensorrt_takes_it(half: bool) -> None:
    """With the rest in float16 as well."""
    pytest.importorskip('tensorrt_rtx_bindings', reason='TensorRT for RTX is not installed')
    from segnode.runtimes.tensorrt_build import build_plan

    path = small_model.model().onnx_path
    assert path is not None
    content = read_deploy_graph(path)
    found = layers(content)
    ranges = calibrate(content, [layer.input for layer in found], small_model.frames(2)[:, None])
    bounds = clipped_at(ranges, 'mse')
    if half:
        by_name = {layer.name: bounds[layer.input] for layer in found}
        content = in_half(content)
        found = layers(content)
        bounds = {layer.input: by_name[layer.name] for layer in found}
    made = quantized(content, found, bounds)
    shape = (1, *small_model.SIZE, 3)
    plan = build_plan(made, {'image': (shape, shape, shape)})
    assert plan.inputs['image'].type == plan.outputs['labels'].type == 'uint8'
    assert plan.layers > 500, 'a quantizing layer and two more for each convolution'
