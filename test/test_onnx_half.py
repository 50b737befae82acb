# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""A deploy graph in float16: its types, its labels beside PyTorch's own halves, its refusals."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

from segnode.errors import SegnodeError
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
    return path.read_bytes()


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

    content = export_onnx(
        small_model.model(), path=tmp_path / 'a.onnx', confidence=True).read_bytes()
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
    content = export_onnx(model, path=tmp_path / 'a.onnx').read_bytes()
    half = in_half_precision(content)
    graph = onnx.load_model_from_string(half).graph
    types = {**_types(half), **{t.name: t.data_type for t in graph.initializer}}
    resizes = [node for node in graph.node if node.op_type == 'Resize']
    assert resizes
    for node in resizes:
        assert types[node.input[0]] == FLOAT16
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
