# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Node `segment_points`: masks and depth images in, labelled point clouds out."""

from __future__ import annotations

from array import array
import sys
from typing import Any

import numpy as np
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from sensor_msgs.msg import Image, PointCloud2, PointField
from std_msgs.msg import Header

from segnode.commands.labels import find_label_set
from segnode.errors import SegnodeError
from segnode.label_grouping import load_grouping
from segnode.labels import LabelSet
from segnode.ros.camera_info import CameraInfoRelay
from segnode.ros.followed_topic import FollowedTopic
from segnode.ros.image_codec import DecodeError
from segnode.ros.log_bridge import throttled
from segnode.ros.own_parameters import declare_all, POINTS
from segnode.ros.own_process import run
from segnode.ros.points import (
    CloudMaker,
    DEPTH_TYPES,
    Intrinsics,
    LABEL_TYPES,
    OFFSETS,
    plane,
    POINT,
)
from segnode.ros.qos import overridable
from segnode.ros.stamp_pairs import StampPairs

TOPIC = 'segmentation/points'
# Clouds in flight to a slow subscriber before older ones give way.
DEPTH = 2
# Seconds between two looks at whether clouds come, and between two warnings of one kind.
REPORT_PERIOD = 5.0
THROTTLE = 5.0
# With it a message keeps an array.array as it is, without it it copies it (34 MB of a full cloud):
# rosidl_generator_py since Jazzy; before, there was no such argument and no copy.
_BY_REFERENCE = {'check_fields': True} if '_check_fields' in PointCloud2.__slots__ else {}
FIELDS = [PointField(name=name, offset=offset, datatype=kind, count=1)
          for name, offset, kind in (
              *((name, OFFSETS[name], PointField.FLOAT32) for name in ('x', 'y', 'z', 'rgb')),
              ('label', OFFSETS['label'], PointField.UINT32))]


class PointsNode(Node):
    """Pairs masks and depth images by their stamps; works only while somebody listens."""

    finished = False

    def __init__(self, **options: Any) -> None:
        """Declare everything and subscribe.

        Raises:
            SegnodeError: a parameter cannot be used.
        """
        super().__init__('segment_points', **options)
        own = declare_all(self, POINTS)
        for name in ('stride', 'queue_size'):
            if own[name] < 1:
                raise SegnodeError(f'parameter {name} must be 1 or more, not {own[name]}')
        if not np.isfinite(own['slop']):
            raise SegnodeError(f'parameter slop must be a number of seconds, not {own["slop"]}')
        names = [name.strip() for name in own['classes'].split(',') if name.strip()]
        try:
            self._maker = CloudMaker(
                _label_set(own), names, stride=own['stride'], organized=own['organized'],
                max_depth=own['max_depth'])
        except ValueError as error:
            raise SegnodeError(f'parameter classes: {error}') from error
        self._organized = own['organized']
        self._slop = own['slop']
        self._pairs: StampPairs[Image, Image] = StampPairs(
            round(own['slop'] * 1e9), own['queue_size'])
        profile, _ = overridable(
            self, self.resolve_topic_name(TOPIC), 'publisher', reliability='reliable', depth=DEPTH)
        self._publisher = self.create_publisher(PointCloud2, TOPIC, profile)
        self._camera_info = CameraInfoRelay(
            self, MutuallyExclusiveCallbackGroup(), 'camera_info', 'depth')
        self._camera_info.start()
        self._counts = {'masks': 0, 'depths': 0, 'clouds': 0}
        self._masks, self._depths = (
            FollowedTopic(self, Image, topic, receive, own['reliability'],
                          lambda: not own['lazy'] or self._publisher.get_subscription_count() > 0)
            for topic, receive in (('segmentation/labels', self._mask), ('depth', self._depth)))
        self.create_timer(
            REPORT_PERIOD, self._report, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self.get_logger().info(
            f'{self._masks.topic} and {self._depths.topic} -> {self._publisher.topic_name}')

    def close(self) -> None:
        """Nothing is left to bring to an end."""

    def _mask(self, message: Image) -> None:
        self._counts['masks'] += 1
        if self._listened_to():
            self._publish(self._pairs.add_mask(_stamp(message), message))

    def _depth(self, message: Image) -> None:
        self._counts['depths'] += 1
        if self._listened_to():
            self._publish(self._pairs.add_depth(_stamp(message), message))

    def _listened_to(self) -> bool:
        if self._publisher.get_subscription_count():
            return True
        self._pairs.clear()
        return False

    def _publish(self, pairs: list[tuple[Image, Image]]) -> None:
        for mask, depth in pairs:
            try:
                self._publisher.publish(self._cloud(mask, depth))
                self._counts['clouds'] += 1
            except DecodeError as error:
                self.get_logger().warning(f'a cloud was left out: {error}', **throttled(THROTTLE))
            except Exception as error:  # the next frame may be fine, whatever this one did
                self.get_logger().error(
                    f'a cloud was left out: {type(error).__name__}: {error}',
                    **throttled(THROTTLE))

    def _cloud(self, mask: Image, depth: Image) -> PointCloud2:
        labels = plane(mask, LABEL_TYPES, 'the mask')
        distances = plane(depth, DEPTH_TYPES, 'the depth image')
        info = self._camera_info.beside(depth.header, distances.shape)
        if info is None:
            raise DecodeError(f'no calibration came on {self._camera_info.topic} yet')
        points = self._maker.make(labels, distances, Intrinsics.of(info))
        return message_of(points, depth.header, dense=not self._organized)

    def _report(self) -> None:
        """Say why no cloud comes, where one is wanted."""
        counts, self._counts = self._counts, dict.fromkeys(self._counts, 0)
        unpaired, self._pairs.unpaired = self._pairs.unpaired, 0
        if counts['clouds'] or not self._publisher.get_subscription_count():
            return
        for what, topic in (('masks', self._masks), ('depths', self._depths)):
            if not counts[what]:
                self.get_logger().warning(
                    f'no cloud for {REPORT_PERIOD:.0f} s: nothing came on {topic.topic}, which '
                    f'has {topic.publishers()} publisher(s)')
                return
        if unpaired:
            within = f'within {self._slop:g} s of its own' if self._slop else 'of its own stamp'
            self.get_logger().warning(
                f'no cloud for {REPORT_PERIOD:.0f} s: none of {unpaired} masks had a depth image '
                f"{within}: see the parameters 'slop' and 'queue_size'")


def message_of(points: np.ndarray, header: Header, *, dense: bool) -> PointCloud2:
    """Return points as a message.

    Args:
        points: ``POINT``s, (rows, columns) or (n,).
        header: to go out with them.
        dense: whether all of them are known.
    """
    height, width = points.shape if points.ndim == 2 else (1, points.size)
    cloud = PointCloud2(
        header=header, height=height, width=width, fields=FIELDS,
        is_bigendian=sys.byteorder == 'big', point_step=POINT.itemsize,
        row_step=POINT.itemsize * width, is_dense=dense, **_BY_REFERENCE)
    data = array('B')
    data.frombytes(points.view(np.uint8).data if points.size else b'')
    cloud.data = data
    return cloud


def _label_set(own: dict[str, Any]) -> LabelSet:
    """Return the classes that the masks hold."""
    found = find_label_set(own['model'])
    if own['label_grouping']:
        found = load_grouping(own['label_grouping'], found).groups
    return found


def _stamp(message: Image) -> int:
    return int(message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec)


def main(args: list[str] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM; return the exit code."""
    return run(PointsNode, args, POINTS)


if __name__ == '__main__':
    sys.exit(main())
