# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Every encoding and any size through a running node: message in, mask out, over DDS."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('onnxruntime')

from sensor_msgs.msg import CameraInfo, Image

import faulty_model
from probe import Collector, Probe, until
from processes import Process
from segnode.ros.image_codec import decode_image, ENCODINGS
from segnode.segmenter import Segmenter


@pytest.fixture(scope='module')
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the path of a small, fast model."""
    return faulty_model.write(tmp_path_factory.mktemp('model'))


@pytest.fixture(scope='module')
def segmenter(model: Path) -> Iterator[Segmenter]:
    """Return what the node has inside, in this process."""
    segmenter = Segmenter.load(model, runtime='onnx', threads=1)
    yield segmenter
    segmenter.close()


@pytest.fixture(scope='module')
def node(model: Path, start_module_segment: Callable[..., Process]) -> Iterator[Process]:
    """Start one node for the module."""
    process = start_module_segment(model=model, runtime='onnx')
    process.wait_for('active:', 90)
    yield process
    assert process.stop() == 0
    assert 'skipped' not in process.output and 'Traceback' not in process.output


@pytest.fixture(scope='module')
def camera(probe: Probe, node: Process) -> Iterator[Any]:
    """Return a publisher that the node is subscribed to."""
    publisher = probe.publisher()
    until(publisher.get_subscription_count)
    yield publisher
    probe.node.destroy_publisher(publisher)


def message(probe: Probe, encoding: str, height: int, width: int, *, padding: int = 0,
            big: int = 0, seed: int = 0) -> Image:
    """Return an image of smooth noise in an encoding."""
    marks = {'rgba': 4, 'bgra': 4, 'C4': 4, 'rgb': 3, 'bgr': 3, 'C3': 3, 'yuv': 2, 'uyv': 2}
    found = () if 'bayer' in encoding else [marks[mark] for mark in marks if mark in encoding]
    channels = (found[0] if found else 1) * (2 if '16' in encoding else 1)
    rows = height * 3 // 2 if encoding in ('nv12', 'nv21') else height
    step = width * channels + padding
    data = np.random.default_rng(seed).integers(0, 256, rows * step, np.uint8)
    return Image(header=probe.header(), height=height, width=width, encoding=encoding,
                 is_bigendian=big, step=step, data=data.tobytes())


def check(sent: Image, mask: Image, segmenter: Segmenter, bits: int = 16) -> None:
    """Compare a mask with what the Segmenter makes of the decoded picture."""
    assert mask.header == sent.header
    assert (mask.height, mask.width, mask.encoding) == (sent.height, sent.width, 'mono8')
    expected = segmenter.segment(decode_image(sent, bits)).labels
    assert len(np.unique(expected)) > 1, 'a test of one label tests nothing'
    np.testing.assert_array_equal(
        np.frombuffer(mask.data, np.uint8).reshape(expected.shape), expected)


def exchanged(probe: Probe, camera: Any, labels: Collector, sent: Image) -> Image:
    """Send an image once and return its mask; the first exchange has been made before."""
    camera.publish(sent)
    return labels.answer_to(sent)


def test_every_encoding_and_size(probe: Probe, camera: Any, segmenter: Segmenter) -> None:
    """One after the other in one stream, each of another size, padded and in both byte orders."""
    with probe.collect('segmentation/labels') as labels:
        probe.exchange(camera, lambda: message(probe, 'bgr8', 24, 32), labels)
        for number, encoding in enumerate(ENCODINGS):
            height, width = 24 + 2 * number, 64 + 6 * number
            for padding, big in ((0, 0), (5, 1)):
                sent = message(probe, encoding, height, width, padding=padding, big=big,
                               seed=number)
                check(sent, exchanged(probe, camera, labels, sent), segmenter)
        for height, width in ((1, 300), (300, 1), (3, 3), (2, 1500), (1080, 1920), (128, 256)):
            sent = message(probe, 'bgr8', height, width, seed=height)
            check(sent, exchanged(probe, camera, labels, sent), segmenter)


def test_bits_in_use_of_sixteen(probe: Probe, camera: Any, segmenter: Segmenter) -> None:
    """A 12-bit camera that does not shift its values, put right while the node runs."""
    with probe.collect('segmentation/labels') as labels:
        probe.exchange(camera, lambda: message(probe, 'bgr8', 24, 32), labels)
        for encoding in ('mono16', 'bayer_rggb16'):
            sent = message(probe, encoding, 60, 80)
            values = np.frombuffer(sent.data, np.uint16) >> 4
            sent.data = values.tobytes()
            assert probe.set_parameter('image_bits', 12) == (True, '')
            check(sent, exchanged(probe, camera, labels, sent), segmenter, bits=12)
        assert not probe.set_parameter('image_bits', 17)[0]
        assert probe.set_parameter('image_bits', 16) == (True, '')


def test_the_calibration_fits_the_mask(probe: Probe, camera: Any) -> None:
    """A driver that publishes half-size images with the calibration of the sensor's full size."""
    publisher = probe.publisher('camera_info', kind=CameraInfo)
    until(publisher.get_subscription_count)
    info = CameraInfo(height=480, width=640, k=[500.0, 0, 319.5, 0, 510.0, 239.5, 0, 0, 1])
    with probe.collect('segmentation/camera_info', CameraInfo) as infos, \
            probe.collect('segmentation/labels') as labels:
        def both() -> Image:
            sent = message(probe, 'bgr8', 240, 320)
            info.header = sent.header
            publisher.publish(info)
            return sent

        sent, got, mask = probe.exchange(camera, both, infos, labels)
        # The first one may be of an image that came before its calibration.
        sent, got, mask = probe.exchange(camera, both, infos, labels)
    assert got.header == sent.header == mask.header
    assert (got.height, got.width) == (mask.height, mask.width) == (240, 320)
    np.testing.assert_allclose(got.k, [250.0, 0, 159.5, 0, 255.0, 119.5, 0, 0, 1])
    probe.node.destroy_publisher(publisher)
