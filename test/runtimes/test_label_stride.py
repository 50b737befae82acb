# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Labels at a part of the network's input: what they are chosen from, in every runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segnode.errors import SegnodeError
from segnode.model import Model
from segnode.runtimes import load_runtime
from segnode.runtimes.cache import entries
import small_bayesian
import small_model

torch = pytest.importorskip('torch')
pytest.importorskip('onnxruntime')

from torch import nn  # noqa: E402

from segnode.runtimes.graph import deploy_graph  # noqa: E402

SIZE = (32, 64)
IMAGES = np.random.default_rng(0).integers(0, 256, (2, *SIZE, 3), np.uint8)


@pytest.fixture(autouse=True)
def private_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))


class _Fixed(nn.Module):
    """Logits are a 1x1 convolution of every n-th pixel."""

    def __init__(self, upsampling: str, stride: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.upsampling, self.output_stride = upsampling, stride
        self.conv = nn.Conv2d(3, 5, 1, stride=stride)

    def forward(self, x: Any) -> Any:
        return self.conv(x)


@pytest.mark.parametrize('upsampling', ['nearest', 'bilinear'])
@pytest.mark.parametrize('label_stride', [1, 4, 8])
@pytest.mark.parametrize('stride', [1, 2, 4, 8, 16])
def test_mean_where_finer_and_enlarged_where_coarser(
    upsampling: str, label_stride: int, stride: int
) -> None:
    network = _Fixed(upsampling, stride).eval()
    graph = deploy_graph(
        network, small_model.record(), SIZE, confidence=True, label_stride=label_stride)
    with torch.inference_mode():
        labels, confidence = graph(torch.from_numpy(IMAGES))
        logits = network(graph.prepare(torch.from_numpy(IMAGES)))
    n, c, h, w = logits.shape
    wanted = (SIZE[0] // label_stride, SIZE[1] // label_stride)
    if h > wanted[0]:
        factor = label_stride // stride
        logits = logits.numpy().reshape(n, c, *sum(((s, factor) for s in wanted), ()))
        logits = logits.mean((3, 5))
    elif upsampling == 'nearest':
        repeats = stride // label_stride
        logits = logits.numpy().repeat(repeats, 2).repeat(repeats, 3)
    else:
        logits = nn.functional.interpolate(logits, size=wanted, mode='bilinear').numpy()
    assert labels.shape == confidence.shape == (2, *wanted)
    assert labels.dtype == confidence.dtype == torch.uint8
    assert (labels.numpy() == logits.argmax(1)).mean() > 0.99
    powers = np.exp(logits - logits.max(1, keepdims=True))
    assert np.abs(confidence.numpy() - 255 / powers.sum(1)).max() <= 0.51


@pytest.mark.parametrize('label_stride', [4, 8])
def test_runtimes_agree(label_stride: int) -> None:
    images = small_model.frames(2)
    size = (2, 128 // label_stride, 256 // label_stride)
    found = [
        load_runtime(small_model.model(), name, label_stride=label_stride, confidence=True,
                     threads=1).run(images)
        for name in ('onnx', 'pytorch')
    ]
    assert found[0].labels.shape == found[1].labels.shape == size
    assert len(np.unique(found[0].labels)) > 1
    assert (found[0].labels == found[1].labels).mean() > 0.999
    assert found[0].confidence is not None and found[0].confidence.shape == size


def test_each_is_exported_once_and_the_released_graph_serves_the_whole() -> None:
    model = small_model.model()
    load_runtime(model, 'onnx', label_stride=1)
    assert entries() == []
    for label_stride in (8, 4, 8):
        load_runtime(model, 'onnx', label_stride=label_stride)
    assert sorted(e.path.name.rsplit('-', 1)[0] for e in entries()) == [
        'fsffnet_small-128x256-stride4', 'fsffnet_small-128x256-stride8']


def test_uncertainty_too() -> None:
    images = small_bayesian.frames(1)
    height, width = images.shape[1:3]
    found = load_runtime(small_bayesian.model(), 'pytorch', samples=3, label_stride=8).run(images)
    assert found.labels.shape == (1, height // 8, width // 8)
    assert found.uncertainty is not None
    assert found.uncertainty.shape == (1, 3, height // 8, width // 8)
    assert (found.uncertainty > 0).any()


def test_refusals(tmp_path: Path) -> None:
    model = small_model.model()
    with pytest.raises(SegnodeError, match='label_stride must be one of 1, 4, 8, not 3'):
        load_runtime(model, label_stride=3)
    espnet = Model.untrained('espnet', input_size=(40, 40))
    assert load_runtime(espnet, 'pytorch', label_stride=8).run(
        np.zeros((1, 40, 40, 3), np.uint8)).labels.shape == (1, 5, 5)
    stem = small_model.copy_to(tmp_path)
    stem.with_suffix('.safetensors').unlink()
    with pytest.raises(SegnodeError, match='serves 128x256 without confidence, labels at full '
                       'size; for 128x256 with labels at 1/4 put fsffnet_small.safetensors'):
        load_runtime(Model.load(stem), 'onnx', label_stride=4)
