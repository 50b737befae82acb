# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""An executor for a node whose lifecycle transitions take long.

One thread runs all callbacks, in the way of rclpy's SingleThreadedExecutor, except those of one
callback group: each of these runs in a thread of its own. So a transition that loads a model for
minutes holds up neither parameters nor diagnostics nor images, and the cost per message stays that
of one thread. (MultiThreadedExecutor hands every message to a pool and keeps a core busy while the
pool is full: rclpy issues 1223 and 1452.)
"""

from __future__ import annotations

import threading
import time
import traceback
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.executors import (
    ConditionReachedException,
    ExternalShutdownException,
    ShutdownException,
    SingleThreadedExecutor,
    TimeoutException,
)
from rclpy.logging import get_logger

from segnode.ros.log_bridge import throttled

# Seconds between two of what went wrong in callbacks: a peer may make it happen with each message.
THROTTLE = 1.0


class TransitionExecutor(SingleThreadedExecutor):
    """Runs one callback group in threads apart, everything else in the spinning thread."""

    def __init__(self, apart: CallbackGroup, **kwargs: Any) -> None:
        """Give each callback of the group `apart` its own thread."""
        super().__init__(**kwargs)
        self._apart = apart
        self._threads: list[threading.Thread] = []
        self._stop = threading.Event()

    def spin(self) -> None:
        """Run callbacks until stop() is called or the context is shut down."""
        while self.context.ok() and not self._stop.is_set():
            try:
                self.spin_once()
            # Of waiting itself; whatever it was, a node that ends helps nobody. The pause keeps
            # what fails again and again from taking a core, and what is between from waiting.
            except Exception as error:
                # Once stopped, the node may be gone under a wait that still was.
                if not self._stop.is_set():
                    _log(error)
                self._stop.wait(0.005)

    def stop(self) -> None:
        """Make spin() return; unlike shutdown() it leaves intact what spin() still uses."""
        self._stop.set()
        self.wake()

    def spin_once(self, timeout_sec: float | None = None) -> None:
        """Wait for one callback and run it, or start it where it belongs apart."""
        try:
            ready: Any = self.wait_for_ready_callbacks(
                timeout_sec=timeout_sec, condition=self._stop.is_set)
        except (ConditionReachedException, ExternalShutdownException, ShutdownException,
                TimeoutException):
            return
        handler, entity, _ = ready
        if entity is None or entity.callback_group is not self._apart:
            self._run(handler)
            return
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        thread = threading.Thread(
            target=self._run, args=(handler,), name='transition', daemon=True)
        self._threads.append(thread)
        thread.start()
        # Until the handler runs, the wait set would offer it again and again.
        while not (handler.executing() or handler.done()):
            time.sleep(0.0005)

    def join_apart(self, timeout: float) -> bool:
        """Wait for the threads apart; return False when one still runs after `timeout` s."""
        end = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _make_handler(self, entity: Any, node: Any, take: Any, *others: Any) -> Any:
        """Make sure that what cannot be taken is only lost itself.

        Where taking a message raises (no memory for it, a fault of the middleware), rclpy leaves
        the entity marked as being executed: nothing would ever be taken from it again, nor, in a
        mutually exclusive group, from its neighbours.
        """
        def taken(entity: Any) -> Any:
            try:
                return take(entity)
            except Exception as error:
                _log(error)
                return None
        return super()._make_handler(entity, node, taken, *others)

    def _run(self, handler: Any) -> None:
        """Run a callback; what it raises is logged, for it must not end the node."""
        handler()
        error = handler.exception() if handler.done() else None
        # Once stopped, the node may be gone under a transition that still ran.
        if error is not None and not self._stop.is_set():
            _log(error)


def _log(error: Exception) -> None:
    text = ''.join(traceback.format_exception(type(error), error, error.__traceback__))
    get_logger('segnode').error(
        f'a callback failed and was given up:\n{text}', **throttled(THROTTLE))
