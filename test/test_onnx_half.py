# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""A deploy graph in float16: its types, its labels beside PyTorch's own halves, its refusals."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

from segnode.errors import SegnodeError
from segnode.onnx_compact import read_deploy_graph
from segnode.runtimes.session import open_session
import small_model

torch = pytest.importorskip('torch')
onnx = pytest.importorskip('onnx')
pytest.importorskip('onnxruntime')

from segnode.onnx_half import in_half_precision  # noqa: E402
from segnode.runtimes.graph import deploy_graph, DeployGraph  # noqa: E402

FLOAT, FLOAT16, UINT8 = 1, 10, 2


def _content() -> bytes:
    path = small_model.model().onnx_path
    assert path is not None
    return read_deploy_graph(path)


def _types(content: bytes) -> dict[str, int]:
    graph = onnx.shape_inference.infer_shapes(onnx.load_model_from_string(content)).graph
    return {v.name: v.type.tensor_type.elem_type
            for v in (*graph.input, *graph.output, *graph.value_info)}


def test_the_image_is_prepared_in_float32_and_the_rest_is_float16() -> None:
    half = in_half_precision(_content())
    graph = onnx.load_model_from_string(half).graph
    types = _types(half)
    assert types['image'] == types['labels'] == UINT8
    before = True  # up to the one cast to float16
    casts = 0
    for node in graph.node:
        if node.op_type == 'Cast' and types[node.input[0]] == FLOAT:
            before = False
            casts += 1
        for name in node.output:
            if types.get(name) in (FLOAT, FLOAT16) and node.op_type != 'Constant':
                assert types[name] == (FLOAT if before else FLOAT16), node.name
    assert casts == 1
    weights = {t.data_type for t in graph.initializer if t.name.startswith('network.')}
    assert weights == {FLOAT16}
    assert len(half) < 0.6 * len(_content())


def test_labels_are_those_of_pytorchs_halves() -> None:
    """Of a network converted by torch's half() behind the preparation in float32."""
    images = small_model.frames(2)
    model = small_model.model()
    graph = deploy_graph(model.build_network(), model.record, small_model.SIZE)
    network = copy.deepcopy(graph.network).half()
    with torch.inference_mode():
        logits = network(graph.prepare(torch.from_numpy(images)).half())
        expected = DeployGraph.bytes_of(graph, torch.argmax(logits, 1, keepdim=True)).numpy()
    run = open_session(in_half_precision(_content()), threads=1)
    (labels,) = run.run(None, {'image': images})
    (whole,) = open_session(_content(), threads=1).run(None, {'image': images})
    assert (labels == expected).mean() > 0.995
    assert (labels == whole).mean() > 0.99
    assert len(np.unique(labels)) > 2


def test_confidence_is_float32_again(tmp_path: Any) -> None:
    from segnode.export import export_onnx

    content = read_deploy_graph(export_onnx(
        small_model.model(), path=tmp_path / 'a.onnx', confidence=True))
    images = small_model.frames(1)
    half = in_half_precision(content)
    types = _types(half)
    graph = onnx.load_model_from_string(half).graph
    (last,) = [node for node in graph.node if 'confidence' in node.output]
    assert types[last.input[0]] == FLOAT
    (choice,) = [node for node in graph.node if node.op_type == 'ArgMax']
    assert types[choice.input[0]] == FLOAT16
    _, found = open_session(half, threads=1).run(None, {'image': images})
    _, expected = open_session(content, threads=1).run(None, {'image': images})
    assert np.abs(found.astype(int) - expected).mean() < 0.5


def test_bilinear_logits_are_enlarged_in_float16(tmp_path: Any) -> None:
    """The factors of an enlargement stay float32, whatever is enlarged."""
    from segnode.export import export_onnx
    from segnode.labels import load_label_set
    from segnode.model import Model

    model = Model.untrained('contextnet', load_label_set('camvid'), (64, 128))
    content = read_deploy_graph(export_onnx(model, path=tmp_path / 'a.onnx'))
    half = in_half_precision(content)
    graph = onnx.load_model_from_string(half).graph
    types = {**_types(half), **{t.name: t.data_type for t in graph.initializer}}
    resizes = [node for node in graph.node if node.op_type == 'Resize']
    assert len(resizes) > 1
    for node in resizes:  # the first one makes the image smaller, before any convolution
        assert types[node.input[0]] == (FLOAT if node is resizes[0] else FLOAT16)
        assert [types[name] for name in node.input[1:] if name and name in types
                and types[name] != 7] in ([], [FLOAT])
    open_session(half, threads=1).run(None, {'image': small_model.frames(1, (64, 128))})


def test_tensorrt_takes_it() -> None:
    pytest.importorskip('tensorrt_rtx_bindings', reason='TensorRT for RTX is not installed')
    from segnode.runtimes.tensorrt_build import build_plan

    shape = (1, *small_model.SIZE, 3)
    plan = build_plan(in_half_precision(_content()), {'image': (shape, shape, shape)})
    assert plan.inputs['image'].type == plan.outputs['labels'].type == 'uint8'


def test_refusals() -> None:
    model = onnx.load_model_from_string(_content())
    tensor = next(t for t in model.graph.initializer if t.name.startswith('network.'))
    values = onnx.numpy_helper.to_array(tensor).copy()
    values.flat[0] = -1e6
    tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    with pytest.raises(SegnodeError, match=f'{tensor.name} holds 1e.06, .*largest .* 65504'):
        in_half_precision(model.SerializeToString())
    node = onnx.helper.make_node('QuantizeLinear', ['a', 'b', 'c'], ['d'])
    model.graph.node.append(node)
    with pytest.raises(SegnodeError, match='int8 values is not turned into float16'):
        in_half_precision(model.SerializeToString())


def test_it_needs_no_onnx(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a vehicle."""
    import sys

    content = _content()
    expected = in_half_precision(content)
    monkeypatch.setitem(sys.modules, 'onnx', None)
    assert in_half_precision(content) == expected


def test_what_is_squared_before_the_first_convolution_stays_float32() -> None:
    """Pixels of 255, and their squares are beyond float16."""
    from onnx import helper, numpy_helper, TensorProto

    weights = np.full((2, 3, 1, 1), [[[[1e-5]]], [[[2e-5]]]], np.float32)
    graph = helper.make_graph([
        helper.make_node('Cast', ['image'], ['x'], to=TensorProto.FLOAT),
        helper.make_node('Transpose', ['x'], ['y'], perm=[0, 3, 1, 2]),
        helper.make_node('Mul', ['y', 'y'], ['squares']),
        helper.make_node('ReduceSum', ['squares', 'channels'], ['sum'], keepdims=1),
        helper.make_node('Mul', ['sum', 'small'], ['scaled']),
        helper.make_node('Mul', ['y', 'scaled'], ['z']),
        helper.make_node('Conv', ['z', 'weights'], ['maps']),
        helper.make_node('Mul', ['maps', 'two'], ['logits']),
        helper.make_node('ArgMax', ['logits'], ['best'], axis=1, keepdims=0),
        helper.make_node('Cast', ['best'], ['labels'], to=TensorProto.UINT8),
    ], 'g', [helper.make_tensor_value_info('image', TensorProto.UINT8, ['n', 2, 2, 3])],
        [helper.make_tensor_value_info('labels', TensorProto.UINT8, ['n', 2, 2]),
         helper.make_tensor_value_info('logits', TensorProto.FLOAT, ['n', 2, 2, 2])],
        [numpy_helper.from_array(np.array([1]), 'channels'),
         numpy_helper.from_array(np.float32(1e-6), 'small'),
         numpy_helper.from_array(weights, 'weights'),
         helper.make_tensor('two', TensorProto.FLOAT, [], [2.0])])  # not as raw bytes
    content = helper.make_model(
        graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8).SerializeToString()
    half = in_half_precision(content)
    onnx.checker.check_model(onnx.load_model_from_string(half), full_check=True)
    image = np.full((1, 2, 2, 3), 255, np.uint8)
    labels, logits = open_session(half, threads=1).run(None, {'image': image})
    _, expected = open_session(content, threads=1).run(None, {'image': image})
    assert logits.dtype == np.float32 and (labels == 1).all()
    assert np.allclose(logits, expected, rtol=2e-3) and np.isfinite(logits).all()
