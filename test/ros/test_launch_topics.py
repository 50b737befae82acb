# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""What the launch file remaps, for one camera and for several; this needs no part of ROS."""

from __future__ import annotations

import pytest

from launch_values import values
from segnode.errors import SegnodeError
from segnode.ros.launch_topics import (
    cameras,
    node_remappings,
    ONE_CAMERA,
    player_remappings,
    points_remappings,
    rviz_remappings,
)
from segnode.ros.topics import OUTPUT_TOPICS


@pytest.mark.parametrize('given, camera_info', [
    ({}, 'camera_info'),
    ({'image': '/front/image_raw'}, '/front/camera_info'),
    ({'image': 'front/image_raw'}, 'front/camera_info'),
    ({'image': '/image_raw'}, '/camera_info'),
    ({'image': '/front/image_raw/compressed'}, '/front/camera_info'),
    ({'image': '/front/image_rect', 'camera_info': '/front/info'}, '/front/info'),
])
def test_one_camera(given: dict[str, str], camera_info: str) -> None:
    """The calibration is beside the image unless it is named; RViz and the player follow."""
    image = given.get('image', 'image_raw')
    assert node_remappings(values(**given)) == [('image', image), ('camera_info', camera_info)]
    raw = image.replace('/compressed', '')  # to which the player appends it itself
    assert player_remappings(values(**given), ONE_CAMERA) == [('image_raw', raw)]
    assert rviz_remappings(values(**given)) == [
        ('/image_raw', image), ('/segmentation/color', 'segmentation/color'),
        ('/segmentation/overlay', 'segmentation/overlay'),
        ('/segmentation/points', 'segmentation/points')]


@pytest.mark.parametrize('text, names', [
    ('', ('',)), ("['']", ('',)), ('[front]', ('front',)), ('front,left', ('front', 'left')),
    ('[front, left, on]', ('front', 'left', 'on')),
])
def test_names_of_cameras(text: str, names: tuple[str, ...]) -> None:
    """No name, and the parameter's own way to say so, are one camera."""
    assert cameras(values(cameras=text)) == names


@pytest.mark.parametrize('image, front, left', [
    ('image_raw', 'front/image_raw', 'left/image_raw'),
    ('color/image_raw', 'front/color/image_raw', 'left/color/image_raw'),
    ('/car/{camera}/image_raw', '/car/front/image_raw', '/car/left/image_raw'),
    ('cam_{camera}', 'cam_front', 'cam_left'),
])
def test_several_cameras(image: str, front: str, left: str) -> None:
    """Each has its own image and, beside it, its own calibration."""
    def beside(topic: str) -> str:
        return topic.rpartition('/')[0] + '/camera_info' if '/' in topic else 'camera_info'

    given = values(cameras='[front,left]', image=image)
    assert node_remappings(given) == [
        ('front/image', front), ('front/camera_info', beside(front)),
        ('left/image', left), ('left/camera_info', beside(left))]
    assert player_remappings(given, 'left') == [
        ('image_raw', left), ('player/end', 'left/player/end')]
    assert dict(rviz_remappings(given)) == {
        '/image_raw': front, '/segmentation/color': 'front/segmentation/color',
        '/segmentation/overlay': 'front/segmentation/overlay',
        '/segmentation/points': 'front/segmentation/points'}


def test_calibration_of_several_cameras_by_name() -> None:
    """The placeholder works there as well."""
    given = values(cameras='[a,b]', image='/{camera}/image', camera_info='/info/{camera}')
    assert node_remappings(given)[1::2] == [
        ('a/camera_info', '/info/a'), ('b/camera_info', '/info/b')]


def test_points() -> None:
    """The calibration is the depth images'; with several cameras each has its own topics."""
    assert points_remappings(values(depth='/aligned/image_raw')) == [
        ('depth', '/aligned/image_raw'), ('camera_info', '/aligned/camera_info')]
    assert points_remappings(values(depth='d', depth_camera_info='c/info')) == [
        ('depth', 'd'), ('camera_info', 'c/info')]
    given = values(cameras='[a,b]', depth='/{camera}/depth/image')
    assert points_remappings(given, 'b') == [
        ('depth', '/b/depth/image'), ('camera_info', '/b/depth/camera_info'),
        ('segmentation/labels', 'b/segmentation/labels'),
        ('segmentation/points', 'b/segmentation/points')]


def test_a_topic_for_all_cameras_is_refused() -> None:
    """It would give each camera the same images; and a placeholder needs names."""
    with pytest.raises(SegnodeError, match=r'image:=/image_raw is one topic for all cameras'):
        node_remappings(values(cameras='[a,b]', image='/image_raw'))
    with pytest.raises(SegnodeError, match=r'depth:=/depth is one topic for all cameras'):
        points_remappings(values(cameras='[a,b]', depth='/depth'), 'a')
    with pytest.raises(SegnodeError, match=r'image:=/{camera}/image needs cameras:='):
        node_remappings(values(image='/{camera}/image'))


def test_remapped_masks_are_topics_of_the_node() -> None:
    """RViz is remapped for names that there are."""
    known = {'/' + topic.name for topic in OUTPUT_TOPICS} | {'/image_raw', '/segmentation/points'}
    assert {name for name, _ in rviz_remappings(values())} <= known
