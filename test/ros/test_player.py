# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The player as a process over DDS: what it publishes is what the source holds."""

from __future__ import annotations

import signal
import time

import cv2
import numpy as np
import pytest

rclpy = pytest.importorskip('rclpy')

from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402
from sensor_msgs.msg import CompressedImage, Image  # noqa: E402
from std_msgs.msg import UInt32  # noqa: E402

from collecting import collecting  # noqa: E402

END = 'player/end*'


@pytest.fixture
def folder(tmp_path):
    """Six pictures of soft blobs: no two can be taken for one another, and JPEG keeps them."""
    generator = np.random.default_rng(1)
    for index in range(6):
        noise = generator.integers(0, 255, (60, 80, 3), np.uint8)
        cv2.imwrite(str(tmp_path / f'{index}.png'), 4 * (cv2.blur(noise, (15, 15)) - 95))
    return tmp_path


def player(start, *parameters):
    """Start a player that waits for two subscribers: a collector's, and that which it admits."""
    arguments = [part for parameter in (*parameters, 'wait_for_subscribers:=2')
                 for part in ('-p', parameter)]
    return start('-m', 'segnode.ros.player_node', '--ros-args', *arguments)


def received(collector, process, seconds=60, **counts):
    """Receive until the player's end and so many messages of each topic; fail with its output.

    The end and the images come on topics of their own: the one may overtake the other.
    """
    def complete():
        return collector.count('player/end') > 0 and all(
            collector.count(topic) >= count for topic, count in counts.items())
    for topic in counts:
        assert collector.admit(topic), process.output
    assert collector.spin(complete, seconds), (
        {topic: collector.count(topic) for topic in collector.messages}, process.output)


def stamps(messages):
    """Header stamps in seconds."""
    return [message.header.stamp.sec + message.header.stamp.nanosec * 1e-9
            for message in messages]


def test_every_frame_of_a_folder(start, folder):
    with collecting({'image_raw': Image, END: UInt32}) as collector:
        process = player(start, f'source:={folder}', 'rate:=20', 'frame_id:=front')
        received(collector, process, image_raw=6)
        images = collector.messages['image_raw']
        assert [message.data for message in collector.messages['player/end']] == [6]
    assert process.wait() == 0, process.output
    assert len(images) == 6
    for index, message in enumerate(images):
        expected = cv2.imread(str(folder / f'{index}.png'))
        assert (message.encoding, message.height, message.width) == ('bgr8', 60, 80)
        assert (message.step, message.is_bigendian) == (240, 0)
        assert message.header.frame_id == 'front'
        np.testing.assert_array_equal(
            np.frombuffer(message.data, np.uint8).reshape(60, 80, 3), expected)
    # A busy machine may be slower, but not faster than asked; the first one may be late alone.
    times = stamps(images)
    assert times == sorted(times) and times[-1] - times[0] >= 0.9 * 4 * 0.05


def test_frames_limit_and_loop(start, folder):
    with collecting({'image_raw': Image, END: UInt32}) as collector:
        process = player(start, f'source:={folder}', 'rate:=50', 'frames:=15', 'loop:=true')
        received(collector, process, image_raw=15)
        images = collector.messages['image_raw']
    assert process.wait() == 0
    assert len(images) == 15
    assert images[0].data == images[6].data == images[12].data != images[1].data


def test_compressed_beside_raw_and_under_the_remapped_name(start, folder):
    topics = {'camera/image': Image, 'camera/image/compressed': CompressedImage, END: UInt32}
    with collecting(topics) as collector:
        process = start('-m', 'segnode.ros.player_node', '--ros-args', '-p', f'source:={folder}',
                        '-p', 'rate:=20', '-p', 'compressed:=true', '-p',
                        'wait_for_subscribers:=4', '-r', 'image_raw:=camera/image')
        received(collector, process, **{'camera/image': 6, 'camera/image/compressed': 6})
        raw = collector.messages['camera/image']
        compressed = collector.messages['camera/image/compressed']
    assert process.wait() == 0
    assert len(raw) == len(compressed) == 6
    assert stamps(raw) == stamps(compressed)
    for message, original in zip(compressed, raw):
        assert 'jpeg' in message.format
        decoded = cv2.imdecode(np.frombuffer(message.data, np.uint8), cv2.IMREAD_COLOR)
        truth = np.frombuffer(original.data, np.uint8).reshape(decoded.shape).astype(int)
        assert np.abs(decoded - truth).mean() < 8


def test_best_effort_is_what_is_offered(start, folder):
    with collecting({'image_raw': Image}, reliable=False) as collector:
        process = player(start, f'source:={folder}', 'rate:=10', 'reliability:=best_effort',
                         'loop:=true')
        assert collector.admit('image_raw'), process.output
        assert collector.spin(lambda: collector.count('image_raw') > 2, 60), process.output
        (publisher,) = collector.node.get_publishers_info_by_topic('/image_raw')
        assert publisher.qos_profile.reliability.name == 'BEST_EFFORT'
        assert process.stop(signal.SIGTERM) == 0, process.output


@pytest.mark.parametrize('parameters, message', [
    (['source:=/nowhere/at/all'], 'there is nothing at /nowhere/at/all'),
    (['rate:=-1.0'], 'parameter rate must be 0 or more'),
    (['rate:=1e-300'], 'parameter rate must be 0 or from 0.001 Hz on'),
    (['rate:=.inf'], 'parameter rate must be 0 or from 0.001 Hz on'),
    (['rate:=fast'], 'parameter rate must be of type float'),
    (['reliability:=perhaps'], 'must be one of reliable, best_effort'),
])
def test_bad_parameters_get_one_sentence(start, parameters, message):
    process = player(start, *parameters)
    assert process.wait() == 1
    (line,) = [line for line in process.output.splitlines() if line.startswith('error: ')]
    assert message in line
    assert 'Traceback' not in process.output


@pytest.mark.parametrize('module', ['player_node', 'recorder_node'])
@pytest.mark.parametrize('arguments', [['-p', 'nonsense'], ['-r', '__node:=two words']])
def test_mistyped_ros_arguments_get_one_line(start, tmp_path, module, arguments):
    process = start('-m', f'segnode.ros.{module}', '--ros-args', *arguments, cwd=tmp_path)
    assert process.wait() == 2, process.output
    assert len([line for line in process.output.splitlines()
                if line.startswith('error: ')]) == 1, process.output
    assert 'Traceback' not in process.output


def test_simulated_time_without_a_clock_does_not_stop_a_camera(start, folder):
    with collecting({'image_raw': Image, END: UInt32}) as collector:
        process = player(start, f'source:={folder}', 'rate:=20', 'use_sim_time:=true')
        received(collector, process, image_raw=6)
        times = stamps(collector.messages['image_raw'])
    assert process.wait() == 0, process.output
    assert len(set(times)) == 6 and times[0] > 1e9
    assert 'nothing publishes /clock' in process.output


def test_a_rate_out_of_reach_is_told(start, folder):
    process = start('-m', 'segnode.ros.player_node', '--ros-args', '-p', f'source:={folder}',
                    '-p', 'rate:=100000', '-p', 'frames:=3000', '-p', 'loop:=true')
    assert process.wait(60) == 0, process.output
    process.wait_for('in place of 1e+05 Hz', 1)
    process.wait_for('played 3000 frames at ', 1)


def test_the_rendered_scene_is_ready_before_it_starts(monkeypatch):
    """Rendering takes longer than the gaps at this rate, so only frames made ahead can keep it."""
    from segnode.ros.player_node import PlayerNode
    done = []

    def note(name):
        real = getattr(PlayerNode, name)

        def noted(self, *given):
            done.append(name)
            real(self, *given)

        monkeypatch.setattr(PlayerNode, name, noted)

    note('_read_one')
    note('_publish')
    context = rclpy.Context()
    rclpy.init(context=context)
    node = PlayerNode(context=context, parameter_overrides=[
        Parameter('rate', value=100.0), Parameter('frames', value=40)])
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    end = time.monotonic() + 60
    while not node.finished:
        assert time.monotonic() < end, done
        executor.spin_once(timeout_sec=0.1)
    node.close()
    node.destroy_node()
    context.try_shutdown()
    assert done[:80] == ['_read_one'] * 40 + ['_publish'] * 40


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_ends_on_a_signal(start, folder, number):
    process = player(start, f'source:={folder}')
    process.wait_for('waiting for 2 subscribers')
    assert process.stop(number) == 0, process.output
    assert 'Traceback' not in process.output
