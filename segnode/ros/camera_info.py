# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Passes the camera's calibration on beside the masks, with the header of the mask."""

from __future__ import annotations

from collections import OrderedDict
import threading

from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

# Calibrations kept while their images are under way.
KEPT = 32


class CameraInfoRelay:
    """Remembers the newest CameraInfo messages of the topic 'camera_info'."""

    def __init__(self, node: Node, group: CallbackGroup) -> None:
        """Receive nothing before start()."""
        self._node = node
        self._group = group
        self.topic = node.resolve_topic_name('camera_info')
        self._subscription: Subscription | None = None
        self._lock = threading.Lock()
        self._infos: OrderedDict[tuple[int, int], CameraInfo] = OrderedDict()

    def start(self) -> None:
        """Begin to receive; best effort matches every publisher and is enough for its size."""
        profile = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
        self._subscription = self._node.create_subscription(
            CameraInfo, self.topic, self._receive, profile, callback_group=self._group)

    def stop(self) -> None:
        """Receive nothing more and forget what came."""
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None
        with self._lock:
            self._infos.clear()

    def beside(self, header: Header) -> CameraInfo | None:
        """Return the calibration for an image: that of its stamp, else the newest, or None.

        The mask has the image's size, so the calibration holds for it unchanged; only the header
        becomes that of the image.
        """
        with self._lock:
            if not self._infos:
                return None
            info = self._infos.get((header.stamp.sec, header.stamp.nanosec))
            if info is None:
                info = next(reversed(self._infos.values()))
            info.header = header
            return info

    def _receive(self, msg: CameraInfo) -> None:
        with self._lock:
            self._infos[(msg.header.stamp.sec, msg.header.stamp.nanosec)] = msg
            while len(self._infos) > KEPT:
                self._infos.popitem(last=False)
