# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""When the class names are said: to whoever comes late, with each activation and each new model.

There is no wheel of vision_msgs. Where it is not installed, the node is given a stand-in of its
two messages, made of one that there is; when is said what, and how it is kept, is the node's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
import contextlib
import importlib.util
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip('rclpy')
pytest.importorskip('onnxruntime')

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

import faulty_model
from probe import ACTIVATE, CLEANUP, CONFIGURE, DEACTIVATE, Probe, until
from processes import Process
from segnode.label_grouping import load_grouping
from segnode.model import Model
from small_custom import describe, write_network

TOPIC = 'segmentation/label_info'
STAND_IN = """
from diagnostic_msgs.msg import DiagnosticArray as LabelInfo, DiagnosticStatus


class VisionClass:
    def __init__(self, class_id, class_name):
        self.class_id, self.class_name = class_id, class_name


def init(self, class_map=(), threshold=0.0, made=LabelInfo.__init__, **fields):
    made(self, **fields)
    self.header.frame_id = str(threshold)
    self.status += [DiagnosticStatus(name=one.class_name, hardware_id=str(one.class_id))
                    for one in class_map]


LabelInfo.__init__ = init
"""
INSTALLED = importlib.util.find_spec('vision_msgs') is not None


def kind() -> type:
    """Return the type of the topic."""
    if INSTALLED:
        from vision_msgs.msg import LabelInfo
        return LabelInfo
    return DiagnosticArray


def names(message: Any) -> dict[int, str]:
    """Return the class names by their ids."""
    if INSTALLED:
        return {one.class_id: one.class_name for one in message.class_map}
    return {int(one.hardware_id): one.name for one in message.status}


def threshold(message: Any) -> float:
    """Return the confidence below which there is no label."""
    return float(message.threshold if INSTALLED else message.header.frame_id)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Return what a node needs to find vision_msgs, or its stand-in."""
    if INSTALLED:
        return {}
    (tmp_path / 'vision_msgs').mkdir()
    (tmp_path / 'vision_msgs' / '__init__.py').touch()
    (tmp_path / 'vision_msgs' / 'msg.py').write_text(STAND_IN)
    given = os.environ.get('PYTHONPATH')
    return {'PYTHONPATH': os.pathsep.join([str(tmp_path), *([given] if given else [])])}


@contextlib.contextmanager
def listener(probe: Probe) -> Iterator[list[Any]]:
    """Yield a list of what a subscriber gets that asks for what was said before it came."""
    got: list[Any] = []
    subscription = probe.node.create_subscription(kind(), TOPIC, got.append, QoSProfile(
        depth=10, reliability=ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL))
    yield got
    probe.node.destroy_subscription(subscription)


def test_said_to_late_comers_and_anew_with_each_activation(
        probe: Probe, start_segment: Callable[..., Process], environment: dict[str, str],
        tmp_path: Path) -> None:
    """Nothing while inactive; then all groups, once for each activation, in new stamps."""
    model = faulty_model.write(tmp_path)
    label_set = Model.load(model).record.label_set
    grouping = tmp_path / 'halves.yaml'
    half = label_set.num_classes // 2
    grouping.write_text(
        'name: halves\ngroups:\n'
        f'  - {{name: low, color: [1, 2, 3], classes: {list(range(half))}}}\n'
        f'  - {{name: high, color: [4, 5, 6], classes: [{half}]}}\n')
    expected = dict(enumerate(load_grouping(grouping, label_set).groups.names))
    node = start_segment(model=model, label_grouping=grouping, runtime='onnx', autostart=False,
                         env=environment)
    assert probe.change(CONFIGURE)
    with listener(probe) as early:
        assert probe.change(ACTIVATE)
        until(lambda: len(early) == 1)
        assert names(early[0]) == expected == {0: 'low', 1: 'high'}  # 255 needs no entry
        with listener(probe) as late:
            until(lambda: len(late) == 1)
            assert late[0] == early[0]
            assert probe.change(DEACTIVATE) and probe.change(ACTIVATE)
            until(lambda: len(early) == len(late) == 2)
        assert names(early[1]) == expected
        first, second = (message.header.stamp for message in early)
        assert (second.sec, second.nanosec) > (first.sec, first.nanosec)
        assert probe.change(DEACTIVATE) and probe.change(CLEANUP)
        assert probe.change(CONFIGURE) and probe.change(ACTIVATE)
        until(lambda: len(early) == 3)
        with listener(probe) as late:
            until(lambda: late)
            assert late == [early[2]]
    assert node.stop() == 0
    assert 'Traceback' not in node.output


def test_said_anew_with_another_model(
        probe: Probe, start_segment: Callable[..., Process], environment: dict[str, str],
        tmp_path: Path) -> None:
    """Once for each model that takes over, and with the least confidence that it is used with."""
    write_network(tmp_path / 'net.onnx', stride=1, batch=None)
    model = describe(tmp_path / 'mine.yaml', 'net.onnx')
    label_set = Model.load(model).record.label_set
    node = start_segment(model=model, runtime='onnx', env={
        **environment, 'XDG_CACHE_HOME': str(tmp_path / 'cache')})
    probe.until_state('active', 90)
    with listener(probe) as got:
        until(lambda: got)
        assert names(got[0]) == dict(enumerate(label_set.names)) and threshold(got[0]) == 0.0
        assert probe.set_parameter('label_grouping', 'driving') == (True, '')
        until(lambda: len(got) == 2)
        assert names(got[1]) == dict(enumerate(load_grouping('driving', label_set).groups.names))
        for count, least in enumerate((0.5, 0.75), 3):
            assert probe.set_parameter('min_confidence', least) == (True, '')
            until(lambda count=count: len(got) == count)
            assert threshold(got[-1]) == least and names(got[-1]) == names(got[1])
        assert probe.set_parameter('overlay_alpha', 0.25) == (True, '')
        assert not probe.set_parameter('label_grouping', 'none such')[0]
    assert len(got) == 4
    assert node.stop() == 0
    assert 'Traceback' not in node.output


def test_a_model_whose_names_cannot_be_said_does_not_take_over() -> None:
    """What was published before is, of every camera, whatever the new one had done by then."""
    from segnode.ros.segment_node import SegmentNode
    told: list[tuple[str, str, str]] = []

    def channel(name: str) -> Any:
        def say(model: str) -> None:
            if (name, model) == ('left', 'new'):
                raise RuntimeError('no such publisher')
            told.append((name, 'names', model))

        return SimpleNamespace(
            change=lambda model: told.append((name, 'topics', model)), say_labels=say)

    node: Any = SimpleNamespace(_channels=[channel('front'), channel('left')])
    with pytest.raises(RuntimeError, match='no such publisher'):
        SegmentNode._adopt(node, 'old', 'new')  # type: ignore[arg-type]
    for camera in ('front', 'left'):
        last = {what: model for name, what, model in told if name == camera}
        assert last == {'topics': 'old', 'names': 'old'}
