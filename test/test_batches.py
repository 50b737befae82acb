# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Several cameras' frames at once: any number, and runtimes that take a fixed one."""

from __future__ import annotations

from pathlib import Path
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from segnode.model import Model
from segnode.runtimes.base import RuntimeOutput
from segnode.segmenter import Segmenter
from small_custom import describe, frames, SIZE, write_network

pytest.importorskip('onnxruntime')


class _Fixed:
    """A runtime that takes so many images and nothing else; each label is its image's pixel."""

    name, details, input_size = 'fixed', '', SIZE

    def __init__(self, batch: int | None, extras: bool = False) -> None:
        self.batch = batch
        self.extras = extras
        self.seen: list[np.ndarray] = []

    def run(self, images: np.ndarray) -> RuntimeOutput:
        assert self.batch in (None, len(images))
        assert images.flags.c_contiguous
        self.seen.append(images)
        labels = images[..., 0] % 11
        if not self.extras:
            return RuntimeOutput(labels)
        return RuntimeOutput(
            labels, images[..., 1].copy(),
            images.transpose(0, 3, 1, 2).astype(np.float32) / 1000)

    def close(self) -> None:
        """Have nothing to give back."""


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Model:
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    write_network(tmp_path / 'net.onnx')
    return Model.load(describe(tmp_path / 'mine.yaml', 'net.onnx'))


@pytest.mark.parametrize('batch, runs', [(None, 1), (1, 5), (2, 3), (4, 2), (5, 1), (8, 1)])
@pytest.mark.parametrize('extras', [False, True])
def test_it_is_split_and_filled_up(
    model: Model, batch: int | None, runs: int, extras: bool
) -> None:
    images = frames(5)
    runtime = _Fixed(batch, extras)
    found = Segmenter(model, runtime).segment_batch(images)
    assert len(found) == 5 and len(runtime.seen) == runs
    for image, one in zip(images, found):
        assert (one.labels == image[..., 0] % 11).all()
        assert (one.confidence is None) == (one.uncertainty is None) == (not extras)
        if one.confidence is not None and one.uncertainty is not None:
            assert (one.confidence == image[..., 1]).all()
            np.testing.assert_allclose(one.uncertainty.entropy, image[..., 1] / 1000, rtol=1e-6)
    if batch:
        assert not runtime.seen[-1][5 - batch * (runs - 1):].any()  # black ones, nobody's
    single = runtime.seen.copy()
    Segmenter(model, runtime).segment(images[0])
    assert len(runtime.seen) == len(single) + 1


def test_one_image_is_not_copied(model: Model) -> None:
    for batch in (None, 1):
        runtime = _Fixed(batch)
        (image,) = frames(1)
        Segmenter(model, runtime).segment(image)
        assert np.shares_memory(runtime.seen[0], image)


@pytest.mark.parametrize('batch', [1, 3])
def test_a_file_of_a_fixed_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    """What onnx runs of a file that takes so many is what it runs of one that takes any."""
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    images = frames(4, (40, 50))
    masks = []
    for number in (None, batch):
        write_network(tmp_path / 'net.onnx', batch=number)
        segmenter = Segmenter.load(describe(tmp_path / 'mine.yaml', 'net.onnx'), threads=1)
        assert segmenter.runtime.batch == number
        masks.append([found.labels for found in segmenter.segment_batch(images)])
    assert all((a == b).all() for a, b in zip(*masks))
    assert len(np.unique(masks[0])) > 3


def test_the_released_model_without_pytorch(camvid: Path) -> None:
    """From the .onnx alone: 1 to 5 frames in one run have the labels that each has alone."""
    program = f"""
import sys
from pathlib import Path
sys.modules['torch'] = sys.modules['onnx'] = None
import cv2
from segnode.segmenter import Segmenter
images = [cv2.imread(str(path))
          for path in sorted(Path({str(camvid)!r}, 'val', 'images').iterdir())[::20][:5]]
assert len(images) == 5
segmenter = Segmenter.load('fsffnet_camvid', runtime='onnx', threads=1)
assert segmenter.runtime.batch is None
alone = [segmenter.segment(image).labels for image in images]
assert len(set(alone[0].ravel())) > 4
import numpy as np
import onnxruntime
from segnode.fitting import fit_image
session = onnxruntime.InferenceSession(
    segmenter.model.onnx_path, providers=['CPUExecutionProvider'])
fitted = np.stack([fit_image(image, segmenter.input_size)[0] for image in images])
for count in range(1, 6):
    together = segmenter.segment_batch(images[:count])
    assert len(together) == count
    # The graph takes them together too, which the runtime does on a GPU.
    (labels,) = session.run(None, {{'image': fitted[:count]}})
    for index, found in enumerate(together):
        assert (alone[index] == found.labels).all(), count
        single = segmenter.runtime.run(fitted[index : index + 1]).labels[0]
        assert (single == labels[index]).mean() > 0.9999, count
print('same')
"""
    done: Any = subprocess.run(
        [sys.executable, '-c', program], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and done.stdout == 'same\n', done.stderr
