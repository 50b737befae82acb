# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""A node inside the test process that keeps what comes in on some topics."""

from __future__ import annotations

from collections.abc import Callable, Iterator
import contextlib
from functools import partial
import time
from typing import Any

import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy


class Collector:
    """Messages by topic, in the order of arrival; received while ``spin`` runs.

    Args:
        topics: message type by topic name; names that end with '*' are latched.
        reliable: whether to ask for reliable delivery.
    """

    def __init__(self, topics: dict[str, type], reliable: bool, context: Context) -> None:
        self.messages: dict[str, list[Any]] = {}
        self._subscriptions: dict[str, Any] = {}
        self.node = rclpy.create_node('collector', context=context)
        self._executor = SingleThreadedExecutor(context=context)
        self._executor.add_node(self.node)
        for name, message_type in topics.items():
            topic = name.rstrip('*')
            self.messages[topic] = []
            profile = QoSProfile(depth=200, reliability=(
                ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT))
            if name.endswith('*'):
                profile.depth, profile.durability = 1, DurabilityPolicy.TRANSIENT_LOCAL
            self._subscriptions[topic] = self.node.create_subscription(
                message_type, topic, partial(self._keep, topic), profile)

    def _keep(self, topic: str, message: Any) -> None:
        self.messages[topic].append(message)

    def spin(self, until: Callable[[], bool], seconds: float) -> bool:
        """Receive until the condition holds or the time is over; return whether it holds."""
        deadline = time.monotonic() + seconds
        while not until() and time.monotonic() < deadline:
            self._executor.spin_once(timeout_sec=0.05)
        return until()

    def admit(self, topic: str, seconds: float = 60.0) -> bool:
        """Subscribe once more, for nothing, when a publisher has matched; return whether one has.

        A publisher sees its subscribers perhaps before they see it, and until then they get
        nothing. One that waits for two of them loses nothing.
        """
        first = self._subscriptions[topic]
        if not self.spin(lambda: first.get_publisher_count() > 0, seconds):
            return False
        self.node.create_subscription(
            first.msg_type, topic, lambda message: None, first.qos_profile)
        return True

    def count(self, topic: str) -> int:
        """Messages up to now."""
        return len(self.messages[topic])


@contextlib.contextmanager
def collecting(topics: dict[str, type], reliable: bool = True) -> Iterator[Collector]:
    """Yield a collector in a context of its own."""
    context = Context()
    rclpy.init(context=context)
    collector = None
    try:
        collector = Collector(topics, reliable, context)
        yield collector
    finally:
        if collector is not None:
            collector.node.destroy_node()
        rclpy.try_shutdown(context=context)
