# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The image subscription: its topic, type and reliability, which follow the publishers."""

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
from segnode.ros.input_choice import choose, COMPRESSED, RAW, Source, sources
from segnode.ros.log_bridge import throttled
from segnode.ros.need import Need
from segnode.ros.qos import overridable, RELIABILITIES
from segnode.ros.qos_mismatch import QosMismatches
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
MESSAGE_TYPES: dict[str, type] = {RAW: Image, COMPRESSED: CompressedImage}


@dataclass(frozen=True)
class Frame:
    """A message as it came in."""

    msg: Any  # Image | CompressedImage
    received: float  # time.monotonic(), s
    transport_ms: float | None  # header stamp to receipt; None where the stamp is no help


class ImageInput:
    """Subscribes to the images while started, to what is published and as it is offered.

    Where transport or reliability is 'auto' there is no subscription before there is a publisher:
    a first guess would either lose the first large frames (best effort) or get none (reliable),
    and make the camera's driver warn about incompatible QoS.
    """

    def __init__(self, node: Node, name: str, on_frame: Callable[[Frame], None], *,
                 needed: Callable[[], bool], on_rest: Callable[[bool], None], transport: str,
                 reliability: str, group: CallbackGroup, mismatches: QosMismatches) -> None:
        """Declare the QoS parameters; nothing is received before start().

        Args:
            node: owner of subscription and timer.
            name: of the topic, remapped as usual.
            on_frame: called in the executor's thread with each message.
            needed: asked at each look at the publishers whether images are.
            on_rest: told whether they are not, at start and whenever that changes; by whichever
                thread looks.
            transport: one of `input_choice.TRANSPORTS`.
            reliability: 'auto', 'reliable' or 'best_effort', unless a qos_overrides parameter
                says otherwise.
            group: callback group of subscription and timer; mutually exclusive.
            mismatches: learns of publishers that the subscription does not fit.
        """
        self._node = node
        self._name = name
        self._on_frame = on_frame
        self._need = Need(needed)
        self._on_rest = on_rest
        self._resting: bool | None = None  # as it was told
        self._group = group
        self._mismatches = mismatches
        self._sources = sources(node.resolve_topic_name(name), transport)
        self._qos = {source.topic: overridable(
            node, source.topic, 'subscription', reliability=reliability,
            depth=max(SUBSCRIPTION_DEPTH.values())) for source in self._sources}
        self._source: Source | None = None  # of the subscription
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
            self._need.forget()
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
            self._resting = None

    @property
    def topic(self) -> str:
        """Return the topic subscribed to; while there is none, the preferred one."""
        return (self._source or self._sources[0]).topic

    @property
    def transport(self) -> str:
        """Return 'raw' or 'compressed'; empty while there is no subscription."""
        source = self._source
        return '' if source is None else 'compressed' if source.compressed else 'raw'

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
        expected = list(dict.fromkeys(
            source.type_name for source in self._sources if source.topic == self.topic))
        if not publishers:
            return 'it has no publisher. ' + self._elsewhere()
        listed = ', '.join(f'{name} ({reliability})' for name, reliability, _ in publishers)
        said = f'it has {len(publishers)} publisher(s): {listed}; '
        strangers = sorted({kind for _, _, kind in publishers if kind not in expected})
        if strangers:
            return said + (f'of type {", ".join(strangers)}, but {" or ".join(expected)} is '
                           "expected: see the parameter 'input_transport'.")
        if self._used == 'reliable' and any(offered == 'best_effort'
                                            for _, offered, _ in publishers):
            return said + ('best effort is offered and reliable asked for, so nothing can come: '
                           "see the parameter 'image_reliability'.")
        return said + (f'subscribed as {self._used or "nothing yet"}. Are they publishing, with '
                       'a transport profile that fits large images (config/transport.sh)?')

    def _elsewhere(self) -> str:
        expected = {source.type_name for source in self._sources}
        own = {source.topic for source in self._sources}
        names = [name for name, kinds in self._node.get_topic_names_and_types()
                 if expected & set(kinds) and name not in own and '/segmentation/' not in name]
        if not names:
            return 'No node publishes images yet; is the camera running, in this ROS_DOMAIN_ID?'
        base = [name[:-len('/compressed')] if name.endswith('/compressed') else name
                for name in sorted(names)]
        return f'Images are on {", ".join(sorted(names))}; remap with {self._name}:={base[0]}.'

    def _watch_on(self) -> None:
        """Watch from the timer, which has nobody to raise to."""
        try:
            self._watch()
        except SegnodeError as error:
            self._node.get_logger().error(str(error), **throttled(THROTTLE))

    def _watch(self) -> None:
        with self._lock:
            if self._timer is None:
                return
            needed = self._need.lasts()
            if self._resting != (not needed):
                self._resting = not needed
                self._on_rest(self._resting)
            if not needed:
                if self._subscription is not None:
                    self._node.get_logger().info(
                        f'nobody subscribes: no longer subscribed to {self.topic}')
                self._unsubscribe()
                self._trouble = ''
                return
            chosen = self._choice()
            if chosen is None:
                self._trouble = ''
            elif chosen != (self._source, self._used):
                self._change(*chosen)

    def _change(self, source: Source, reliability: str) -> None:
        if self._trouble and time.monotonic() < self._next_try:
            return
        self._unsubscribe()
        try:
            self._subscribe(source, reliability)
            self._trouble = ''
        except SegnodeError as error:
            self._trouble = str(error)
            self._next_try = time.monotonic() + RETRY
            raise

    def _choice(self) -> tuple[Source, str] | None:
        """Return what to subscribe to and how; None to leave things as they are."""
        first = self._sources[0]
        _, wanted = self._qos[first.topic]
        if len(self._sources) == 1 and wanted != 'auto':
            return first, wanted  # whoever publishes, and before anybody does
        found = choose(self._sources, self._node.get_publishers_info_by_topic)
        if found is None:
            return None
        source, publishers = found
        _, wanted = self._qos[source.topic]
        return source, decide_reliability(publishers) if wanted == 'auto' else wanted

    def _subscribe(self, source: Source, reliability: str) -> None:
        profile, _ = self._qos[source.topic]
        profile = QoSProfile(
            history=profile.history, depth=profile.depth, reliability=RELIABILITIES[reliability])
        try:
            self._subscription = self._node.create_subscription(
                MESSAGE_TYPES[source.type_name], source.topic, self._receive, profile,
                callback_group=self._group,
                event_callbacks=self._mismatches.of_subscription(source.topic, profile))
        except Exception as error:  # rclpy's RCLError is not exported
            raise SegnodeError(
                f'cannot subscribe to {source.topic} as {source.type_name}: '
                f'{error}. Does a remapping give that name to another topic of this node too?'
            ) from error
        self._source, self._used = source, reliability
        self._node.get_logger().info(f'subscribed to {source.topic} as {reliability}')

    def _unsubscribe(self) -> None:
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None
            self._mismatches.forget(self.topic)
        self._source, self._used = None, ''

    def _receive(self, msg: Any) -> None:
        received = time.monotonic()
        stamp = msg.header.stamp
        age = (self._node.get_clock().now().nanoseconds
               - stamp.sec * 1_000_000_000 - stamp.nanosec) / 1e6
        plausible = 0.0 <= age <= PLAUSIBLE_TRANSPORT_MS
        self._on_frame(Frame(msg, received, age if plausible else None))
