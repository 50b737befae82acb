# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The publishers of the segment node, and the work for each, done only where somebody listens."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from functools import cached_property
import threading
from typing import Any

import cv2
import numpy as np
from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Float32, Header

from segnode.fitting import at_size
from segnode.labels import LabelSet
from segnode.pictures import blend
from segnode.ros.image_codec import encode_image, fill_image
from segnode.ros.qos import overridable
from segnode.ros.qos_mismatch import QosMismatches
from segnode.ros.topics import LATENCY_STAGES, OUTPUT_TOPICS, OutputTopic
from segnode.uncertainty import Uncertainty

# Masks in flight to a slow subscriber before older ones give way.
DEPTH = 5
MESSAGE_TYPES: dict[str, type] = {
    'sensor_msgs/msg/Image': Image,
    'sensor_msgs/msg/CompressedImage': CompressedImage,
    'sensor_msgs/msg/CameraInfo': CameraInfo,
    'std_msgs/msg/Float32': Float32,
}


@dataclass(frozen=True)
class Result:
    """What one frame gave, and the pictures of it, each made at most once and only when used."""

    image: np.ndarray  # uint8 (H, W, 3) BGR
    labels: np.ndarray  # uint8 (h, w) train ids, of the image's size or smaller
    confidence: np.ndarray | None  # uint8 (h, w)
    label_set: LabelSet
    settings: dict[str, Any]
    uncertainty: Uncertainty | None = None

    @cached_property
    def color(self) -> np.ndarray:
        """Return uint8 (h, w, 3) RGB: the colour of each label."""
        return self.label_set.colorize(self.labels)

    @cached_property
    def overlay(self) -> np.ndarray:
        """Return uint8 (H, W, 3) RGB: image and colours blended; the image where unlabelled."""
        image = np.asarray(cv2.cvtColor(self.image, cv2.COLOR_BGR2RGB))
        labels = at_size(self.labels, image.shape[:2])
        color = self.color if labels is self.labels else self.label_set.colorize(labels)
        return blend(image, color, labels, float(self.settings['overlay_alpha']))

    @cached_property
    def labels_png(self) -> array[int]:
        """Return the labels as a lossless PNG."""
        effort = [cv2.IMWRITE_PNG_COMPRESSION, int(self.settings['png_level'])]
        return encode_image('.png', self.labels, effort)

    @cached_property
    def overlay_jpeg(self) -> array[int]:
        """Return the overlay as a JPEG."""
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(self.settings['jpeg_quality'])]
        return encode_image('.jpg', cv2.cvtColor(self.overlay, cv2.COLOR_RGB2BGR), quality)


class Outputs:
    """All publishers of one camera of a configured node."""

    def __init__(self, node: LifecycleNode, prefix: str = '', *, confidence: bool,
                 uncertainty: bool, mismatches: QosMismatches) -> None:
        """Create the publishers, as managed entities of the node: silent until it is active.

        Args:
            node: the owner.
            prefix: of the names of all topics: the camera's, '' where there is but one.
            confidence: whether the confidence image is made at all.
            uncertainty: whether the uncertainty image is.
            mismatches: learns of subscribers that ask for more than is offered.

        Raises:
            SegnodeError: a qos_overrides parameter has a value that there is not.
        """
        self._node = node
        self._prefix = prefix
        self._mismatches = mismatches
        # The worker and whoever decides on a rest ask, a transition and a new model change.
        self._lock = threading.Lock()
        self._publishers: dict[str, Any] = {}
        made = {'segmentation/confidence': confidence, 'segmentation/uncertainty': uncertainty}
        for topic in OUTPUT_TOPICS:
            if made.get(topic.name, True):
                self._publishers[topic.name] = self._created(topic)

    def change(self, *, confidence: bool, uncertainty: bool, active: bool) -> None:
        """Create or take away the publishers that not every model has.

        Args:
            confidence, uncertainty: as of the constructor.
            active: whether the node is.

        Raises:
            SegnodeError: as the constructor.
        """
        made = {'segmentation/confidence': confidence, 'segmentation/uncertainty': uncertainty}
        with self._lock:
            for topic in OUTPUT_TOPICS:
                there = topic.name in self._publishers
                if made.get(topic.name, True) and not there:
                    publisher = self._created(topic)
                    if active:
                        publisher.on_activate(None)  # it takes a state and looks at none
                    self._publishers[topic.name] = publisher
                elif there and not made.get(topic.name, True):
                    self._take_away(topic.name)

    def destroy(self) -> None:
        """Take all publishers away."""
        with self._lock:
            for name in list(self._publishers):
                self._take_away(name)

    def _created(self, topic: OutputTopic) -> Any:
        name = resolved(self._node, self._prefix + topic.name)
        profile, _ = overridable(
            self._node, name, 'publisher', reliability='reliable', depth=DEPTH)
        return self._node.create_lifecycle_publisher(
            MESSAGE_TYPES[topic.type_name], name, profile,
            event_callbacks=self._mismatches.of_publisher(name, profile))

    def _take_away(self, name: str) -> None:
        self._node.destroy_lifecycle_publisher(self._publishers.pop(name))
        self._mismatches.forget(resolved(self._node, self._prefix + name))

    def wanted(self, settings: dict[str, Any]) -> tuple[str, ...]:
        """Return the names of the topics that are switched on and have a subscriber."""
        with self._lock:
            return tuple(
                topic.name for topic in OUTPUT_TOPICS
                if topic.name in self._publishers
                and (not topic.flag or settings[topic.flag])
                and self._publishers[topic.name].get_subscription_count() > 0)

    def publish(self, wanted: tuple[str, ...], header: Header, result: Result,
                info: CameraInfo | None) -> tuple[str, ...]:
        """Publish the masks, the plain labels first; return the topics that were served.

        Args:
            wanted: names of the topics to serve.
            header: that of the input image; it goes out unchanged.
            result: what the frame gave.
            info: calibration to go out beside the masks, where there is one.
        """
        served = []
        for name in wanted:
            msg = self._message(name, header, result, info)
            if msg is not None:
                self._publishers[name].publish(msg)
                served.append(name)
        return tuple(served)

    def publish_latency(self, wanted: tuple[str, ...], stages: dict[str, float]) -> None:
        """Publish milliseconds per stage."""
        for stage in LATENCY_STAGES:
            name = f'segmentation/latency/{stage}'
            if name in wanted and stage in stages:
                self._publishers[name].publish(Float32(data=stages[stage]))

    @staticmethod
    def _message(name: str, header: Header, result: Result, info: CameraInfo | None) -> Any:
        if name == 'segmentation/labels':
            return fill_image(Image(header=header), result.labels, 'mono8')
        if name == 'segmentation/color':
            return fill_image(Image(header=header), result.color, 'rgb8')
        if name == 'segmentation/overlay':
            return fill_image(Image(header=header), result.overlay, 'rgb8')
        if name == 'segmentation/confidence' and result.confidence is not None:
            return fill_image(Image(header=header), result.confidence, 'mono8')
        if name == 'segmentation/uncertainty' and result.uncertainty is not None:
            scaled = result.uncertainty.scaled(str(result.settings['uncertainty']))
            return fill_image(Image(header=header), scaled, 'mono8')
        if name == 'segmentation/camera_info':
            return info
        if name == 'segmentation/labels/compressed':
            return CompressedImage(
                header=header, format='mono8; png compressed mono8', data=result.labels_png)
        if name == 'segmentation/overlay/compressed':
            return CompressedImage(
                header=header, format='rgb8; jpeg compressed bgr8', data=result.overlay_jpeg)
        return None


def resolved(node: LifecycleNode, name: str) -> str:
    """Return the full topic name; '/compressed' follows the remapped name of its base topic."""
    base, slash, last = name.rpartition('/')
    if last == 'compressed':
        return str(node.resolve_topic_name(base)) + slash + last
    return str(node.resolve_topic_name(name))
