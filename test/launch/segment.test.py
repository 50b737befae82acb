# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""segment.launch.py in a launch file with a namespace: masks are right, all ends with code 0."""

import unittest

from launch import LaunchDescription
from launch.actions import GroupAction
from launch_ros.actions import PushRosNamespace
import launch_testing
from launch_testing.actions import ReadyToTest
from launch_testing.asserts import assertExitCodes

from launching import check_masks, included, Prefix, RATE, WAIT

PREFIX = Prefix()


def generate_test_description() -> LaunchDescription:
    """Node and player in /car/front, with parameters of some types."""
    return LaunchDescription([
        GroupAction([
            PushRosNamespace('car'),
            included('segment.launch.py', source=PREFIX.frames, rate=RATE, namespace='front',
                     overlay_alpha='0.25', input_size='[0, 0]'),
        ]),
        ReadyToTest(),
    ])


class TestWhileItRuns(unittest.TestCase):
    """The launched nodes do their work."""

    def test_masks(self) -> None:
        """Labels and colours of what the player plays."""
        check_masks('/car/front/image_raw', '/car/front/segmentation')

    def test_arguments_reach_the_node(self, proc_output) -> None:
        """The namespaces and some parameters."""
        from rcl_interfaces.srv import GetParameters
        import rclpy

        from probe import Probe, value_of
        context = rclpy.Context()
        rclpy.init(context=context)
        probe = Probe(context)
        try:
            answer = probe.call(GetParameters, '/car/front/segment/get_parameters', (
                GetParameters.Request(names=['overlay_alpha', 'threads', 'model'])))
        finally:
            probe.close()
            context.try_shutdown()
        self.assertEqual([value_of(value) for value in answer.values], [0.25, 1, 'fsffnet'])
        proc_output.assertWaitFor(
            '/car/front/image_raw -> /car/front/segmentation/labels', timeout=WAIT)


@launch_testing.post_shutdown_test()
class TestAfterwards(unittest.TestCase):
    """Ctrl-C is no failure."""

    def test_exit_codes(self, proc_info) -> None:
        """Of node and player."""
        self.assertEqual(len(proc_info.process_names()), 2)
        assertExitCodes(proc_info)

    def test_nothing_went_wrong(self, proc_output) -> None:
        """No traceback, and the node said what it did."""
        text = ''.join(event.text.decode() for event in proc_output)
        self.assertNotIn('Traceback', text)
        self.assertIn('images in', text)
