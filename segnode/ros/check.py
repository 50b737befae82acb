# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Tells by its diagnostics whether a segment node is well: for containers and start scripts.

    python3 -m segnode.ros.check                      is /segment well? exit code 0 or 1
    python3 -m segnode.ros.check --node /front/segment --wait 600    wait until it is

Well means: active, and neither ERROR nor STALE in /diagnostics, which come once a second.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
import sys
import time
from typing import Any

# Diagnostics come once a second; discovery of the node takes as long on a busy machine.
DEFAULT_WAIT = 10.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Watch /diagnostics; print what was found; return the exit code."""
    parser = argparse.ArgumentParser(
        prog='python3 -m segnode.ros.check',
        description='Exit code 0 as soon as a segment node is active and neither ERROR nor STALE.')
    parser.add_argument('--node', default='/segment', help='full name of the node [/segment]')
    parser.add_argument('--wait', type=float, default=DEFAULT_WAIT, metavar='SECONDS',
                        help=f'how long to wait for that [{DEFAULT_WAIT:g}]; 0 is for ever')
    options = parser.parse_args(arguments)
    try:
        well, sentence = watch('/' + options.node.strip('/'), options.wait)
    except KeyboardInterrupt:
        return 130
    print(sentence, file=sys.stdout if well else sys.stderr)
    return 0 if well else 1


def watch(node: str, wait: float) -> tuple[bool, str]:
    """Wait until the node is well, at most so many seconds (0: for ever); return that and why."""
    import rclpy
    from rclpy.executors import ExternalShutdownException

    context = rclpy.Context()
    rclpy.init(args=[], context=context)
    try:
        return _watch(context, node, wait)
    except ExternalShutdownException:
        return False, f'{node}: the check was ended'
    finally:
        context.try_shutdown()


def _watch(context: Any, node: str, wait: float) -> tuple[bool, str]:
    from diagnostic_msgs.msg import DiagnosticArray
    import rclpy
    from rclpy.executors import SingleThreadedExecutor

    found: list[tuple[bool, str]] = []
    watcher = rclpy.create_node('segment_check', context=context, start_parameter_services=False)
    watcher.create_subscription(
        DiagnosticArray, '/diagnostics',
        lambda message: found.extend(judged(message, node)), 10)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(watcher)
    end = time.monotonic() + wait
    try:
        while not (found and found[-1][0]) and (wait == 0 or time.monotonic() < end):
            executor.spin_once(timeout_sec=0.2)
    finally:
        executor.shutdown()
        watcher.destroy_node()
    return found[-1] if found else (
        False, f'{node}: no diagnostics within {wait:g} s; does it run, in this ROS_DOMAIN_ID?')


def judged(message: Any, node: str) -> list[tuple[bool, str]]:
    """Return whether the node is well, and a sentence, if the message says so, else nothing.

    Of several cameras' statuses none counts: one that is unplugged is no reason to start all anew.
    """
    from diagnostic_msgs.msg import DiagnosticStatus
    levels = {DiagnosticStatus.OK: 'OK', DiagnosticStatus.WARN: 'WARN',
              DiagnosticStatus.ERROR: 'ERROR', DiagnosticStatus.STALE: 'STALE'}
    found = []
    for status in message.status:
        if status.name == f'{node}: segmentation':
            level = levels.get(status.level, 'unknown')
            state = next((pair.value for pair in status.values if pair.key == 'state'), '')
            well = state == 'active' and level in ('OK', 'WARN')
            found.append((well, f'{node}: {level}: {status.message}'))
    return found


if __name__ == '__main__':
    sys.exit(main())
