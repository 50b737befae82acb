# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The life of the segment node's process: it ends within 2 s of SIGINT or SIGTERM, with code 0.

The executor spins in a thread and the main thread only waits for the signal. So a signal never
becomes an exception in the middle of a callback or of the clean-up, however often it comes, and it
is noticed while a library is busy with a model.
"""

from __future__ import annotations

import atexit
from collections.abc import Callable
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING

import rclpy
from rclpy.logging import get_logger

from segnode.host_memory import share_heap
from segnode.ros import own_process
from segnode.ros.executor import TransitionExecutor
from segnode.ros.parameters import PARAMETERS
from segnode.runtimes import cache

if TYPE_CHECKING:
    from segnode.ros.segment_node import SegmentNode

# Seconds that work under way gets to end by itself once the process was told to stop.
CALLBACK_PATIENCE = 0.4
WORKER_PATIENCE = 0.8
TRANSITION_PATIENCE = 0.3


def run(create: Callable[[], SegmentNode], args: list[str] | None) -> int:
    """Create the node and spin it until a signal comes; return the exit code.

    Args:
        create: makes the node.
        args: command line; None takes that of the process.
    """
    share_heap()
    # A pipe, for a handler may neither take a lock nor be missed; written to by Python's own part
    # of the handler, in whatever thread the signal arrives.
    told, tell = os.pipe()
    os.set_blocking(tell, False)
    signal.set_wakeup_fd(tell, warn_on_full_buffer=False)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    node, code = own_process.start(create, args, PARAMETERS)
    if node is None:
        return code
    executor = TransitionExecutor(node.transition_group)
    executor.add_node(node)
    spinner = threading.Thread(target=_spin, args=(executor, tell), name='executor', daemon=True)
    spinner.start()
    os.read(told, 1)

    node.request_stop()
    executor.stop()
    spinner.join(CALLBACK_PATIENCE)
    done = node.take_down(WORKER_PATIENCE)
    done = executor.join_apart(TRANSITION_PATIENCE) and done and not spinner.is_alive()
    if not done:
        get_logger('segnode').info('ending without waiting for the library that is still busy')
    executor.remove_node(node)
    node.destroy_node()
    # The state machine keeps the rcl node, and with it the DDS participant: peers would go on
    # seeing the node, and ask its services, until its lease runs out.
    machine = getattr(node, '_state_machine', None)
    if machine is not None and hasattr(machine, 'destroy_when_not_in_use'):
        machine.destroy_when_not_in_use()
    executor.shutdown(0)
    rclpy.try_shutdown()
    if not done:
        # A thread is inside a library that cannot be interrupted (a model load, an engine build).
        # Files of ours are put in place by rename, so nothing half-made stays under its name;
        # what it had made so far would stay beside it.
        cache.abandon_drafts()
    elif 'torch' in sys.modules:
        # The interpreter would take PyTorch apart piece by piece: 0.5 s, after torch.compile 1.5 s
        # on two idle cores. What was registered for the end is done all the same.
        atexit._run_exitfuncs()
    else:
        own_process.ignore_signals()
        return 0
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _spin(executor: TransitionExecutor, tell: int) -> None:
    try:
        executor.spin()
    finally:
        os.write(tell, b'!')
