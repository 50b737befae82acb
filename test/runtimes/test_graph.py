# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The deploy graph against its parts written out in NumPy, and as an ONNX file."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import small_model

torch = pytest.importorskip('torch')

from torch import nn  # noqa: E402

from segnode.runtimes.graph import deploy_graph, DeployGraph  # noqa: E402

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 8, 16, 3), np.uint8)


class _Fixed(nn.Module):
    """Logits are a 1x1 convolution of every second pixel."""

    output_stride = 2

    def __init__(self, upsampling: str) -> None:
        super().__init__()
        # Unseeded weights give every pixel one of two classes once in a while.
        torch.manual_seed(0)
        self.upsampling = upsampling
        self.conv = nn.Conv2d(3, 5, 1, stride=2)
        with torch.no_grad():
            self.conv.weight.copy_(torch.linspace(-1, 1, 15).view(5, 3, 1, 1).sin())

    def forward(self, x: Any) -> Any:
        return self.conv(x)


def _softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(1, keepdims=True))
    return np.asarray(e / e.sum(1, keepdims=True))


@pytest.mark.parametrize('color_order', ['rgb', 'bgr'])
def test_preparation(color_order: str) -> None:
    record = small_model.record(mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7), color_order=color_order)
    graph = DeployGraph(nn.Identity(), record)
    rgb = IMAGES[..., ::-1].astype(np.float64) / 255
    expected = (rgb - [0.1, 0.2, 0.3]) / [0.5, 0.6, 0.7]
    if color_order == 'bgr':
        expected = expected[..., ::-1]
    found = graph.prepare(torch.from_numpy(IMAGES))
    assert found.dtype == torch.float32
    assert np.allclose(found.numpy(), expected.transpose(0, 3, 1, 2), atol=1e-5)


def test_nearest() -> None:
    network = _Fixed('nearest').eval()
    graph = deploy_graph(network, small_model.record(), (8, 16), confidence=True)
    with torch.inference_mode():
        labels, confidence = graph(torch.from_numpy(IMAGES))
        logits = network(graph.prepare(torch.from_numpy(IMAGES))).numpy()
    logits = logits.repeat(2, 2).repeat(2, 3)
    assert labels.dtype == confidence.dtype == torch.uint8
    assert labels.shape == (2, 8, 16)
    assert (labels.numpy() == logits.argmax(1)).all()
    assert len(np.unique(labels)) > 2
    expected = 255 * _softmax(logits).max(1)
    assert np.abs(confidence.numpy() - expected).max() <= 0.51


def test_bilinear_is_enlarged_before_the_choice() -> None:
    network = _Fixed('bilinear').eval()
    graph = deploy_graph(network, small_model.record(), (8, 16), confidence=True)
    with torch.inference_mode():
        labels, confidence = graph(torch.from_numpy(IMAGES))
        logits = network(graph.prepare(torch.from_numpy(IMAGES)))
        logits = nn.functional.interpolate(logits, size=(8, 16), mode='bilinear').numpy()
    assert (labels.numpy() == logits.argmax(1)).all()
    assert np.abs(confidence.numpy() - 255 * _softmax(logits).max(1)).max() <= 0.51


def test_certainty_is_255() -> None:
    class Sure(nn.Module):

        def forward(self, x: Any) -> Any:
            return torch.cat([x * 0 + 99.0, x * 0], 1)

    graph = DeployGraph(Sure(), small_model.record(), upsampling='nearest', confidence=True)
    labels, confidence = graph(torch.from_numpy(IMAGES))
    assert (labels == 0).all() and (confidence == 85).all()  # three equal winners
    graph = DeployGraph(_One(), small_model.record(), upsampling='nearest', confidence=True)
    assert (graph(torch.from_numpy(IMAGES))[1] == 255).all()


class _One(nn.Module):

    def forward(self, x: Any) -> Any:
        return torch.cat([x[:, :1] * 0 + 99.0, x[:, :2] * 0], 1)


def test_the_exported_graph_obeys_tensorrts_rules() -> None:
    """uint8 input feeds a cast and nothing else; the output comes from a cast; nothing dynamic."""
    onnx = pytest.importorskip('onnx')
    path = small_model.model().onnx_path
    assert path is not None
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    graph = model.graph
    assert [o.domain for o in model.opset_import] in ([''], ['ai.onnx'])
    assert {n.op_type for n in graph.node if 'image' in n.input} == {'Cast'}
    assert [n.op_type for n in graph.node if 'labels' in n.output] == ['Cast']
    kinds = {n.op_type for n in graph.node}
    assert not kinds & {'Shape', 'BatchNormalization', 'Dropout', 'If', 'Loop', 'NonZero'}
    (image,), (labels,) = graph.input, graph.output
    assert image.type.tensor_type.elem_type == labels.type.tensor_type.elem_type == 2  # uint8
    sizes = [d.dim_param or d.dim_value for d in image.type.tensor_type.shape.dim]
    assert sizes == ['batch', 128, 256, 3]
    assert [d.dim_param or d.dim_value for d in labels.type.tensor_type.shape.dim][0] == 'batch'
