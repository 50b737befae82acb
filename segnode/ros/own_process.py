# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The life of the small nodes' processes: until the node is finished, or a signal comes."""

from __future__ import annotations

from collections.abc import Callable
import signal
import sys
import threading
from typing import Protocol

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from segnode.errors import SegnodeError

PATIENCE = 0.2  # seconds until a signal is noticed


class FiniteNode(Protocol):
    """A node that says when its work is done."""

    finished: bool

    def close(self) -> None:
        """Bring things to an end, before the node is destroyed; after a signal, too."""
        ...


def run(create: Callable[[], FiniteNode], args: list[str] | None) -> int:
    """Create the node and spin it until it is finished or SIGINT or SIGTERM comes.

    Signals only raise a flag, so that none can end up as an exception inside a callback or inside
    a half-made node.

    Returns:
        The exit code: 0, or 1 after an error that the user can mend, told in one sentence.
    """
    asked = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: asked.set())
    node = None
    try:
        rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
        node = create()
        assert isinstance(node, Node)
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        while not (node.finished or asked.is_set()):
            executor.spin_once(timeout_sec=PATIENCE)
        node.close()
    except SegnodeError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    finally:
        if isinstance(node, Node):
            node.destroy_node()
        rclpy.try_shutdown()
    return 0
