# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The recorder: what it pairs, how much it holds, and how long it waits for the last masks."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest

from segnode.ros.pairing import Pairing
from segnode.ros.run_report import BUSY_SECONDS, FLUSH_SECONDS, RunReport

PARTS = ('image', 'color', 'overlay')


def plain(value: int, height: int = 36, width: int = 48) -> np.ndarray:
    """uint8 (H, W, 3) of one value."""
    return np.full((height, width, 3), value, np.uint8)


def test_pairs_by_stamp_whatever_the_order():
    pairing = Pairing(PARTS)
    assert pairing.add((1, 0), 'overlay', plain(3)) is None
    assert pairing.add((1, 0), 'image', plain(1)) is None
    panels = pairing.add((1, 0), 'color', plain(2))
    assert {part: int(panel[0, 0, 0]) for part, panel in panels.items()} == {
        'image': 1, 'color': 2, 'overlay': 3}
    assert (len(pairing), pairing.held) == (0, 0)


def test_older_frames_are_given_up_once_one_is_complete():
    pairing = Pairing(PARTS)
    for second in range(10):
        pairing.add((second, 0), 'image', plain(second))
    pairing.add((6, 0), 'color', plain(0))
    assert len(pairing) == 10
    assert pairing.add((6, 0), 'overlay', plain(0)) is not None
    assert len(pairing) == 3 and pairing.held == 3 * plain(0).nbytes


def test_large_frames_are_held_as_panels_and_bounded():
    pairing = Pairing(PARTS)
    for second in range(300):
        pairing.add((second, 0), 'image', plain(1, 1024, 2048))
    assert 200 < len(pairing) < 300
    assert pairing.held == len(pairing) * 320 * 640 * 3 <= 128 << 20
    pairing.add((299, 0), 'color', plain(2, 1024, 2048))
    panels = pairing.add((299, 0), 'overlay', plain(3, 1024, 2048))
    assert {panel.shape for panel in panels.values()} == {(320, 640, 3)}


def test_a_picture_that_comes_twice_counts_once():
    pairing = Pairing(PARTS)
    for _ in range(3):
        pairing.add((1, 0), 'image', plain(1))
    assert pairing.held == plain(1).nbytes


def test_pictures_of_different_sizes_are_no_frame():
    pairing = Pairing(PARTS)
    pairing.add((1, 0), 'image', plain(1))
    pairing.add((1, 0), 'color', plain(1, 37))
    assert pairing.add((1, 0), 'overlay', plain(1)) is None
    assert len(pairing) == 0


def facts(received: int, segmented: int, replaced: int) -> dict[str, str]:
    """What the node says of itself."""
    return {'frames received': str(received), 'frames segmented': str(segmented),
            'dropped: replaced by a newer frame': str(replaced)}


@pytest.mark.parametrize('recorded, said, slowest_ms, believed, seconds', [
    (10, {}, 50.0, True, FLUSH_SECONDS),                      # all there
    (9, {}, 50.0, True, 3.0),                                 # nothing known
    (6, facts(10, 6, 3), 50.0, True, BUSY_SECONDS),           # one in the network
    (6, facts(10, 6, 3), 50.0, False, 3.0),                   # but the node fell silent
    (6, facts(10, 6, 4), 50.0, True, FLUSH_SECONDS),          # all accounted for
    (5, facts(10, 6, 4), 50.0, True, 3.0),                    # a picture still on its way
    (6, facts(9, 6, 3), 5000.0, True, 15.0),                  # a slow node, one not yet there
    (6, facts(9, 6, 3), 1e6, True, BUSY_SECONDS),             # bounded
])
def test_patience(recorded, said, slowest_ms, believed, seconds):
    report = RunReport(frames_played=10, frames_recorded=recorded, facts=said)
    report.latency['total'] += [10.0, slowest_ms]
    assert report.patience(3.0, believed) == seconds


def test_rate_by_the_stamps():
    report = RunReport()
    assert report.rate is None
    for index in range(5):
        report.image_received(100 + 0.25 * index)
    assert report.rate == 4.0
    assert 'image rate          4.0 Hz' in report.table()
    assert report.to_dict()['image_rate_hz'] == 4.0


@pytest.fixture
def stand_in():
    """A node that plays both player and segment node."""
    rclpy = pytest.importorskip('rclpy')
    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node('stand_in', context=context)
    yield node
    node.destroy_node()
    context.try_shutdown()


@pytest.fixture
def topics(stand_in):
    """Its publishers by topic."""
    from diagnostic_msgs.msg import DiagnosticArray
    from rclpy.qos import DurabilityPolicy, QoSProfile
    from sensor_msgs.msg import Image
    from std_msgs.msg import UInt32
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    return {
        **{name: stand_in.create_publisher(Image, name, 10)
           for name in ('image', 'segmentation/color', 'segmentation/overlay')},
        'player/end': stand_in.create_publisher(UInt32, 'player/end', latched),
        '/diagnostics': stand_in.create_publisher(DiagnosticArray, '/diagnostics', 10),
    }


def recorder(start, folder, *parameters: str):
    """Start a recorder."""
    options = [part for parameter in (f'out:={folder}', *parameters) for part in ('-p', parameter)]
    return start('-m', 'segnode.ros.recorder_node', '--ros-args', *options)


def image_message():
    """Return an Image with a stamp."""
    from sensor_msgs.msg import Image

    from segnode.ros.image_codec import fill_image
    message = fill_image(Image(), plain(9), 'bgr8')
    message.header.stamp.sec = 5
    return message


def test_waits_for_a_node_that_still_works(start, tmp_path, topics):
    """The mask comes long after the settle time; the node says that it has the frame."""
    from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
    from std_msgs.msg import UInt32
    process = recorder(start, tmp_path, 'settle:=0.8')
    process.wait_for('recording to')
    busy = DiagnosticArray(status=[DiagnosticStatus(name='/segment: segmentation', values=[
        KeyValue(key=key, value=value) for key, value in facts(1, 0, 0).items()])])
    deadline = time.monotonic() + 60
    while not all(topic.get_subscription_count() for topic in topics.values()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    # More than once, for the recorder may match later than this side does.
    for _ in range(3):
        topics['image'].publish(image_message())
        topics['/diagnostics'].publish(busy)
        time.sleep(0.6)
    topics['player/end'].publish(UInt32(data=1))
    for _ in range(5):  # no picture meanwhile, which would be news
        time.sleep(0.6)
        topics['/diagnostics'].publish(busy)
    assert process.running, process.output
    deadline = time.monotonic() + 60
    while process.running:
        assert time.monotonic() < deadline, process.output
        for name in ('segmentation/color', 'segmentation/overlay'):
            topics[name].publish(image_message())
        time.sleep(0.6)
    assert process.wait() == 0, process.output
    assert json.loads((tmp_path / 'run.json').read_text())['frames_recorded'] == 1


def test_images_are_asked_for_once_there_are_masks(start, tmp_path, stand_in, topics):
    """A player that waits for its subscribers does not begin before the node is seen."""
    from sensor_msgs.msg import Image
    stand_in.destroy_publisher(topics['segmentation/color'])
    process = recorder(start, tmp_path)
    process.wait_for('recording to')
    deadline = time.monotonic() + 60
    while not topics['segmentation/overlay'].get_subscription_count():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(1.0)
    assert not topics['image'].get_subscription_count()
    stand_in.create_publisher(Image, 'segmentation/color', 10)
    while not topics['image'].get_subscription_count():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_simulated_time_without_a_clock_does_not_stop_it(start, tmp_path, topics):
    from std_msgs.msg import UInt32
    process = recorder(start, tmp_path, 'use_sim_time:=true', 'settle:=0.5')
    topics['player/end'].publish(UInt32(data=0))
    assert process.wait() == 0, process.output


@pytest.mark.parametrize('name', ['table.txt', 'run.json'])
def test_a_place_that_is_taken_is_told_at_the_start(name, start, tmp_path):
    pytest.importorskip('rclpy')
    (tmp_path / name).mkdir()
    process = recorder(start, tmp_path)
    assert process.wait() == 1, process.output
    assert f'error: {tmp_path / name} cannot be written: it is a folder' in process.output
    assert 'Traceback' not in process.output and 'recording to' not in process.output


def test_what_cannot_be_written_at_the_end_is_told_and_the_rest_is_there(
        start, tmp_path, topics):
    from std_msgs.msg import UInt32
    process = recorder(start, tmp_path, 'settle:=0.5')
    process.wait_for('recording to')
    (tmp_path / 'run.json').mkdir()
    topics['player/end'].publish(UInt32(data=7))
    assert process.wait() == 1, process.output
    assert f'error: {tmp_path}/run.json cannot be written: ' in process.output
    assert 'Traceback' not in process.output
    table = (tmp_path / 'table.txt').read_text()
    assert table and table in process.output
