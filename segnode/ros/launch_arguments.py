# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The arguments of launch/segment.launch.py: one table, without ROS, for it and the README."""

from __future__ import annotations

from dataclasses import dataclass

from segnode.ros.parameters import BY_NAME

# Parameters of the node that are worth an argument; the others are set in params_file.
NODE_PARAMETERS: tuple[str, ...] = (
    'model', 'runtime', 'input_transport', 'image_reliability', 'confidence', 'overlay_alpha',
    'max_rate', 'allow_random_weights',
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
    LaunchArgument('namespace', '', 'Namespace of the node and of its relative topics.'),
    LaunchArgument(
        'params_file', '{config}/segment.yaml', 'YAML file with the parameters of the node.'),
    LaunchArgument(
        'use_sim_time', 'false', 'Take the time from /clock (ros2 bag play --clock).', BOOLEAN),
    LaunchArgument('autostart', 'true', BY_NAME['autostart'].description, BOOLEAN),
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
