# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""segment.launch.py with two cameras: one node, masks of each under the camera's own name."""

import unittest

from launch import LaunchDescription
import launch_testing
from launch_testing.actions import ReadyToTest
from launch_testing.asserts import assertExitCodes

from launching import check_masks, included, Prefix, RATE

PREFIX = Prefix()


def generate_test_description() -> LaunchDescription:
    """A player for each camera."""
    return LaunchDescription([
        included('segment.launch.py', source=PREFIX.frames, rate=RATE, cameras='[front,left]'),
        ReadyToTest(),
    ])


class TestWhileItRuns(unittest.TestCase):
    """Each camera has its masks."""

    def test_front(self) -> None:
        """Of the first camera."""
        check_masks('/front/image_raw', '/front/segmentation')

    def test_left(self) -> None:
        """Of the second one."""
        check_masks('/left/image_raw', '/left/segmentation')


@launch_testing.post_shutdown_test()
class TestAfterwards(unittest.TestCase):
    """One process segments for all."""

    def test_exit_codes(self, proc_info) -> None:
        """Of one node and two players."""
        names = sorted(name.rstrip('-0123456789') for name in proc_info.process_names())
        self.assertEqual(names, ['player', 'player', 'segment'])
        assertExitCodes(proc_info)
