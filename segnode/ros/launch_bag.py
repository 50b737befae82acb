# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""How launch/segment.launch.py plays a bag with `ros2 bag play`, without ROS.

Beside --clock it needs two things to lose nothing: the bag starts when the node is ready
(segnode.ros.check waits for that), and its images are offered as reliable, whatever they were
recorded from, since large best-effort images get lost on the way (segnode/ros/transport.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import os
from pathlib import Path
import shlex
from typing import Any

import yaml

from segnode.errors import SegnodeError
from segnode.ros.launch_topics import cameras, image_of, ONE_CAMERA

METADATA = 'metadata.yaml'
COMPRESSED = '/compressed'
IMAGE_TYPES = ('sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage')
DEFAULT_IMAGE = 'image_raw'
# Frames that a subscriber may be behind before older ones give way (transport.SUBSCRIPTION_DEPTH).
RELIABLE = {'reliability': 'reliable', 'history': 'keep_last', 'depth': 10}


def with_image_of_bag(values: Mapping[str, str]) -> dict[str, str]:
    """Return the arguments with `image` filled in where it is the bag's only one.

    Only a bag with metadata.yaml tells; with another one, or one that bag_arguments remap, `image`
    has to be given.

    Raises:
        SegnodeError: there is no such bag, it has no images, or none under the name given, or
            several and none given; bag_arguments is no command line.
    """
    bag, image = values['bag'], values['image']
    found = image_topics(Path(bag)) if bag else None
    renamed = {'--remap', '-m'} & set(_more(values))
    if found is None or renamed or cameras(values) != (ONE_CAMERA,):
        return dict(values)
    listed = ', '.join(found)
    if _full(image, values['namespace']).removesuffix(COMPRESSED) in found:
        return dict(values)
    if not found:
        raise SegnodeError(f'{bag} has no image topic: segnode takes {" and ".join(IMAGE_TYPES)}')
    if image != DEFAULT_IMAGE:
        raise SegnodeError(f'{bag} has no images on {image}: its image topics are {listed}')
    if len(found) > 1:
        raise SegnodeError(f'{bag} has several image topics: give one of them with image:=, '
                           f'{listed}')
    return {**values, 'image': found[0]}


def image_topics(bag: Path) -> list[str] | None:
    """Return the names of the image topics of a bag, without /compressed; None if it is silent.

    Raises:
        SegnodeError: there is no such bag, or its metadata.yaml is none.
    """
    if not bag.exists():
        raise SegnodeError(f'there is no bag {bag}')
    path = bag / METADATA
    if not path.is_file():
        return None
    try:
        topics = yaml.safe_load(path.read_text())[
            'rosbag2_bagfile_information']['topics_with_message_count']
        named = {topic['topic_metadata']['name']: topic['topic_metadata']['type']
                 for topic in topics}
    except (yaml.YAMLError, OSError, TypeError, KeyError, UnicodeDecodeError) as error:
        raise SegnodeError(f'{path} is not the metadata of a bag ({type(error).__name__})'
                           ) from error
    return sorted({name.removesuffix(COMPRESSED) for name, kind in named.items()
                   if kind in IMAGE_TYPES})


def qos_overrides(values: Mapping[str, str]) -> str:
    """Return the text of a file for --qos-profile-overrides-path: images, raw and compressed."""
    topics: dict[str, dict[str, Any]] = {}
    for camera in cameras(values):
        image = _full(image_of(values, camera), values['namespace'])
        topics.update({image: dict(RELIABLE), image + COMPRESSED: dict(RELIABLE)})
    return yaml.safe_dump(topics)


def check_installed() -> None:
    """Raise a SegnodeError where there is no `ros2 bag`."""
    from ament_index_python.packages import get_package_prefix, PackageNotFoundError
    try:
        get_package_prefix('ros2bag')
    except PackageNotFoundError:
        distribution = os.environ.get('ROS_DISTRO', 'DISTRIBUTION')
        raise SegnodeError(
            'ros2 bag is not installed: install it (sudo apt install '
            f'ros-{distribution}-rosbag2), or let the player play the images of the bag with '
            'source:= in place of bag:=') from None


def play_command(values: Mapping[str, str], qos_file: Path) -> list[str]:
    """Return the command line of `ros2 bag play`.

    Its options are the same from Humble to Rolling (github.com/ros2/rosbag2, ros2bag/verb/play.py
    of 0.15.9 and of the branches jazzy and rolling).

    Args:
        values: every argument of the launch file by name, as text.
        qos_file: file with qos_overrides().

    Raises:
        SegnodeError: bag_arguments has a quote that does not end.
    """
    more = _more(values)
    clock = [] if values['use_sim_time'] == 'false' or _has_clock(more) else ['--clock']
    # The keyboard belongs to ros2 launch.
    return ['ros2', 'bag', 'play', values['bag'], *clock, '--disable-keyboard-controls',
            '--qos-profile-overrides-path', str(qos_file), *more]


def _more(values: Mapping[str, str]) -> list[str]:
    try:
        return shlex.split(values['bag_arguments'])
    except ValueError as error:
        raise SegnodeError('launch argument bag_arguments cannot be read as a command line: '
                           f'{error}') from None


def _full(topic: str, namespace: str) -> str:
    """Return the full name of a topic."""
    if topic.startswith('/'):
        return topic
    return '/' + '/'.join(part for part in (namespace.strip('/'), topic) if part)


def _has_clock(arguments: Sequence[str]) -> bool:
    return any(argument.startswith('--clock') for argument in arguments)
