# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""segment.launch.py with a bag, and a stand-in for `ros2 bag play`: it waits for the node.

The stand-in notes how it was called and plays pictures; /clock stays silent.
"""

from pathlib import Path
import shlex
import sys
import unittest

from launch import LaunchDescription
import launch_testing
from launch_testing.actions import ReadyToTest
from launch_testing.asserts import assertExitCodes
import yaml

from launching import check_masks, included, Prefix, RATE, write_script

PREFIX = Prefix()
PREFIX.package('ros2bag')
BAG = PREFIX.folder / 'bag'
NOTE = PREFIX.folder / 'arguments.txt'
QOS = PREFIX.folder / 'qos.yaml'


def generate_test_description() -> LaunchDescription:
    """A bag with one image topic, which nobody names."""
    BAG.mkdir()
    (BAG / 'metadata.yaml').write_text(yaml.safe_dump({'rosbag2_bagfile_information': {
        'topics_with_message_count': [{'message_count': 3, 'topic_metadata': {
            'name': '/camera/image_raw', 'type': 'sensor_msgs/msg/Image'}}]}}))
    player = shlex.join([
        sys.executable, '-m', 'segnode.ros.player_node', '--ros-args', '-r',
        'image_raw:=/camera/image_raw', '-p', f'source:={PREFIX.frames}', '-p', f'rate:={RATE}',
        '-p', 'loop:=true'])
    note, qos = shlex.quote(str(NOTE)), shlex.quote(str(QOS))
    write_script(PREFIX.folder / 'bin' / 'ros2', (
        f'for argument; do echo "$argument"; done > {note}; cp "$7" {qos}; exec {player}'))
    return LaunchDescription([
        included('segment.launch.py', bag=BAG, bag_arguments='--rate 0.5', namespace='car'),
        ReadyToTest(),
    ])


class TestWhileItRuns(unittest.TestCase):
    """The bag is played to a node that is ready."""

    def test_masks(self) -> None:
        """Of the bag's only image topic."""
        check_masks('/camera/image_raw', '/car/segmentation')

    def test_bag_follows_the_node(self, proc_output) -> None:
        """Its first word comes after the node's that it is active."""
        proc_output.assertWaitFor('playing 3 images', timeout=60)
        text = ''.join(event.text.decode() for event in proc_output)
        self.assertLess(text.index('active: /camera/image_raw'), text.index('playing 3 images'))


@launch_testing.post_shutdown_test()
class TestAfterwards(unittest.TestCase):
    """What was called."""

    def test_command_line(self) -> None:
        """With the clock, and reliable images."""
        arguments = NOTE.read_text().splitlines()
        self.assertEqual(arguments[:6], [
            'bag', 'play', str(BAG), '--clock', '--disable-keyboard-controls',
            '--qos-profile-overrides-path'])
        self.assertEqual(Path(arguments[6]).name, 'bag_qos.yaml')
        self.assertEqual(arguments[7:], ['--rate', '0.5'])
        overrides = yaml.safe_load(QOS.read_text())
        self.assertEqual(overrides['/camera/image_raw']['reliability'], 'reliable')

    def test_exit_codes(self, proc_info) -> None:
        """Of node, check and bag."""
        self.assertEqual(len(proc_info.process_names()), 3)
        assertExitCodes(proc_info)
