# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""A ROS node that is spun in a thread of its own, beside what measures."""

from __future__ import annotations

import threading
from typing import Any

PATIENCE = 0.2  # s until the end is noticed
END_TIMEOUT = 5.0  # s


class Spinner:
    """Runs the callbacks of a node, from ``start`` to ``close``.

    Args:
        node: whose callbacks.
    """

    def __init__(self, node: Any) -> None:
        from rclpy.executors import SingleThreadedExecutor
        self._executor = SingleThreadedExecutor(context=node.context)
        self._executor.add_node(node)
        self._stop = False
        self._thread = threading.Thread(target=self._spin, daemon=True)

    def start(self) -> None:
        """Begin; callbacks run in another thread from now on."""
        self._thread.start()

    def close(self) -> None:
        """End the thread; the node can be destroyed then."""
        self._stop = True
        self._thread.join(END_TIMEOUT)

    def _spin(self) -> None:
        while not self._stop:
            self._executor.spin_once(timeout_sec=PATIENCE)
