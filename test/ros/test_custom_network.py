# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""A network of somebody else in the node, and masks of another size, over DDS."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('onnxruntime')

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo

from probe import facts, Probe, statuses, until
from processes import Process
from segnode.fitting import at_size
from segnode.pictures import blend
from segnode.segmenter import Segmenter
from small_custom import CONVENTIONS, describe, frames, write_network

IMAGE = frames(1, (60, 80))[0]


@pytest.mark.parametrize('labels_at, size', [('image', (60, 80)), ('1/4', (8, 16))])
def test_masks_are_those_of_the_segmenter(
        probe: Probe, start_segment: Callable[..., Process], tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch, labels_at: str, size: tuple[int, int]) -> None:
    """Labels and colours are of the size asked for, the overlay of the image's."""
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    write_network(tmp_path / 'net.onnx', names=('image', 'labels'), stride=4)
    path = describe(tmp_path / 'mine.yaml', 'net.onnx', input=CONVENTIONS['raw bgr'][0])
    node = start_segment(model=path, labels_at=labels_at, allow_random_weights=False)
    probe.until_state('active', 60)
    camera = probe.publisher()
    info = probe.node.create_publisher(CameraInfo, 'camera_info', QoSProfile(depth=5))
    until(camera.get_subscription_count)
    until(info.get_subscription_count)
    calibration = CameraInfo(height=60, width=80, k=[100.0, 0, 39.5, 0, 100.0, 29.5, 0, 0, 1.0])

    def image_with_calibration():
        """Send the calibration, return the image that it is of."""
        message = probe.image(IMAGE)
        calibration.header = message.header
        info.publish(calibration)
        return message

    with probe.collect('segmentation/labels') as labels, \
            probe.collect('segmentation/color') as colors, \
            probe.collect('segmentation/overlay') as overlays, \
            probe.collect('segmentation/camera_info', CameraInfo) as infos, \
            probe.collect('/diagnostics', DiagnosticArray) as diagnostics:
        # The image may overtake its calibration, which then is not there for its mask.
        sent, label, color, overlay, found_info = probe.exchange(
            camera, image_with_calibration, labels, colors, overlays, infos)
        until(lambda: statuses(diagnostics))
        known = facts(statuses(diagnostics)[-1])
    assert sent.header == label.header == color.header == overlay.header == found_info.header
    assert (label.height, label.width) == (color.height, color.width) == size
    mask = np.frombuffer(label.data, np.uint8).reshape(size)
    segmenter = Segmenter.load(path, labels_at=labels_at, threads=1)
    assert (mask == segmenter.segment(IMAGE).labels).all()
    assert len(np.unique(mask)) > 2
    palette = segmenter.label_set.palette
    assert (np.frombuffer(color.data, np.uint8).reshape(*size, 3) == palette[mask]).all()
    assert (overlay.height, overlay.width) == (60, 80)
    whole = at_size(mask, (60, 80))
    expected = blend(IMAGE[..., ::-1].copy(), palette[whole], whole, 0.5)
    assert (np.frombuffer(overlay.data, np.uint8).reshape(60, 80, 3) == expected).all()
    # The optical axis goes through the middle of the image, and of the mask.
    assert (found_info.height, found_info.width) == size
    np.testing.assert_allclose(
        [found_info.k[2], found_info.k[5]], [size[1] / 2 - 0.5, size[0] / 2 - 0.5])
    assert (known['model'], known['labels at']) == ('mine', labels_at)
    for publisher in (camera, info):
        probe.node.destroy_publisher(publisher)
    assert node.stop() == 0


def test_a_mismatch_is_one_sentence(
        probe: Probe, start_segment: Callable[..., Process], tmp_path: Path) -> None:
    """The node stays, unconfigured; its diagnostics show both sides."""
    write_network(tmp_path / 'net.onnx', classes=19)
    path = describe(tmp_path / 'mine.yaml', 'net.onnx')
    node = start_segment(model=path)
    node.wait_for('19 channels, but label_set has 11 classes', 60)
    probe.until_state('unconfigured')
    with probe.collect('/diagnostics', DiagnosticArray) as diagnostics:
        until(lambda: statuses(diagnostics))
    assert "net.onnx gives 'output' float32 [1, 19, 4, 8]" in statuses(diagnostics)[-1].message
    assert node.stop() == 0
