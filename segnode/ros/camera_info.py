# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Passes the camera's calibration on beside the masks, with the header of the mask."""

from __future__ import annotations

from collections import OrderedDict
from functools import partial
import threading

from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from segnode.ros.calibration import fitted
from segnode.ros.input_choice import calibration_beside

# Calibrations kept while their images are under way.
KEPT = 32

Infos = OrderedDict[tuple[int, int], CameraInfo]  # by stamp, as they came


class CameraInfoRelay:
    """Remembers the newest CameraInfo messages of a camera."""

    def __init__(self, node: Node, group: CallbackGroup, name: str, image: str) -> None:
        """Receive nothing before start().

        Args:
            node: owner of the subscription.
            group: of its callbacks.
            name: of the topic, remapped as usual.
            image: name of the topic of the images. Where `name` is not remapped but this is, a
                calibration beside the images, where drivers publish it, comes first.
        """
        self._node = node
        self._group = group
        topics = [node.resolve_topic_name(name)]
        if topics == [node.resolve_topic_name(name, only_expand=True)]:
            topics.insert(0, calibration_beside(node.resolve_topic_name(image)))
        self._subscriptions: list[Subscription] = []
        self._lock = threading.Lock()
        self._infos: dict[str, Infos] = {topic: OrderedDict() for topic in topics}

    @property
    def topic(self) -> str:
        """Return the topic that calibrations are taken from; while none came, all of them."""
        return next((topic for topic, infos in self._infos.items() if infos),
                    ' or '.join(self._infos))

    @property
    def known(self) -> bool:
        """Return whether any came."""
        return any(self._infos.values())

    def start(self) -> None:
        """Begin to receive; best effort matches every publisher and is enough for its size."""
        profile = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
        for topic, infos in self._infos.items():
            self._subscriptions.append(self._node.create_subscription(
                CameraInfo, topic, partial(self._receive, infos), profile,
                callback_group=self._group))

    def stop(self) -> None:
        """Receive nothing more and forget what came."""
        while self._subscriptions:
            self._node.destroy_subscription(self._subscriptions.pop())
        with self._lock:
            for infos in self._infos.values():
                infos.clear()

    def beside(self, header: Header, size: tuple[int, int]) -> CameraInfo | None:
        """Return the calibration for a mask: that of its stamp, else the newest, or None.

        Args:
            header: of the image; it goes out with the calibration.
            size: (height, width) of the mask.
        """
        with self._lock:
            infos = next(filter(None, self._infos.values()), None)
            if infos is None:
                return None
            info = infos.get((header.stamp.sec, header.stamp.nanosec))
            if info is None:
                info = next(reversed(infos.values()))
        info = fitted(info, size)
        info.header = header
        return info

    def _receive(self, infos: Infos, msg: CameraInfo) -> None:
        key = (msg.header.stamp.sec, msg.header.stamp.nanosec)
        with self._lock:
            infos[key] = msg
            infos.move_to_end(key)  # a bag that loops sends the same stamps again
            while len(infos) > KEPT:
                infos.popitem(last=False)
