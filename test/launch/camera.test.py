# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""camera.launch.py with a stand-in for usb_cam: driver and node meet on the driver's topic."""

import unittest

from launch import LaunchDescription
import launch_testing
from launch_testing.actions import ReadyToTest
from launch_testing.asserts import assertExitCodes

from launching import check_masks, included, Prefix, RATE

PREFIX = Prefix()
PREFIX.package('usb_cam')
# Like the driver it publishes image_raw in its namespace, and takes frame_id.
PREFIX.executable('usb_cam', 'usb_cam_node_exe', ['-m', 'segnode.ros.player_node'], [
    '-p', f'source:={PREFIX.frames}', '-p', f'rate:={RATE}', '-p', 'loop:=true'])


def generate_test_description() -> LaunchDescription:
    """All of it in a namespace, with a name of the user's."""
    return LaunchDescription([
        included('camera.launch.py', driver='usb_cam', camera_name='front', namespace='car',
                 log_level='warn'),
        ReadyToTest(),
    ])


class TestWhileItRuns(unittest.TestCase):
    """Driver and node do their work."""

    def test_masks(self) -> None:
        """Of the driver's images."""
        check_masks('/car/front/image_raw', '/car/segmentation')

    def test_driver_has_its_parameters(self) -> None:
        """Frame of the images, after the camera."""
        from sensor_msgs.msg import Image

        from collecting import collecting
        with collecting({'/car/front/image_raw': Image}) as collector:
            self.assertTrue(collector.spin(
                lambda: collector.count('/car/front/image_raw') > 0, 30))
            (message, *_) = collector.messages['/car/front/image_raw']
        self.assertEqual(message.header.frame_id, 'front_optical_frame')


@launch_testing.post_shutdown_test()
class TestAfterwards(unittest.TestCase):
    """Ctrl-C is no failure."""

    def test_exit_codes(self, proc_info) -> None:
        """Of node and driver."""
        names = sorted(name.rstrip('-0123456789') for name in proc_info.process_names())
        self.assertEqual(names, ['segment', 'usb_cam_node_exe'])
        assertExitCodes(proc_info)

    def test_log_level(self, proc_output) -> None:
        """It is the node's, not the driver's."""
        lines = ''.join(event.text.decode() for event in proc_output).splitlines()
        self.assertTrue([line for line in lines if 'INFO' in line and 'car.front.driver' in line])
        self.assertFalse([line for line in lines if 'INFO' in line and 'car.segment' in line])
