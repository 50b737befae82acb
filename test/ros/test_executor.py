# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The node's executor: what fails is lost alone."""

from __future__ import annotations

from collections.abc import Iterator
import threading
import time
from typing import Any

import pytest

pytest.importorskip('rclpy')

import rclpy
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup, ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from std_msgs.msg import String

from segnode.ros.executor import TransitionExecutor


class Clumsy(TransitionExecutor):
    """An executor that now and then cannot take a message, or cannot even wait."""

    untakeable = 0
    unwaitable = 0
    gone = False  # the node, while it waits

    def _take_subscription(self, sub: Any) -> Any:
        if self.untakeable:
            self.untakeable -= 1
            super()._take_subscription(sub)
            raise MemoryError('no memory for a message')
        return super()._take_subscription(sub)

    def wait_for_ready_callbacks(self, *args: Any, **kwargs: Any) -> Any:
        if self.gone:
            self._stop.set()
            raise RuntimeError('no node')
        if self.unwaitable:
            self.unwaitable -= 1
            raise RuntimeError('no waiting')
        return super().wait_for_ready_callbacks(*args, **kwargs)


@pytest.fixture
def executor() -> Iterator[Clumsy]:
    """Return an executor that spins in a thread, with a node, `executor.node`."""
    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node('clumsy', context=context)
    apart = ReentrantCallbackGroup()
    executor = Clumsy(apart, context=context)
    executor.node = node  # type: ignore[attr-defined]
    executor.add_node(node)
    thread = threading.Thread(target=executor.spin, name='spinner', daemon=True)
    thread.start()
    yield executor
    executor.stop()
    thread.join(60.0)
    assert not thread.is_alive()
    node.destroy_node()
    executor.shutdown(0)
    context.try_shutdown()


def wait(condition: Any, seconds: float = 60.0) -> None:
    """Wait for a condition; fail when it does not come."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_message_that_cannot_be_taken_is_lost_alone(executor: Clumsy) -> None:
    """The subscription goes on, and so do its neighbours in the group."""
    node = executor.node  # type: ignore[attr-defined]
    group = MutuallyExclusiveCallbackGroup()
    got: list[str] = []
    ticks: list[int] = []
    node.create_subscription(
        String, 'talk', lambda msg: got.append(msg.data), 10, callback_group=group)
    node.create_timer(0.02, lambda: ticks.append(1), callback_group=group,
                      clock=Clock(clock_type=ClockType.STEADY_TIME))
    publisher = node.create_publisher(String, 'talk', 10)
    wait(publisher.get_subscription_count)
    executor.untakeable = 3
    for word in ('a', 'b', 'c', 'd', 'e'):
        publisher.publish(String(data=word))
    wait(lambda: len(got) == 2)
    assert got == ['d', 'e'] and executor.untakeable == 0
    before = len(ticks)
    wait(lambda: len(ticks) > before + 3)


def test_waiting_that_fails_is_tried_again_soon(executor: Clumsy) -> None:
    """A hundred failures cost a second or so, not one each, and then all goes on."""
    node = executor.node  # type: ignore[attr-defined]
    ticks: list[int] = []
    executor.unwaitable = 100
    begun = time.monotonic()
    node.create_timer(0.01, lambda: ticks.append(1),
                      clock=Clock(clock_type=ClockType.STEADY_TIME))
    wait(lambda: len(ticks) > 3)
    assert executor.unwaitable == 0
    assert time.monotonic() - begun < 60.0


def test_what_fails_once_it_is_stopped_is_not_told(
        executor: Clumsy, capfd: pytest.CaptureFixture[str]) -> None:
    """The process may take the node down under a thread that a busy machine kept from its end."""
    node = executor.node  # type: ignore[attr-defined]
    node.create_timer(0.01, lambda: None, clock=Clock(clock_type=ClockType.STEADY_TIME))
    executor.gone = True
    wait(executor._stop.is_set)
    wait(lambda: not any(thread.name == 'spinner' for thread in threading.enumerate()))
    assert 'Traceback' not in ''.join(capfd.readouterr())
    executor.gone = False
