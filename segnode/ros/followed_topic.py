# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""A subscription whose reliability follows the publishers of its topic."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription

from segnode.ros.inputs import WATCH_PERIOD
from segnode.ros.need import Need
from segnode.ros.qos import overridable, RELIABILITIES
from segnode.ros.transport import decide_reliability, SUBSCRIPTION_DEPTH


class FollowedTopic:
    """Subscribes once somebody publishes, reliably where all publishers offer that.

    A guess before that would either lose large messages or get none; see ``ImageInput``, which
    chooses among several topics besides. For nodes of one thread.
    """

    def __init__(self, node: Node, kind: type, topic: str, receive: Callable[[Any], None],
                 reliability: str, needed: Callable[[], bool] = lambda: True) -> None:
        """Declare the QoS parameters and begin to watch.

        Args:
            node: owner of subscription and timer.
            kind: of the messages.
            topic: relative name.
            receive: called with each message.
            reliability: 'auto', 'reliable' or 'best_effort', unless a qos_overrides parameter
                says otherwise.
            needed: asked at each look at the publishers whether messages are.

        Raises:
            SegnodeError: a qos_overrides parameter has a value that there is not.
        """
        self._node, self._kind, self._receive = node, kind, receive
        self.topic = node.resolve_topic_name(topic)
        self._profile, self._wanted = overridable(
            node, self.topic, 'subscription', reliability=reliability,
            depth=max(SUBSCRIPTION_DEPTH.values()))
        self._need = Need(needed)
        self._used = ''
        self._subscription: Subscription | None = None
        self._watch()
        node.create_timer(
            WATCH_PERIOD, self._watch, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def publishers(self) -> int:
        """Return how many publish the topic."""
        return int(self._node.count_publishers(self.topic))

    def _watch(self) -> None:
        if not self._need.lasts():
            self._unsubscribe()
            return
        used = self._wanted
        if used == 'auto':
            publishers = self._node.get_publishers_info_by_topic(self.topic)
            used = decide_reliability(publishers) if publishers else self._used
        if used == self._used:
            return
        self._unsubscribe()
        self._used = used
        self._subscription = self._node.create_subscription(
            self._kind, self.topic, self._receive, QoSProfile(
                history=self._profile.history, depth=self._profile.depth,
                reliability=RELIABILITIES[used]))
        self._node.get_logger().info(f'subscribed to {self.topic} as {used}')

    def _unsubscribe(self) -> None:
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
        self._subscription, self._used = None, ''
