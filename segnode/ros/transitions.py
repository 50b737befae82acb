# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Lifecycle transitions one at a time, whoever asks for them.

rclpy lets a transition that the state does not have, or a second one while the first runs, raise
out of the service callback: the executor would end, and the client wait for ever.
"""

from __future__ import annotations

import threading
from typing import Any

from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn


class Transitions:
    """Guards the change_state service of a lifecycle node and starts it up by itself."""

    def __init__(self, node: LifecycleNode) -> None:
        """Put the guard in front of the service."""
        self._node = node
        self._lock = threading.Lock()
        # Private in rclpy (the same from Humble to Kilted); without it requests go unguarded.
        service = getattr(node, '_service_change_state', None)
        if service is not None:
            self._change_state = service.callback
            service.callback = self._guarded

    def start_up(self) -> None:
        """Configure and activate, unless somebody else was faster."""
        with self._lock:
            try:
                done = self._node.trigger_configure()
                if done == TransitionCallbackReturn.SUCCESS:
                    self._node.trigger_activate()
            except Exception as error:  # rclpy's RCLError is not exported
                self._node.get_logger().warning(f'did not start by itself: {error}')

    def _guarded(self, request: Any, response: Any) -> Any:
        response.success = False
        asked = request.transition.label or request.transition.id
        if not self._lock.acquire(blocking=False):
            self._node.get_logger().warning(
                f'transition {asked} refused: another one is under way')
            return response
        try:
            return self._change_state(request, response)
        except Exception as error:  # rclpy's RCLError is not exported
            self._node.get_logger().warning(f'transition {asked} refused: {error}')
            response.success = False
            return response
        finally:
            self._lock.release()
