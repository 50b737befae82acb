# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Lifecycle transitions one at a time, whoever asks for them.

rclpy lets a transition that the state does not have, or a second one while the first runs, raise
out of the service callback: the executor would end, and the client wait for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
import contextlib
import functools
import threading
import traceback
from typing import Any

from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

Callback = Callable[[Any, LifecycleState], TransitionCallbackReturn]


def told(callback: Callback) -> Callback:
    """Log what a transition callback of a node raises; rclpy goes on without a word."""
    @functools.wraps(callback)
    def wrapped(self: Any, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            return callback(self, state)
        except Exception:
            self.get_logger().error(f'{callback.__name__} failed:\n{traceback.format_exc()}')
            raise
    return wrapped


class Transitions:
    """Guards the change_state service of a lifecycle node and starts it up by itself."""

    def __init__(self, node: LifecycleNode) -> None:
        """Put the guard in front of the service."""
        self._node = node
        self._lock = threading.Lock()  # one at a time is asked for
        self._still = threading.Lock()  # while one runs, or must not
        # Private in rclpy (the same from Humble to Kilted); without it requests go unguarded.
        service = getattr(node, '_service_change_state', None)
        if service is not None:
            self._change_state = service.callback
            service.callback = self._guarded

    @contextlib.contextmanager
    def unless_under_way(self) -> Iterator[bool]:
        """Give whether no transition runs; none begins while in the block, which is short."""
        still = self._still.acquire(blocking=False)
        try:
            yield still
        finally:
            if still:
                self._still.release()

    def start_up(self) -> None:
        """Configure and activate, unless somebody else was faster."""
        with self._lock, self._still:
            try:
                for name, trigger in (('configure', self._node.trigger_configure),
                                      ('activate', self._node.trigger_activate)):
                    done = trigger()
                    if done != TransitionCallbackReturn.SUCCESS:
                        self._node.get_logger().warning(
                            f'did not start by itself: {name} ended in {done.name.lower()}')
                        return
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
            with self._still:
                return self._change_state(request, response)
        except Exception as error:  # rclpy's RCLError is not exported
            self._node.get_logger().warning(f'transition {asked} refused: {error}')
            response.success = False
            return response
        finally:
            self._lock.release()
