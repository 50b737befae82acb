# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The node's label_grouping, roi, rotation and ego_mask, over DDS, against the Segmenter."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('onnxruntime')

from processes import Process
from segnode.segmenter import Segmenter
from small_custom import describe, frames, write_network


def test_they_act_and_are_named(
        probe: Any, start_segment: Callable[..., Process], tmp_path: Path) -> None:
    """Labels and colours are the Segmenter's; the label set named is that of the groups."""
    from diagnostic_msgs.msg import DiagnosticArray

    from probe import facts, statuses, until
    write_network(tmp_path / 'net.onnx', stride=1, batch=None)
    path = describe(tmp_path / 'mine.yaml', 'net.onnx')
    (image,) = frames(1, (60, 80))
    ego = np.zeros((30, 40), np.uint8)
    ego[24:] = 1
    cv2.imwrite(str(tmp_path / 'ego.png'), ego)
    given = {'roi': [0, 10, 60, 50], 'rotation': 180, 'ego_mask': tmp_path / 'ego.png',
             'label_grouping': 'driving'}
    segmenter = Segmenter.load(path, threads=1, **given)
    expected = segmenter.segment(image).labels
    assert (expected[48:] == 255).all() and (expected[:, 60:] == 255).all()
    assert expected[:48, 10:60].max() <= 5 and len(np.unique(expected)) > 3

    node = start_segment(model=path, **given)
    probe.until_state('active', 90)
    camera = probe.publisher()
    until(camera.get_subscription_count)
    with probe.collect('segmentation/labels') as labels, \
            probe.collect('segmentation/color') as colors, \
            probe.collect('/diagnostics', DiagnosticArray) as diagnostics:
        _, mask, color = probe.send_and_wait(camera, image, labels, colors)
        found = np.frombuffer(mask.data, np.uint8).reshape(60, 80)
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(
            np.frombuffer(color.data, np.uint8).reshape(60, 80, 3),
            segmenter.label_set.palette[expected])
        # An image that the region does not fit: skipped, and said; the next one is served.
        camera.publish(probe.image(image[:59]))
        node.wait_for('reaches beyond an image of 59x80')
        probe.send_and_wait(camera, image, labels)
        until(lambda: any('grouped from' in facts(s) for s in statuses(diagnostics)),
              what='diagnostics')
        told = [facts(s) for s in statuses(diagnostics) if 'grouped from' in facts(s)][0]
        assert told['label set'] == 'driving' and told['grouped from'] == 'camvid'
    assert node.stop() == 0


def test_what_cannot_be_used_is_said_by_the_transition(
        probe: Any, start_segment: Callable[..., Process], tmp_path: Path) -> None:
    """The node stays, unconfigured, and names file and entry."""
    (tmp_path / 'mine.yaml').write_text(
        'name: mine\ngroups:\n- {name: go, color: [1, 2, 3], classes: [street]}\n')
    node = start_segment(label_grouping=tmp_path / 'mine.yaml')
    node.wait_for('mine.yaml: go: "camvid" has no class \'street\'', 60)
    probe.until_state('unconfigured')
    assert node.stop() == 0
