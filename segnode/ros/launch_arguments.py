# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The arguments of launch/segment.launch.py and what they mean, without ROS.

One table for the launch file and the README, and every decision that the launch file takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from segnode.errors import SegnodeError
from segnode.ros.parameters import BY_NAME

# Parameters of the node that are worth an argument; the others are set in params_file.
NODE_PARAMETERS: tuple[str, ...] = (
    'model', 'runtime', 'labels_at', 'label_grouping', 'rotation', 'ego_mask',
    'input_transport', 'image_reliability', 'confidence', 'uncertainty', 'samples',
    'overlay_alpha', 'max_rate', 'allow_random_weights', 'autostart',
)
BOOLEAN = ('true', 'false')


@dataclass(frozen=True)
class LaunchArgument:
    """One argument. In a default, {config} is the package's config folder."""

    name: str
    default: str
    description: str
    choices: tuple[str, ...] = ()


def _of_parameter(name: str) -> LaunchArgument:
    """Return the argument for a parameter of the node; empty leaves it to params_file."""
    spec = BY_NAME[name]
    default = str(spec.default).lower() if spec.type_name == 'bool' else spec.default
    choices = BOOLEAN if spec.type_name == 'bool' else spec.choices
    return LaunchArgument(
        name, '', f"{spec.description} Empty: as in params_file; the package's has {default}.",
        (*choices, '') if choices else ())


ARGUMENTS: tuple[LaunchArgument, ...] = (
    *(_of_parameter(name) for name in NODE_PARAMETERS),
    LaunchArgument(
        'image', 'image_raw',
        'Topic of the camera images (sensor_msgs/Image). With input_transport:=compressed still '
        'this name: /compressed is appended to it.'),
    LaunchArgument(
        'camera_info', '', "Topic of the camera's calibration; empty: beside the image topic."),
    LaunchArgument(
        'depth', '',
        'Topic of depth images that show what the camera shows (registered to it). Given: also '
        'start segment_points, which makes point clouds of them and the labels; empty: do not.'),
    LaunchArgument(
        'depth_camera_info', '',
        "Topic of the depth images' calibration; empty: beside the depth topic."),
    LaunchArgument('namespace', '', 'Namespace of the node and of its relative topics.'),
    LaunchArgument(
        'params_file', '{config}/segment.yaml', 'YAML file with the parameters of the node.'),
    LaunchArgument(
        'use_sim_time', '',
        'Take the time from /clock (ros2 bag play --clock), RViz too. Empty: as in params_file; '
        'without a word there it is false.', (*BOOLEAN, '')),
    LaunchArgument(
        'log_level', 'info', 'Lowest level that the node logs.',
        ('debug', 'info', 'warn', 'error', 'fatal')),
    LaunchArgument(
        'rviz', 'false', 'Also open RViz with the camera image, the colour mask and the overlay.',
        BOOLEAN),
    LaunchArgument('rviz_config', '{config}/segment.rviz', 'Configuration of RViz.'),
    LaunchArgument(
        'source', '',
        "Also start the player, with this folder of images, video file or bag; 'built-in' is the "
        'rendered road scene; empty: no player.'),
    LaunchArgument(
        'rate', '0.0', "Frames per second of the player; 0 is the source's own rate."),
    LaunchArgument('loop', 'true', 'The player starts again at the end of its source.', BOOLEAN),
)


def node_parameters(values: Mapping[str, str]) -> dict[str, Any]:
    """Return the node's parameters that arguments set; what is empty is left to params_file.

    Args:
        values: every argument of the table by name, as text.

    Raises:
        SegnodeError: a text is no value of the parameter's type.
    """
    given = {name: typed(name, values[name], BY_NAME[name].type_name)
             for name in NODE_PARAMETERS if values[name]}
    return {**given, **clock_parameters(values)}


def clock_parameters(values: Mapping[str, str]) -> dict[str, bool]:
    """Return use_sim_time where it is given: for the node and for RViz, which shows its topics."""
    text = values['use_sim_time']
    return {'use_sim_time': typed('use_sim_time', text, 'bool')} if text else {}


def player_parameters(values: Mapping[str, str]) -> dict[str, Any]:
    """Return the player's parameters.

    Never use_sim_time: the player stands for the camera, and with `ros2 bag play --clock` beside
    it there is none.

    Raises:
        SegnodeError: as node_parameters.
    """
    source = values['source']
    return {
        'source': '' if source == 'built-in' else source,
        'rate': typed('rate', values['rate'], 'double'),
        'loop': typed('loop', values['loop'], 'bool'),
        'compressed': values['input_transport'] == 'compressed',
        'wait_for_subscribers': 1,
    }


def points_parameters(values: Mapping[str, str]) -> dict[str, Any]:
    """Return the parameters of segment_points, which names the classes as the node does.

    Raises:
        SegnodeError: as node_parameters.
    """
    shared = {name: values[name] for name in ('model', 'label_grouping') if values[name]}
    return {**shared, **clock_parameters(values)}


def points_remappings(values: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the remappings of segment_points."""
    depth = values['depth']
    return [('depth', depth), ('camera_info', values['depth_camera_info'] or beside(depth))]


def node_remappings(values: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the node's remappings; the calibration lies beside the image by default."""
    image = values['image']
    return [('image', image), ('camera_info', values['camera_info'] or beside(image))]


def rviz_remappings(values: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return RViz' remappings: its configuration has full names, which must follow the node's."""
    return [('/image_raw', values['image']), ('/segmentation/color', 'segmentation/color'),
            ('/segmentation/overlay', 'segmentation/overlay'),
            ('/segmentation/points', 'segmentation/points')]


def beside(image: str) -> str:
    """Return the topic of the calibration of an image topic, by the convention of ROS drivers."""
    return f'{image.rpartition("/")[0]}/camera_info' if '/' in image else 'camera_info'


def log_arguments(level: str, namespace: str, pushed: str = '') -> list[str]:
    """Return the command-line arguments for the node's log level.

    A node's logger has the node's full name, with dots: /front/segment logs as front.segment.

    Args:
        level: of the argument log_level.
        namespace: of the argument namespace.
        pushed: namespace that a launch file around this one has pushed.
    """
    full = namespace if namespace.startswith('/') else f'{pushed}/{namespace}'
    name = '.'.join(part for part in (*full.split('/'), 'segment') if part)
    return ['--ros-args', '--log-level', f'{name}:={level}']


def typed(name: str, text: str, type_name: str) -> Any:
    """Return the value that the text of a launch argument stands for.

    Raises:
        SegnodeError: the text is no value of that type.
    """
    try:
        if type_name == 'bool':
            return {'true': True, 'false': False}[text.lower()]
        return {'integer': int, 'double': float, 'string': str}[type_name](text)
    except (KeyError, ValueError):
        raise SegnodeError(
            f'launch argument {name} must be of type {type_name}, not {text!r}') from None


def markdown_table() -> str:
    """Return the table for the README."""
    lines = ['| argument | default | allowed | description |', '|---|---|---|---|']
    for argument in ARGUMENTS:
        default = argument.default.replace('{config}', 'config')
        lines.append(
            f'| `{argument.name}` | {f"`{default}`" if default else ""} | '
            f'{", ".join(choice for choice in argument.choices if choice)} | '
            f'{argument.description} |')
    return '\n'.join(lines) + '\n'
