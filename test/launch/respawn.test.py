# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""segment.launch.py on_exit:=respawn: a node that is killed comes back and goes on."""

import os
import signal
import unittest

from launch import LaunchDescription
import launch_testing
from launch_testing.actions import ReadyToTest

from launching import check_masks, included, Prefix, RATE, WAIT

PREFIX = Prefix()


def generate_test_description() -> LaunchDescription:
    """The player goes on meanwhile."""
    return LaunchDescription([
        included('segment.launch.py', source=PREFIX.frames, rate=RATE, on_exit='respawn'),
        ReadyToTest(),
    ])


class TestWhileItRuns(unittest.TestCase):
    """The node dies once."""

    def test_masks_before_and_after(self, proc_info, proc_output) -> None:
        """The same ones."""
        check_masks('/image_raw')
        (node,) = [process for process in proc_info.processes()
                   if process.process_details['name'].startswith('segment-')]
        os.kill(node.process_details['pid'], signal.SIGKILL)
        proc_info.assertWaitForShutdown(process=node, timeout=WAIT)
        check_masks('/image_raw')
        self.assertEqual(
            ''.join(event.text.decode() for event in proc_output).count('active: /image_raw'), 2)


@launch_testing.post_shutdown_test()
class TestAfterwards(unittest.TestCase):
    """The second life ended well."""

    def test_exit_codes(self, proc_info) -> None:
        """Of the last of each process."""
        for info in proc_info:
            self.assertIn(info.returncode, (0, -signal.SIGKILL), info.process_name)
