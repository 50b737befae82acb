# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The deploy graph of every network gives PyTorch's labels at the sizes that it is used at."""

from __future__ import annotations

from collections.abc import Iterator
import functools
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip('torch')
pytest.importorskip('onnx')
pytest.importorskip('onnxruntime')
cv2 = pytest.importorskip('cv2')

from networks.network_cases import Balanced, onnx_content, settled  # noqa: E402

from segnode.labels import load_label_set  # noqa: E402
from segnode.networks.zoo import create, NETWORKS  # noqa: E402
from segnode.record import ModelRecord  # noqa: E402
from segnode.road_scene import RoadScene  # noqa: E402
from segnode.runtimes.graph import deploy_graph, DeployGraph  # noqa: E402
from segnode.runtimes.session import open_session  # noqa: E402

# At 640x896 the map at 1/32 is 20x28 and the one at 1/128 is 5x7: no number of bins divides both
# sides.
SIZES = ((512, 1024), (640, 896))
CLASSES = 19
# The main network, and one of every way to pool to a grid or over a window; half a minute in all.
# The others, which take five minutes more, are left to --exhaustive.
SLOW = (
    'fsffnet', 'sdbnetv2', 'fast_scnn', 'icnet', 'df1seg', 'swiftnet', 'ddrnet23_slim', 'pidnet_s'
)


def _cases() -> Iterator[Any]:
    for name in NETWORKS:
        for height, width in SIZES:
            mark = pytest.mark.slow if name in SLOW else pytest.mark.exhaustive
            yield pytest.param(name, (height, width), id=f'{name}-{height}x{width}', marks=mark)


@pytest.fixture(scope='module')
def picture(request: pytest.FixtureRequest) -> np.ndarray:
    """Return a BGR photograph of a road where there is one, else a rendered picture."""
    try:
        folder = request.getfixturevalue('data_root') / 'cityscapes_frames' / 'leftImg8bit'
    except pytest.skip.Exception:
        return RoadScene(512, 1024).frame(0)[0]
    files = sorted(folder.rglob('*.png'))
    return cv2.imread(str(files[0])) if files else RoadScene(512, 1024).frame(0)[0]


@pytest.mark.parametrize('name, size', list(_cases()))
def test_labels(name: str, size: tuple[int, int], picture: np.ndarray) -> None:
    record = ModelRecord(
        network=name, label_set=load_label_set('cityscapes'), input_size=size
    )
    image = _resized(picture, size)
    network = _network(name, picture.tobytes(), picture.shape)
    assert not any(side % network.size_multiple for side in size)
    with torch.inference_mode():
        logits = network(DeployGraph(network, record).prepare(image))
        balanced = Balanced(network, logits).eval()
        # The labels of the network as it is; its logits are not computed a second time.
        rest = DeployGraph(
            _Given((logits - balanced.mean) * balanced.scale), record,
            upsampling=network.upsampling, output_stride=network.output_stride,
        )
        expected = rest(image).numpy()
    content = onnx_content(deploy_graph(balanced, record, size), image)
    (labels,) = open_session(content, threads=1).run(None, {'image': image.numpy()})
    assert labels.shape == expected.shape == (1, *size) and labels.dtype == np.uint8
    shares = np.bincount(expected.ravel(), minlength=CLASSES) / expected.size
    assert (shares > 0.001).sum() > CLASSES // 2, 'too few labels to prove anything'
    if (labels == expected).mean() >= 0.999:
        return
    # Max-unpooling puts each value where a comparison of floats says, which rounding decides where
    # two are close: PyTorch's own float32 then lacks as many of float64's labels as the export.
    with torch.inference_mode():
        exact = DeployGraph(balanced.double(), record).double()(image).numpy()
    off, torch_off = (labels != exact).mean(), (expected != exact).mean()
    assert torch_off > 0.0003, f'rounding is no excuse: {off:.3%} and {torch_off:.3%} are off'
    assert off <= 2 * torch_off


class _Given(torch.nn.Module):
    """A network whose logits are known."""

    def __init__(self, logits: Any) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, x: Any) -> Any:
        return self.logits


def _resized(picture: np.ndarray, size: tuple[int, int]) -> Any:
    return torch.from_numpy(cv2.resize(picture, size[::-1], interpolation=cv2.INTER_AREA))[None]


@functools.lru_cache(maxsize=1)  # the sizes of one network come one after the other
def _network(name: str, pixels: bytes, shape: tuple[int, ...]) -> Any:
    """Return a network with random weights and with statistics of the picture."""
    record = ModelRecord(
        network=name, label_set=load_label_set('cityscapes'), input_size=(256, 256)
    )
    whole = _resized(np.frombuffer(pixels, np.uint8).reshape(shape), (256, 512))
    halves = torch.cat([whole[:, :, :256], whole[:, :, 256:]])
    prepared = DeployGraph(torch.nn.Identity(), record).prepare(halves)
    return settled(lambda: create(name, CLASSES), lambda made: prepared)
