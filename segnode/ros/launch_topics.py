# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""What launch/segment.launch.py remaps, for one camera and for several, without ROS."""

from __future__ import annotations

from collections.abc import Mapping

from segnode.errors import SegnodeError
from segnode.ros.input_choice import calibration_beside, SUFFIX
from segnode.ros.launch_arguments import typed

PLACEHOLDER = '{camera}'
ONE_CAMERA = ''

Remappings = list[tuple[str, str]]


def cameras(values: Mapping[str, str]) -> tuple[str, ...]:
    """Return the names of the cameras; ONE_CAMERA alone where the argument names none.

    Raises:
        SegnodeError: the argument is no list.
    """
    names = typed('cameras', values['cameras'], 'string array') if values['cameras'] else []
    return tuple(name for name in names if name) or (ONE_CAMERA,)


def of_camera(argument: str, topic: str, camera: str) -> str:
    """Return the topic of one camera.

    Args:
        argument: of the launch file, for the error.
        topic: its value; {camera} in it stands for the camera's name.
        camera: the name; ONE_CAMERA leaves the topic as it is.

    Raises:
        SegnodeError: one absolute name for all cameras, or a placeholder without cameras.
    """
    if PLACEHOLDER in topic:
        if camera == ONE_CAMERA:
            raise SegnodeError(f'launch argument {argument}:={topic} needs cameras:=[NAME, ...], '
                               f'the names that {PLACEHOLDER} stands for')
        return topic.replace(PLACEHOLDER, camera)
    if camera == ONE_CAMERA:
        return topic
    if topic.startswith('/'):
        raise SegnodeError(f'launch argument {argument}:={topic} is one topic for all cameras: '
                           f'write {PLACEHOLDER} where the name of the camera belongs, as in '
                           f'/{PLACEHOLDER}/image_raw')
    return f'{camera}/{topic}'


def node_remappings(values: Mapping[str, str]) -> Remappings:
    """Return the node's remappings; the calibration lies beside the image by default.

    Raises:
        SegnodeError: as cameras and of_camera.
    """
    remappings: Remappings = []
    for camera in cameras(values):
        image = image_of(values, camera)
        info = values['camera_info']
        remappings += [
            (within(camera, 'image'), image),
            (within(camera, 'camera_info'),
             of_camera('camera_info', info, camera) if info else calibration_beside(image))]
    return remappings


def image_of(values: Mapping[str, str], camera: str) -> str:
    """Return the topic of a camera's images, before the namespace.

    Raises:
        SegnodeError: as of_camera.
    """
    return of_camera('image', values['image'], camera)


def player_remappings(values: Mapping[str, str], camera: str) -> Remappings:
    """Return the remappings of the player that stands for a camera."""
    own = [('player/end', f'{camera}/player/end')] if camera else []
    # It appends /compressed itself, as image_transport does.
    image = image_of(values, camera).removesuffix(SUFFIX)
    return [('image_raw', image), *own]


def points_remappings(values: Mapping[str, str], camera: str = ONE_CAMERA) -> Remappings:
    """Return the remappings of the segment_points of a camera."""
    depth, info = of_camera('depth', values['depth'], camera), values['depth_camera_info']
    own = [(name, within(camera, name)) for name in ('segmentation/labels', 'segmentation/points')]
    return [
        ('depth', depth),
        ('camera_info',
         of_camera('depth_camera_info', info, camera) if info else calibration_beside(depth)),
        *(own if camera else [])]


def rviz_remappings(values: Mapping[str, str]) -> Remappings:
    """Return RViz' remappings: its configuration has full names, which must follow the node's."""
    camera = cameras(values)[0]
    shown = ('segmentation/color', 'segmentation/overlay', 'segmentation/points')
    return [('/image_raw', image_of(values, camera)),
            *((f'/{name}', within(camera, name)) for name in shown)]


def within(camera: str, name: str) -> str:
    """Return the node's name of a topic of a camera."""
    return f'{camera}/{name}' if camera else name
