# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""segment.launch.py with a parameter that cannot be: one sentence, code 1, and all ends."""

import unittest

from launch import LaunchDescription
import launch_testing
from launch_testing.actions import ReadyToTest
from launch_testing.asserts import assertExitCodes

from launching import included, Prefix, RATE, WAIT

PREFIX = Prefix()


def generate_test_description() -> LaunchDescription:
    """The player would go on, but the end of the node ends it."""
    return LaunchDescription([
        included('segment.launch.py', source=PREFIX.frames, rate=RATE, overlay_alpha='7',
                 on_exit='shutdown'),
        ReadyToTest(),
    ])


class TestWhileItRuns(unittest.TestCase):
    """Nobody ends it but itself."""

    def test_node_ends(self, proc_info) -> None:
        """At once. The player goes on until the launch, which ends with the node, ends it.

        Waiting for the player as well would be a race: launch_testing wants its tests to be
        over before the last process is.
        """
        for name in ('segment', 'player'):
            proc_info.assertWaitForStartup(process=name, timeout=WAIT)
        proc_info.assertWaitForShutdown(process='segment', timeout=WAIT)


@launch_testing.post_shutdown_test()
class TestAfterwards(unittest.TestCase):
    """Who failed, and why."""

    def test_exit_codes(self, proc_info) -> None:
        """The node's says so; the player's does not."""
        codes = {info.process_name.rstrip('-0123456789'): info.returncode for info in proc_info}
        self.assertEqual(codes['segment'], 1)
        self.assertIn(codes['player'], (0, -2))  # -2: interrupted while Python still started
        assertExitCodes(proc_info, [0, 1, -2])

    def test_sentence(self, proc_output) -> None:
        """It names the parameter and what is allowed."""
        text = ''.join(event.text.decode() for event in proc_output)
        self.assertIn("parameter 'overlay_alpha' must be 0 to 1, not 7.0", text)
        self.assertNotIn('Traceback', text)
