# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Node `player`: publishes images, a video, a bag or the built-in road scene as a camera would."""

from __future__ import annotations

from collections import deque
import sys
import time
from typing import Any

import cv2
from rclpy.clock import Clock, ClockType
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import UInt32

from segnode.errors import SegnodeError
from segnode.ros import log_bridge
from segnode.ros.frame_sources import DEFAULT_RATE, Frame, open_source
from segnode.ros.image_codec import encode_image, fill_image
from segnode.ros.own_parameters import declare_all, PLAYER
from segnode.ros.own_process import run

FLUSH_SECONDS = 5.0
SETTLED_SECONDS = 0.5  # subscribers may change their minds about QoS when they see the publisher
# Frames read before the first one leaves: rendering or decoding them is then no burden on the
# rate. Room for the built-in road scene as a whole.
READ_AHEAD_BYTES = 64 << 20
READ_AHEAD_FRAMES = 100
READ_AHEAD_TURN = 0.1  # seconds of reading between two looks at signals and subscribers
# Later than by that share, and those seconds, with its last frame, it says so in the log.
LATE_SHARE, LATE_SECONDS = 0.05, 0.2
JPEG_QUALITY = 95
LEAST_RATE = 1e-3  # Hz: the timer counts its period in ns, and nobody waits for years
END_TOPIC = 'player/end'


class PlayerNode(Node):
    """Publishes frames by a timer, and the number of frames, latched, when the last one is out.

    Timers run on the steady clock: a player is a camera, which use_sim_time does not stop.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__('player', **options)
        own = declare_all(self, PLAYER)
        self._log_handler = log_bridge.attach(self.get_logger())
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._system = Clock(clock_type=ClockType.SYSTEM_TIME)
        self._source = open_source(own['source'], own['topic'])
        self._rate = own['rate'] or self._source.rate or DEFAULT_RATE
        if not LEAST_RATE <= self._rate < float('inf'):
            raise SegnodeError(f'parameter rate must be 0 or from {LEAST_RATE:g} Hz on, '
                               f'not {self._rate:g}')
        self._limit = own['frames']
        self._loop = own['loop']
        self._frame_id = own['frame_id']
        self._wait_for = own['wait_for_subscribers']
        qos = QoSProfile(depth=5, reliability=getattr(ReliabilityPolicy,
                                                      own['reliability'].upper()))
        self._raw = self.create_publisher(Image, 'image_raw', qos) if own['raw'] else None
        self._compressed = None
        if own['compressed']:
            # The remapped name first, then the suffix: image_transport's rule.
            name = self.resolve_topic_name('image_raw') + '/compressed'
            self._compressed = self.create_publisher(CompressedImage, name, qos)
        self._end = self.create_publisher(UInt32, END_TOPIC, QoSProfile(
            depth=1, reliability=ReliabilityPolicy.RELIABLE,
            durability=DurabilityPolicy.TRANSIENT_LOCAL))
        self._frames = iter(self._source)
        self._ahead: deque[Frame] = deque()
        self._exhausted = False
        self._matched_since = time.monotonic()
        self._first_out = self._last_out = 0.0  # monotonic s
        self.published = 0
        self.finished = False
        self.get_logger().info(f'playing {self._source.name} at {self._rate:g} Hz')
        if self._wait_for:
            self.get_logger().info(f'waiting for {self._wait_for} subscribers')
        self._timer = self.create_timer(0.02, self._prepare, clock=self._steady)

    def _prepare(self) -> None:
        """Begin to play once the first frames are read and the subscribers are there."""
        turn_ends = time.monotonic() + READ_AHEAD_TURN
        while self._wants_more() and time.monotonic() < turn_ends:
            self._read_one()
        now = time.monotonic()
        if self._wait_for:
            if self._subscribers() < self._wait_for:
                self._matched_since = now
            if now - self._matched_since < SETTLED_SECONDS:
                return
        if self._wants_more():
            return
        self._timer.cancel()
        self._timer = self.create_timer(1.0 / self._rate, self._tick, clock=self._steady)

    def _tick(self) -> None:
        if not self._ahead:
            self._read_one()
        if not self._ahead or (self._limit and self.published >= self._limit):
            self._finish()
            return
        self._publish(self._ahead.popleft())
        if self._wants_more():
            self._read_one()  # now, in the idle time, so that the next one leaves on time

    def _subscribers(self) -> int:
        return sum(publisher.get_subscription_count()
                   for publisher in (self._raw, self._compressed) if publisher is not None)

    def _read_one(self) -> None:
        if self._exhausted:
            return
        frame = next(self._frames, None)
        if frame is None and self._loop and (self.published or self._ahead):
            self._frames = iter(self._source)
            frame = next(self._frames, None)
        if frame is None:
            self._exhausted = True
        else:
            self._ahead.append(frame)

    def _wants_more(self) -> bool:
        """Return whether another frame should be read, as long as what is held stays small."""
        if self._exhausted:
            return False
        if self._limit and self.published + len(self._ahead) >= self._limit:
            return False
        if len(self._ahead) >= READ_AHEAD_FRAMES:
            return False
        return sum(frame.image.nbytes for frame in self._ahead) < READ_AHEAD_BYTES

    def _stamp(self) -> Any:
        now = self.get_clock().now()
        if not now.nanoseconds:  # equal stamps would make masks and images impossible to pair
            self.get_logger().warning('use_sim_time is set and nothing publishes /clock: stamps '
                                      'are the system time', once=True)
            now = self._system.now()
        return now.to_msg()

    def _publish(self, frame: Frame) -> None:
        self._last_out = time.monotonic()
        if not self.published:
            self._first_out = self._last_out
        stamp = self._stamp()
        if self._raw is not None:
            message = Image()
            message.header.stamp, message.header.frame_id = stamp, self._frame_id
            self._raw.publish(fill_image(message, frame.image, 'bgr8'))
        if self._compressed is not None and self._compressed.get_subscription_count():
            jpeg = encode_image('.jpg', frame.image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
            packed = CompressedImage(format='bgr8; jpeg compressed bgr8', data=jpeg)
            packed.header.stamp, packed.header.frame_id = stamp, self._frame_id
            self._compressed.publish(packed)
        self.published += 1

    def _finish(self) -> None:
        self._timer.cancel()
        self._end.publish(UInt32(data=self.published))
        seconds = self._last_out - self._first_out
        wanted = (self.published - 1) / self._rate
        reached = (self.published - 1) / seconds if seconds > 0 else self._rate
        self.get_logger().info(f'played {self.published} frames at {reached:.3g} Hz')
        if seconds - wanted > max(LATE_SECONDS, LATE_SHARE * wanted):
            self.get_logger().warning(f'the images came at {reached:.3g} Hz in place of '
                                      f'{self._rate:.3g} Hz: this machine is too busy for more')
        self.finished = True

    def close(self) -> None:
        """Wait, for a while, until the subscribers have confirmed all that was published."""
        log_bridge.detach(self._log_handler)
        if not self.finished:
            return  # told to stop
        deadline = time.monotonic() + FLUSH_SECONDS
        for publisher in (self._raw, self._compressed, self._end):
            if publisher is None or not hasattr(publisher, 'wait_for_all_acked'):
                continue
            left = max(0.0, deadline - time.monotonic())
            publisher.wait_for_all_acked(Duration(seconds=left))


def main(args: list[str] | None = None) -> int:
    """Play until the end of the source, SIGINT or SIGTERM; return the exit code."""
    return run(PlayerNode, args, PLAYER)


if __name__ == '__main__':
    sys.exit(main())
