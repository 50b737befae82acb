# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The arguments of launch/segment.launch.py and what they mean, without ROS.

One table for the launch file and the documentation, and what is decided about parameters;
launch_topics.py decides about topics, launch_bag.py about bags, camera_drivers.py about cameras.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from segnode.errors import SegnodeError
from segnode.ros.parameters import BY_NAME, ParameterSpec

# Every parameter of the node is an argument: what is asked for on the command line is as often
# precision, input_size or warn_rate as model.
NODE_PARAMETERS: tuple[str, ...] = tuple(BY_NAME)
BOOLEAN = ('true', 'false')
# Defaults that stand for nothing.
UNSAID = ('', [''])


@dataclass(frozen=True)
class LaunchArgument:
    """One argument. In a default, {config} is the package's config folder."""

    name: str
    default: str
    description: str
    choices: tuple[str, ...] = ()


OWN_ARGUMENTS: tuple[LaunchArgument, ...] = (
    LaunchArgument(
        'image', 'image_raw',
        'Topic of the camera images (sensor_msgs/Image). With input_transport:=compressed still '
        'this name: /compressed is appended to it. With cameras {camera} stands for the name of '
        'each, as in /{camera}/color/image_raw; image_raw is then {camera}/image_raw.'),
    LaunchArgument(
        'camera_info', '', "Topic of the camera's calibration; empty: beside the image topic."),
    LaunchArgument(
        'depth', '',
        'Topic of depth images that show what the camera shows (registered to it). Given: also '
        'start segment_points, which makes point clouds of them and the labels; empty: do not.'),
    LaunchArgument(
        'depth_camera_info', '',
        "Topic of the depth images' calibration; empty: beside the depth topic."),
    LaunchArgument('namespace', '', 'Namespace of the nodes and of their relative topics.'),
    LaunchArgument(
        'params_file', '{config}/segment.yaml', 'YAML file with the parameters of the node.'),
    LaunchArgument(
        'use_sim_time', '',
        'Take the time from /clock (ros2 bag play --clock), RViz too. Empty: true with bag, else '
        'as in params_file; without a word there it is false.', (*BOOLEAN, '')),
    LaunchArgument(
        'log_level', 'info', 'Lowest level that the node logs.',
        ('debug', 'info', 'warn', 'error', 'fatal')),
    LaunchArgument(
        'on_exit', 'nothing',
        'What follows when the node ends by itself: nothing, respawn (it starts again after 2 s) '
        'or shutdown (everything that was launched ends).', ('nothing', 'respawn', 'shutdown')),
    LaunchArgument(
        'rviz', 'false',
        'Also open RViz with the camera image, the colour mask, the overlay and the points, of '
        'the first of several cameras.', BOOLEAN),
    LaunchArgument('rviz_config', '{config}/segment.rviz', 'Configuration of RViz.'),
    LaunchArgument(
        'rviz_frame', '',
        'Fixed frame of RViz, which the points need: theirs, or one that tf knows them in. Empty: '
        "as in rviz_config; the package's has camera_optical_frame."),
    LaunchArgument(
        'bag', '',
        'Also play this bag with ros2 bag play, once the node is ready for images; image_raw is '
        "then the bag's only image topic. Empty: no bag."),
    LaunchArgument(
        'bag_arguments', '',
        "More arguments of ros2 bag play, such as '--loop --start-offset 30'."),
    LaunchArgument(
        'source', '',
        "Also start the player, with this folder of images, video file or bag; 'built-in' is the "
        'rendered road scene; empty: no player.'),
    LaunchArgument(
        'rate', '0.0', "Frames per second of the player; 0 is the source's own rate."),
    LaunchArgument('loop', 'true', 'The player starts again at the end of its source.', BOOLEAN),
)


def _of_parameter(spec: ParameterSpec) -> LaunchArgument:
    """Return the argument for a parameter of the node; empty leaves it to params_file."""
    choices = BOOLEAN if spec.type_name == 'bool' else spec.choices
    known = f"; the package's has {as_text(spec.default)}" if spec.default not in UNSAID else ''
    return LaunchArgument(
        spec.name, '', f'{spec.description} Empty: as in params_file{known}.',
        (*choices, '') if choices else ())


def as_text(value: Any) -> str:
    """Return a value as it is written behind := on a command line."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value).replace("'", '')


ARGUMENTS: tuple[LaunchArgument, ...] = (
    *OWN_ARGUMENTS, *(_of_parameter(spec) for spec in BY_NAME.values()))


def node_parameters(values: Mapping[str, str]) -> dict[str, Any]:
    """Return the node's parameters that arguments set; what is empty is left to params_file.

    Args:
        values: every argument of the table by name, as text.

    Raises:
        SegnodeError: a text is no value of the parameter's type.
    """
    given = {name: typed(name, values[name], BY_NAME[name].type_name)
             for name in NODE_PARAMETERS if values[name]}
    # Launch refuses lists without items; cameras:=[] is for the node what [''] is.
    told = {name: [''] if value == [] else value for name, value in given.items()}
    return {**told, **clock_parameters(values)}


def clock_parameters(values: Mapping[str, str]) -> dict[str, bool]:
    """Return use_sim_time where it is known: for the node and for RViz, which shows its topics."""
    text = values['use_sim_time'] or ('true' if values['bag'] else '')
    return {'use_sim_time': typed('use_sim_time', text, 'bool')} if text else {}


def player_parameters(values: Mapping[str, str], camera: str = '') -> dict[str, Any]:
    """Return the player's parameters.

    Never use_sim_time: the player stands for the camera, and with `ros2 bag play --clock` beside
    it there is none.

    Args:
        values: every argument of the table by name, as text.
        camera: whose images it plays; '' where there is but one.

    Raises:
        SegnodeError: as node_parameters.
    """
    source = values['source']
    own = {'frame_id': f'{camera}_optical_frame'} if camera else {}
    return {
        'source': '' if source == 'built-in' else source,
        'rate': typed('rate', values['rate'], 'double'),
        'loop': typed('loop', values['loop'], 'bool'),
        'compressed': 'compressed' in (
            values['input_transport'], values['image'].rpartition('/')[2]),
        'wait_for_subscribers': 1,
        **own,
    }


def points_parameters(values: Mapping[str, str]) -> dict[str, Any]:
    """Return the parameters of segment_points: it names the classes, and rests, as the node does.

    Raises:
        SegnodeError: as node_parameters.
    """
    shared = {name: typed(name, values[name], BY_NAME[name].type_name)
              for name in ('model', 'label_grouping', 'lazy') if values[name]}
    return {**shared, **clock_parameters(values)}


def rviz_arguments(values: Mapping[str, str]) -> list[str]:
    """Return the command-line arguments of RViz."""
    frame = values['rviz_frame']
    return ['-d', values['rviz_config'], *(['-f', frame] if frame else [])]


def check_sources(values: Mapping[str, str]) -> None:
    """Raise a SegnodeError where two things would give the images."""
    if values['bag'] and values['source']:
        raise SegnodeError('launch arguments bag and source both give images: choose one of them')


def log_arguments(level: str, namespace: str, pushed: str = '') -> list[str]:
    """Return the command-line arguments for the node's log level.

    A node's logger has the node's full name, with dots: /front/segment logs as front.segment.

    Args:
        level: of the argument log_level.
        namespace: of the argument namespace.
        pushed: namespace that a launch file around this one has pushed.
    """
    name = full_name(namespace, pushed)[1:].replace('/', '.')
    return ['--ros-args', '--log-level', f'{name}:={level}']


def full_name(namespace: str, pushed: str = '') -> str:
    """Return the full name of the node: /front/segment. Arguments as of log_arguments."""
    full = namespace if namespace.startswith('/') else f'{pushed}/{namespace}'
    return '/' + '/'.join(part for part in (*full.split('/'), 'segment') if part)


def typed(name: str, text: str, type_name: str) -> Any:
    """Return the value that the text of a launch argument stands for.

    A list is written [512, 1024], or without the brackets.

    Raises:
        SegnodeError: the text is no value of that type.
    """
    single = type_name.removesuffix(' array')
    try:
        if single != type_name:
            items = [_single(item, single) for item in _items(text)]
            if not items and single != 'string':
                raise ValueError(text)
            return items
        return _single(text, single)
    except (KeyError, ValueError, yaml.YAMLError):
        written = '' if single == type_name else ', written as [A, B, ...]'
        raise SegnodeError(f'launch argument {name} must be of type {type_name}{written}, '
                           f'not {text!r}') from None


def _single(text: str, type_name: str) -> Any:
    if type_name == 'bool':
        return {'true': True, 'false': False}[text.lower()]
    return {'integer': int, 'double': float, 'string': str}[type_name](text)


def _items(text: str) -> list[str]:
    """Return the items of a list as texts, so that a camera may be called `on` or `1`."""
    bracketed = text if text.lstrip().startswith('[') else f'[{text}]'
    items = yaml.load(bracketed, yaml.BaseLoader)
    if not all(isinstance(item, str) for item in items):
        raise ValueError(text)
    return list(items)


def markdown_table(arguments: Sequence[LaunchArgument] = OWN_ARGUMENTS) -> str:
    """Return the table for the documentation, without those that are parameters of the node."""
    lines = ['| argument | default | allowed | description |', '|---|---|---|---|']
    for argument in arguments:
        default = argument.default.replace('{config}', 'config')
        lines.append(
            f'| `{argument.name}` | {f"`{default}`" if default else ""} | '
            f'{", ".join(choice for choice in argument.choices if choice)} | '
            f'{argument.description} |')
    return '\n'.join(lines) + '\n'
