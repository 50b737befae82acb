# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Node `player`: publishes images, a video, a bag or the built-in road scene as a camera would."""

from __future__ import annotations

from collections import deque
import sys
import time
from typing import Any

import cv2
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import UInt32

from segnode.ros.frame_sources import DEFAULT_RATE, Frame, open_source
from segnode.ros.image_codec import fill_image
from segnode.ros.own_parameters import declare_all, PLAYER
from segnode.ros.own_process import run

FLUSH_SECONDS = 5.0
SETTLED_SECONDS = 0.5  # subscribers may change their minds about QoS when they see the publisher
READ_AHEAD_BYTES = 64 << 20  # frames read while waiting for subscribers
JPEG_QUALITY = 95
END_TOPIC = 'player/end'


class PlayerNode(Node):
    """Publishes frames by a timer, and the number of frames, latched, when the last one is out."""

    def __init__(self, **options: Any) -> None:
        super().__init__('player', **options)
        own = declare_all(self, PLAYER)
        self._source = open_source(own['source'], own['topic'])
        self._rate = own['rate'] or self._source.rate or DEFAULT_RATE
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
        self.published = 0
        self.finished = False
        self.get_logger().info(f'playing {self._source.name} at {self._rate:g} Hz')
        if self._wait_for:
            self.get_logger().info(f'waiting for {self._wait_for} subscribers')
        self._timer = self.create_timer(0.02 if self._wait_for else 1.0 / self._rate, self._tick)

    def _tick(self) -> None:
        if self._wait_for:
            self._read_ahead()
            now = time.monotonic()
            if self._subscribers() < self._wait_for:
                self._matched_since = now
            if now - self._matched_since < SETTLED_SECONDS:
                return
            self._wait_for = 0
            self._timer.cancel()
            self._timer = self.create_timer(1.0 / self._rate, self._tick)
            return
        if not self._ahead:
            self._read_one()
        if not self._ahead or (self._limit and self.published >= self._limit):
            self._finish()
            return
        self._publish(self._ahead.popleft())
        if not self._ahead:
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

    def _read_ahead(self) -> None:
        """Read one more frame, as long as what is held stays small."""
        held = sum(frame.image.nbytes for frame in self._ahead)
        if held < READ_AHEAD_BYTES and (not self._limit or len(self._ahead) < self._limit):
            self._read_one()

    def _publish(self, frame: Frame) -> None:
        stamp = self.get_clock().now().to_msg()
        if self._raw is not None:
            message = Image()
            message.header.stamp, message.header.frame_id = stamp, self._frame_id
            self._raw.publish(fill_image(message, frame.image, 'bgr8'))
        if self._compressed is not None and self._compressed.get_subscription_count():
            jpeg = cv2.imencode('.jpg', frame.image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
            packed = CompressedImage(format='bgr8; jpeg compressed bgr8', data=jpeg.tobytes())
            packed.header.stamp, packed.header.frame_id = stamp, self._frame_id
            self._compressed.publish(packed)
        self.published += 1

    def _finish(self) -> None:
        self._timer.cancel()
        self._end.publish(UInt32(data=self.published))
        self.get_logger().info(f'played {self.published} frames')
        self.finished = True

    def close(self) -> None:
        """Wait, for a while, until the subscribers have confirmed all that was published."""
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
    return run(PlayerNode, args)


if __name__ == '__main__':
    sys.exit(main())
