# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Peers whose QoS does not fit ours: nothing flows between us, and DDS says no word of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from rclpy.node import Node
from rclpy.qos import qos_check_compatible, QoSCompatibility, QoSProfile

try:
    from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import PublisherEventCallbacks, SubscriptionEventCallbacks

_NOT_YET_NAMED = '_NODE_NAME_UNKNOWN_'  # rmw_dds_common, until the peer's graph has come


@dataclass
class _Suspect:
    """One of our ends that an event told of."""

    profile: QoSProfile
    described: bool = False


class QosMismatches:
    """Learns of mismatches by events, and describes those that last from the graph.

    Of the two neither would do alone: an event names no peer and none tells of its leaving, and
    asking the graph about every topic all the time costs.
    """

    def __init__(self, node: Node) -> None:
        """Know of none among the topics of `node`."""
        self._node = node
        self._publishers: dict[str, _Suspect] = {}  # by topic
        self._subscriptions: dict[str, _Suspect] = {}
        self._said: set[str] = set()

    def of_publisher(self, topic: str, profile: QoSProfile) -> PublisherEventCallbacks:
        """Return what to create our publisher with, in place of rclpy's own nameless warning."""
        return PublisherEventCallbacks(
            incompatible_qos=lambda _: self._publishers.update({topic: _Suspect(profile)}))

    def of_subscription(self, topic: str, profile: QoSProfile) -> SubscriptionEventCallbacks:
        """Return the same for our subscription."""
        return SubscriptionEventCallbacks(
            incompatible_qos=lambda _: self._subscriptions.update({topic: _Suspect(profile)}))

    def forget(self, topic: str) -> None:
        """Drop what was known of our end of a topic, which is there no more."""
        self._publishers.pop(topic, None)
        self._subscriptions.pop(topic, None)

    def sentences(self) -> list[str]:
        """Return one sentence for each peer that gets or gives nothing as things stand."""
        return [
            *self._examined(
                self._subscriptions, self._node.get_publishers_info_by_topic,
                lambda ours, theirs: qos_check_compatible(theirs, ours),
                'nothing can come from {name} on {topic}: {reason}'),
            *self._examined(
                self._publishers, self._node.get_subscriptions_info_by_topic,
                qos_check_compatible, '{name} gets nothing from {topic}: {reason}')]

    def news(self, sentences: Iterable[str]) -> list[str]:
        """Return those of the sentences that the last call did not have."""
        now = set(sentences)
        new, self._said = sorted(now - self._said), now
        return new

    @staticmethod
    def _examined(suspects: dict[str, _Suspect], peers: Callable[[str], Any],
                  compare: Callable[[Any, Any], Any], sentence: str) -> list[str]:
        found = []
        for topic, suspect in list(suspects.items()):
            reasons = []
            for info in peers(topic):
                compatibility, reason = compare(suspect.profile, info.qos_profile)
                if compatibility == QoSCompatibility.ERROR and info.node_name != _NOT_YET_NAMED:
                    name = f'{info.node_namespace.rstrip("/")}/{info.node_name}'
                    reasons.append(sentence.format(name=name, topic=topic, reason=_plain(reason)))
            if reasons:
                suspect.described = True
                found += reasons
            elif suspect.described:
                suspects.pop(topic, None)
        return found


def _plain(reason: str) -> str:
    """Return rcl's reasons without their 'ERROR: ', several joined by commas."""
    parts = (part.partition(': ')[2] or part for part in reason.split(';') if part.strip())
    return ', '.join(part.strip().lower() for part in parts)
