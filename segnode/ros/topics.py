# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The topics of the segment node: one table, without ROS, that code and README derive from."""

from __future__ import annotations

from dataclasses import dataclass

from segnode.ros.health import STAGES


@dataclass(frozen=True)
class OutputTopic:
    """One topic that masks of a frame go out on."""

    name: str  # relative; remapped as usual
    type_name: str
    description: str
    flag: str = ''  # the bool parameter that switches it off


# Stages that have a topic: waiting is no work, and the total shows it.
LATENCY_STAGES: dict[str, str] = {
    stage: what for stage, what in STAGES.items() if stage != 'wait'}

OUTPUT_TOPICS: tuple[OutputTopic, ...] = (
    OutputTopic(
        'segmentation/labels', 'sensor_msgs/msg/Image',
        "mono8: train ids (group ids with label_grouping) at the image's size (labels_at:= "
        'another), 255 unlabelled; header copied unchanged',
        'publish_labels'),
    OutputTopic(
        'segmentation/confidence', 'sensor_msgs/msg/Image',
        'mono8, 0 to 255; only with confidence:=true'),
    OutputTopic(
        'segmentation/uncertainty', 'sensor_msgs/msg/Image',
        'mono8: 0 certain, 255 the largest that the measure can be (entropy, mutual_information: '
        'ln C; variance: (C - 1) / C^2; C classes) and where the network did not look; only with '
        'uncertainty:= one of these'),
    OutputTopic(
        'segmentation/color', 'sensor_msgs/msg/Image',
        "rgb8: the label set's colours", 'publish_color'),
    OutputTopic(
        'segmentation/overlay', 'sensor_msgs/msg/Image',
        "rgb8: image and colours blended by overlay_alpha, at the image's size",
        'publish_overlay'),
    OutputTopic(
        'segmentation/labels/compressed', 'sensor_msgs/msg/CompressedImage',
        'the labels as PNG, lossless', 'publish_compressed'),
    OutputTopic(
        'segmentation/overlay/compressed', 'sensor_msgs/msg/CompressedImage',
        'the overlay as JPEG', 'publish_compressed'),
    OutputTopic(
        'segmentation/camera_info', 'sensor_msgs/msg/CameraInfo',
        "the camera's calibration with the mask's header and for its size, where `camera_info` is "
        'published'),
    *(OutputTopic(
        f'segmentation/latency/{stage}', 'std_msgs/msg/Float32', f'ms: {what}', 'publish_latency')
      for stage, what in LATENCY_STAGES.items()),
)


def markdown_table() -> str:
    """Return the table for the README."""
    rows = [
        ('image', 'in', 'sensor_msgs/msg/Image',
         'the camera; or `image/compressed` (CompressedImage), by what is published and the '
         'parameter input_transport'),
        ('camera_info', 'in', 'sensor_msgs/msg/CameraInfo',
         'optional; beside the images (`/camera/camera_info` of `/camera/image_raw`) unless it is '
         'remapped itself'),
        *((topic.name, 'out', topic.type_name, topic.description) for topic in OUTPUT_TOPICS),
        ('segmentation/label_info', 'out', 'vision_msgs/msg/LabelInfo',
         'names of the classes or groups, latched; only where vision_msgs is installed'),
        ('/diagnostics', 'out', 'diagnostic_msgs/msg/DiagnosticArray',
         'once a second: level and reason, rates, drops and their causes, latency per stage, '
         'model, runtime, cache, memory, QoS that does not fit'),
    ]
    lines = ['| topic | | type | description |', '|---|---|---|---|']
    lines += [f'| `{name}` | {way} | {kind} | {text} |' for name, way, kind, text in rows]
    return '\n'.join(lines) + '\n'
