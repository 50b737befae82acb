# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Parameters of the small nodes (player, recorder, segment_points): one table each, read at start.

The tables need no ROS, so that the README can be made from them anywhere.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TYPE_CHECKING

from segnode.errors import SegnodeError

if TYPE_CHECKING:
    from rclpy.node import Node


class OwnParameter(NamedTuple):
    """Name, default (which gives the type) and meaning of one parameter."""

    name: str
    default: Any
    description: str
    choices: tuple[str, ...] = ()


PLAYER = (
    OwnParameter('source', '', "Folder of images, video file, or ROS 2 bag; '' is the built-in "
                 'road scene.'),
    OwnParameter('topic', '', "Image topic of a bag; '' takes the only one."),
    OwnParameter('rate', 0.0, "Frames per second; 0 is the source's own rate (folder: 5)."),
    OwnParameter('frames', 0, 'Stop after so many frames; 0 plays all.'),
    OwnParameter('loop', False, 'Start again at the end, until stopped or until `frames`.'),
    OwnParameter('raw', True, 'Publish image_raw.'),
    OwnParameter('compressed', False, 'Publish image_raw/compressed (JPEG, quality 95).'),
    OwnParameter('frame_id', 'camera_optical_frame', 'frame_id of every header.'),
    OwnParameter('reliability', 'reliable', 'Reliability offered: reliable or best_effort.',
                 choices=('reliable', 'best_effort')),
    OwnParameter('wait_for_subscribers', 0,
                 'Hold the first frame until so many subscribe to image_raw (raw or compressed).'),
)
RECORDER = (
    OwnParameter('out', 'segmentation_run', 'Folder to write to.'),
    OwnParameter('settle', 3.0, 'Seconds to wait for more after the player has said that it is at '
                 'its end.'),
    OwnParameter('progress', False, 'Print a line `recorded N` for each frame.'),
)
POINTS = (
    OwnParameter('model', 'fsffnet', "As the segment node's, for the names and colours of the "
                 'classes; or a label set by name or .yaml file.'),
    OwnParameter('label_grouping', '', "As the segment node's."),
    OwnParameter('classes', '', 'Names, separated by commas, of the classes whose points are '
                 'wanted; empty: all, and the unlabelled.'),
    OwnParameter('organized', False, 'Rows and columns like the depth image, NaN where there is '
                 'no point; false: only the points that there are.'),
    OwnParameter('stride', 1, 'Of every so many rows and columns of the depth image one.'),
    OwnParameter('max_depth', 0.0, 'Metres ahead beyond which there is no point; 0 is no limit.'),
    OwnParameter('lazy', False, 'Subscribe to masks and depth images only while somebody '
                 'subscribes to the clouds.'),
    OwnParameter('slop', 0.0, 'Seconds by which the stamps of mask and depth image may differ; 0 '
                 'asks for equal ones.'),
    OwnParameter('queue_size', 30, 'Depth images, and masks, that wait for their other half at '
                 'most; enough for the time that the network takes.'),
    OwnParameter('reliability', 'auto', 'Reliability asked of the publishers of masks and depth '
                 'images; auto: reliable where all of them offer it.',
                 choices=('auto', 'reliable', 'best_effort')),
)


def markdown_table(parameters: tuple[OwnParameter, ...]) -> str:
    """Return the table for the README."""
    kinds = {bool: 'bool', int: 'integer', float: 'double', str: 'string'}
    lines = ['| parameter | type | default | description |', '|---|---|---|---|']
    for name, default, description, _ in parameters:
        shown = str(default).lower() if isinstance(default, bool) else repr(default)
        lines.append(f'| `{name}` | {kinds[type(default)]} | `{shown}` | {description} |')
    return '\n'.join(lines) + '\n'


def declare_all(node: Node, parameters: tuple[OwnParameter, ...]) -> dict[str, Any]:
    """Declare the parameters, read-only, and return their values by name.

    Whole numbers are taken for doubles; numbers may not be negative.

    Raises:
        SegnodeError: a value has the wrong type or is not allowed.
    """
    from rcl_interfaces.msg import ParameterDescriptor
    from rclpy.exceptions import ParameterException
    values = {}
    for name, default, description, choices in parameters:
        # Typing is checked here, for `rate:=5` is meant as 5.0 and ROS would refuse it.
        describe = ParameterDescriptor(
            name=name, description=description, read_only=True, dynamic_typing=True,
            additional_constraints=f'one of {", ".join(choices)}' if choices else '')
        try:
            value = node.declare_parameter(name, default, describe).value
        except ParameterException as error:
            raise SegnodeError(f'parameter {name}: {error}') from error
        if isinstance(default, float) and type(value) is int:
            value = float(value)
        if type(value) is not type(default):
            raise SegnodeError(f'parameter {name} must be of type {type(default).__name__}, '
                               f'not {value!r}')
        if choices and value not in choices:
            raise SegnodeError(f'parameter {name} must be one of {", ".join(choices)}, '
                               f'not {value!r}')
        if isinstance(value, (int, float)) and not value >= 0:
            raise SegnodeError(f'parameter {name} must be 0 or more, not {value!r}')
        values[name] = value
    return values
