# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The segment node with one thing changed: images come serialised and are read by ourselves.

What rclpy does for a message, a C structure and from it a Python one, is left out; the pixels are
a view of the serialised bytes. ``benchmark.node`` measures it beside the node as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from builtin_interfaces.msg import Time
from rclpy.subscription import Subscription
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from benchmark.image_cdr import parse_image
from segnode.ros import process
from segnode.ros.segment_node import SegmentNode


class RawSegmentNode(SegmentNode):
    """Subscribes to images with ``raw=True``."""

    def create_subscription(self, msg_type: type, topic: str, callback: Callable[[Any], None],
                            *arguments: Any, **options: Any) -> Subscription:
        """Create a subscription, a raw one where images are asked for."""
        if msg_type is not Image:
            return super().create_subscription(msg_type, topic, callback, *arguments, **options)

        def received(cdr: bytes) -> None:
            image = parse_image(cdr)
            stamp = image.header.stamp
            # It goes out with the mask, for which rclpy wants the message itself.
            image.header = Header(frame_id=image.header.frame_id,
                                  stamp=Time(sec=stamp.sec, nanosec=stamp.nanosec))
            callback(image)

        return super().create_subscription(
            msg_type, topic, received, *arguments, raw=True, **options)


if __name__ == '__main__':
    raise SystemExit(process.run(RawSegmentNode, None))
