# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The image subscription: its topic, and its reliability, which follows the publishers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
import threading
import time
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription
from rclpy.timer import Timer
from sensor_msgs.msg import CompressedImage, Image

from segnode.errors import SegnodeError
from segnode.ros.qos import overridable, RELIABILITIES
from segnode.ros.transport import decide_reliability, SUBSCRIPTION_DEPTH

# How often publishers are looked at, in seconds. Short, because frames sent before the first
# decision are lost.
WATCH_PERIOD = 0.1
# An age of a header stamp beyond this many ms is another clock's, not a latency.
PLAUSIBLE_TRANSPORT_MS = 60_000.0
# Seconds between two tries to subscribe (rcl writes a page to stderr for each that fails), and
# between two complaints about it in the log.
RETRY = 5.0
THROTTLE = 30.0


@dataclass(frozen=True)
class Frame:
    """A message as it came in."""

    msg: Any  # Image | CompressedImage
    received: float  # time.monotonic(), s
    transport_ms: float | None  # header stamp to receipt; None where the stamp is no help


def input_topic(node: Node, compressed: bool) -> str:
    """Return the full name of the topic with the images, remapping done.

    '/compressed' goes behind the remapped name, as image_transport does it, so that
    `image:=/camera/image_raw` means /camera/image_raw/compressed.
    """
    base = node.resolve_topic_name('image')
    if not compressed or base.endswith('/compressed'):
        return base
    return base + '/compressed'


class ImageInput:
    """Subscribes to the images while started, with a reliability that fits the publishers.

    With reliability 'auto' there is no subscription before there is a publisher: a first guess
    would either lose the first large frames (best effort) or get none (reliable), and make the
    camera's driver warn about incompatible QoS.
    """

    def __init__(self, node: Node, on_frame: Callable[[Frame], None], *, compressed: bool,
                 reliability: str, group: CallbackGroup) -> None:
        """Declare the QoS parameters; nothing is received before start().

        Args:
            node: owner of subscription and timer.
            on_frame: called in the executor's thread with each message.
            compressed: take CompressedImage from '<image>/compressed' in place of Image.
            reliability: 'auto', 'reliable' or 'best_effort', unless a qos_overrides parameter
                says otherwise.
            group: callback group of subscription and timer; mutually exclusive.
        """
        self._node = node
        self._on_frame = on_frame
        self._group = group
        self.msg_type: type = CompressedImage if compressed else Image
        self.topic = input_topic(node, compressed)
        self._profile, self._wanted = overridable(
            node, self.topic, 'subscription', reliability=reliability,
            depth=max(SUBSCRIPTION_DEPTH.values()))
        self._used = ''
        self._trouble = ''
        self._next_try = 0.0  # time.monotonic(), after a failure
        self._subscription: Subscription | None = None
        self._timer: Timer | None = None
        # start() and stop() are called by a transition's thread, _watch() by the executor's.
        self._lock = threading.Lock()

    def start(self) -> None:
        """Begin to watch the publishers and to receive.

        Raises:
            SegnodeError: there can be no such subscription.
        """
        with self._lock:
            self._trouble = ''
            self._timer = self._node.create_timer(
                WATCH_PERIOD, self._watch_on, callback_group=self._group,
                clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._watch()

    def stop(self) -> None:
        """Receive nothing more."""
        with self._lock:
            if self._timer is not None:
                self._node.destroy_timer(self._timer)
                self._timer = None
            self._unsubscribe()
            self._trouble = ''

    @property
    def reliability(self) -> str:
        """Return what the subscription asks for now; empty while there is none."""
        return self._used

    @property
    def trouble(self) -> str:
        """Return one sentence about why there is no subscription; empty where nothing is wrong."""
        return self._trouble

    def publishers(self) -> list[tuple[str, str, str]]:
        """Return node name, reliability and message type of each publisher of the topic."""
        found = []
        for info in self._node.get_publishers_info_by_topic(self.topic):
            namespace = info.node_namespace.rstrip('/')
            found.append((f'{namespace}/{info.node_name}',
                          info.qos_profile.reliability.name.lower(), info.topic_type))
        return found

    def silence(self) -> str:
        """Return one sentence about why no image may come, for a topic that is silent.

        It names the publishers of the resolved topic and their QoS, which is what users look for.
        """
        publishers = self.publishers()
        expected = f'sensor_msgs/msg/{self.msg_type.__name__}'
        if not publishers:
            return 'it has no publisher. ' + self._elsewhere(expected)
        listed = ', '.join(f'{name} ({reliability})' for name, reliability, _ in publishers)
        said = f'it has {len(publishers)} publisher(s): {listed}; '
        strangers = sorted({kind for _, _, kind in publishers if kind != expected})
        if strangers:
            return said + (f'of type {", ".join(strangers)}, but {expected} is expected: '
                           "see the parameter 'input_transport'.")
        if self._used == 'reliable' and any(offered == 'best_effort'
                                            for _, offered, _ in publishers):
            return said + ('best effort is offered and reliable asked for, so nothing can come: '
                           "see the parameter 'image_reliability'.")
        return said + (f'subscribed as {self._used or "nothing yet"}. Are they publishing, with '
                       'a transport profile that fits large images (config/transport.sh)?')

    def _elsewhere(self, expected: str) -> str:
        names = [name for name, kinds in self._node.get_topic_names_and_types()
                 if expected in kinds and name != self.topic and '/segmentation/' not in name]
        if not names:
            return 'No node publishes images yet; is the camera running, in this ROS_DOMAIN_ID?'
        base = [name[:-len('/compressed')] if name.endswith('/compressed') else name
                for name in sorted(names)]
        return f'Images are on {", ".join(sorted(names))}; remap with image:={base[0]}.'

    def _watch_on(self) -> None:
        """Watch from the timer, which has nobody to raise to."""
        try:
            self._watch()
        except SegnodeError as error:
            self._node.get_logger().error(str(error), throttle_duration_sec=THROTTLE)

    def _watch(self) -> None:
        wanted = self._wanted
        if wanted == 'auto':
            infos = self._node.get_publishers_info_by_topic(self.topic)
            if not infos:
                self._trouble = ''
                return
            wanted = decide_reliability(infos)
        with self._lock:
            if self._timer is None or wanted == self._used:
                return
            if self._trouble and time.monotonic() < self._next_try:
                return
            self._unsubscribe()
            try:
                self._subscribe(wanted)
                self._trouble = ''
            except SegnodeError as error:
                self._trouble = str(error)
                self._next_try = time.monotonic() + RETRY
                raise

    def _subscribe(self, reliability: str) -> None:
        profile = QoSProfile(
            history=self._profile.history, depth=self._profile.depth,
            reliability=RELIABILITIES[reliability])
        try:
            self._subscription = self._node.create_subscription(
                self.msg_type, self.topic, self._receive, profile, callback_group=self._group)
        except Exception as error:  # rclpy's RCLError is not exported
            raise SegnodeError(
                f'cannot subscribe to {self.topic} as sensor_msgs/msg/{self.msg_type.__name__}: '
                f'{error}. Does a remapping give that name to another topic of this node too?'
            ) from error
        self._used = reliability
        self._node.get_logger().info(f'subscribed to {self.topic} as {reliability}')

    def _unsubscribe(self) -> None:
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None
        self._used = ''

    def _receive(self, msg: Any) -> None:
        received = time.monotonic()
        stamp = msg.header.stamp
        age = (self._node.get_clock().now().nanoseconds
               - stamp.sec * 1_000_000_000 - stamp.nanosec) / 1e6
        plausible = 0.0 <= age <= PLAUSIBLE_TRANSPORT_MS
        self._on_frame(Frame(msg, received, age if plausible else None))
