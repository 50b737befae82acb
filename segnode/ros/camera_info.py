# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Passes the camera's calibration on beside the masks, with the header of the mask."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
import copy
import threading

from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

# Calibrations kept while their images are under way.
KEPT = 32
_MOST = 2**32 - 1  # that a size or an offset holds


def fitted(info: CameraInfo, size: tuple[int, int]) -> CameraInfo:
    """Return a copy of a calibration that holds for a mask of the size (height, width).

    A mask of the size of the camera's images, which is that of the region of interest (the whole
    where there is none) over the binning, needs nothing. For another size the whole geometry is
    scaled: size, region, K and P, the principal point so that pixel centres stay where they are
    (OpenCV's convention, centres at whole numbers: c' = (c + 0.5) s - 0.5). Distortion and
    rectification are of angles and stay. What is unknown (zeros) stays so, too.
    """
    info = copy.copy(info)
    region = info.roi
    height = (region.height or info.height) // max(1, info.binning_y)
    width = (region.width or info.width) // max(1, info.binning_x)
    if not height or not width or (height, width) == size:
        return info
    y, x = size[0] / height, size[1] / width
    whole = height == info.height and width == info.width
    info.height, info.width = size if whole else (
        min(_MOST, round(info.height * y)), min(_MOST, round(info.width * x)))
    info.roi = copy.copy(region)
    for name, scale in (('x_offset', x), ('y_offset', y), ('width', x), ('height', y)):
        setattr(info.roi, name, min(_MOST, round(getattr(region, name) * scale)))
    if info.k[0]:
        info.k = _scaled(info.k, 3, x, y)
    if info.p[0]:
        info.p = _scaled(info.p, 4, x, y)
    return info


def _scaled(matrix: Sequence[float], columns: int, x: float, y: float) -> list[float]:
    """Return K (3 columns) or P (4), row by row, for an image x and y times as large."""
    values = [float(value) for value in matrix]
    for row, scale in ((0, x), (1, y)):
        begin = row * columns
        center = (values[begin + 2] + 0.5) * scale - 0.5
        values[begin:begin + columns] = [v * scale for v in values[begin:begin + columns]]
        values[begin + 2] = center
    return values


class CameraInfoRelay:
    """Remembers the newest CameraInfo messages of a topic."""

    def __init__(self, node: Node, group: CallbackGroup, name: str = 'camera_info') -> None:
        """Receive nothing before start(); `name` is remapped as usual."""
        self._node = node
        self._group = group
        self.topic = node.resolve_topic_name(name)
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

    def beside(self, header: Header, size: tuple[int, int]) -> CameraInfo | None:
        """Return the calibration for a mask: that of its stamp, else the newest, or None.

        Args:
            header: of the image; it goes out with the calibration.
            size: (height, width) of the mask.
        """
        with self._lock:
            if not self._infos:
                return None
            info = self._infos.get((header.stamp.sec, header.stamp.nanosec))
            if info is None:
                info = next(reversed(self._infos.values()))
        info = fitted(info, size)
        info.header = header
        return info

    def _receive(self, msg: CameraInfo) -> None:
        key = (msg.header.stamp.sec, msg.header.stamp.nanosec)
        with self._lock:
            self._infos[key] = msg
            self._infos.move_to_end(key)  # a bag that loops sends the same stamps again
            while len(self._infos) > KEPT:
                self._infos.popitem(last=False)
