# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The class names as a latched vision_msgs/LabelInfo, where vision_msgs is installed."""

from __future__ import annotations

from typing import Any

from rclpy.lifecycle import LifecycleNode
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from segnode.labels import LabelSet

try:
    from vision_msgs.msg import LabelInfo, VisionClass
except ImportError:  # there is no wheel of vision_msgs
    LabelInfo = VisionClass = None

LATCHED = QoSProfile(
    depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class LabelInfoPublisher:
    """Publishes 'segmentation/label_info'; does nothing without vision_msgs."""

    def __init__(self, node: LifecycleNode, prefix: str = '') -> None:
        """Create the publisher, silent until the node is active; `prefix` is the camera's."""
        self._node = node
        self._publisher: Any = None
        if LabelInfo is not None:
            self._publisher = node.create_lifecycle_publisher(
                LabelInfo, f'{prefix}segmentation/label_info', LATCHED)

    def publish(self, label_set: LabelSet, min_confidence: float) -> None:
        """Say the names; every activation does, and every change of the model.

        By the convention of vision_msgs the largest id of the mask's type, here 255, is unlabelled
        and needs no entry.

        Args:
            label_set: of the names.
            min_confidence: below which a label is 255.
        """
        if self._publisher is None:
            return
        msg = LabelInfo(threshold=min_confidence, class_map=[
            VisionClass(class_id=index, class_name=name)
            for index, name in enumerate(label_set.names)])
        msg.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(msg)

    def destroy(self) -> None:
        """Take the publisher away."""
        if self._publisher is not None:
            self._node.destroy_lifecycle_publisher(self._publisher)
            self._publisher = None
