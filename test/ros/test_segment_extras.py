# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Topics of the segment node that exist only where asked for or where a package is installed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

pytest.importorskip('rclpy')

from probe import Probe, until
from processes import Process
from segnode.labels import load_label_set

IMAGE = np.random.default_rng(3).integers(0, 256, (120, 160, 3), np.uint8)


@pytest.mark.slow
def test_confidence_only_where_asked_for(
        probe: Probe, start_segment: Callable[..., Process]) -> None:
    """With confidence:=true the topic is there, as large as the image; else it does not exist."""
    node = start_segment()
    probe.until_state('active', 90)
    def names() -> set[str]:
        return {name for name, _ in probe.node.get_topic_names_and_types()}

    until(lambda: '/segmentation/labels' in names())
    assert '/segmentation/confidence' not in names()
    assert node.stop() == 0
    pytest.importorskip('torch')  # the released graph has labels only; this one is exported
    node = start_segment(confidence=True)
    probe.until_state('active', 90)
    camera = probe.publisher()
    until(camera.get_subscription_count)
    with probe.collect('segmentation/confidence') as confidences, \
            probe.collect('segmentation/labels') as labels:
        sent, confidence, _ = probe.send_and_wait(camera, IMAGE, confidences, labels)
    assert confidence.header == sent.header
    assert (confidence.height, confidence.width, confidence.encoding) == (120, 160, 'mono8')
    values = np.frombuffer(confidence.data, np.uint8)
    # The winner of 11 classes has at least 1/11 of the probability.
    assert values.min() >= 255 // 11 and len(np.unique(values)) > 5
    probe.node.destroy_publisher(camera)
    assert node.stop() == 0


def test_label_info_is_latched(probe: Probe, start_segment: Callable[..., Process]) -> None:
    """Whoever comes late still gets the class names."""
    messages = pytest.importorskip('vision_msgs.msg', reason='vision_msgs has no wheel')
    from rclpy.qos import DurabilityPolicy, QoSProfile
    node = start_segment()
    probe.until_state('active', 90)
    got: list = []
    subscription = probe.node.create_subscription(
        messages.LabelInfo, 'segmentation/label_info', got.append,
        QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL))
    until(lambda: got)
    names = {item.class_id: item.class_name for item in got[0].class_map}
    assert names == dict(enumerate(load_label_set('camvid').names))
    probe.node.destroy_subscription(subscription)
    assert node.stop() == 0
