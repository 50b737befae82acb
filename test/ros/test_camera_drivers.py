# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Which camera drivers camera.launch.py starts, and how; this needs no part of ROS."""

from __future__ import annotations

import pytest

from launch_values import camera_values, values
from segnode.errors import SegnodeError
from segnode.ros.camera_drivers import CAMERA_ARGUMENTS, DRIVERS, missing, starts, topics
from segnode.ros.launch_arguments import ARGUMENTS
from segnode.ros.launch_topics import node_remappings, ONE_CAMERA, points_remappings

ONE = (ONE_CAMERA,)


def test_arguments_are_no_others() -> None:
    """Both launch files share one name space; defaults and choices fit."""
    own = {argument.name for argument in CAMERA_ARGUMENTS}
    assert not own & {argument.name for argument in ARGUMENTS}
    for argument in CAMERA_ARGUMENTS:
        assert not argument.choices or argument.default in argument.choices


def test_usb_cam() -> None:
    """Its topics begin with the camera's name, and so does the frame."""
    given = camera_values(driver='usb_cam', camera_name='front', camera_device='/dev/video2',
                          camera_info_url='file:///calibration/{camera}.yaml')
    (start,) = starts(given, ONE)
    assert (start.driver.package, start.driver.executable) == ('usb_cam', 'usb_cam_node_exe')
    assert (start.namespace, start.node, start.camera) == ('front', 'driver', 'front')
    assert start.parameters == {
        'video_device': '/dev/video2', 'frame_id': 'front_optical_frame',
        'camera_info_url': 'file:///calibration/front.yaml'}
    assert topics(given, ONE) == {'image': 'front/image_raw'}


def test_nothing_is_set_that_was_not_asked_for() -> None:
    """The driver's own defaults stay, but for the frame."""
    (start,) = starts(camera_values(), ONE)
    assert start.driver.package == 'v4l2_camera'
    assert start.parameters == {'camera_frame_id': 'camera_optical_frame'}


def test_realsense_with_points() -> None:
    """The depth images are asked for and named."""
    given = camera_values(driver='realsense2_camera', camera_device='123456', points='true')
    (start,) = starts(given, ONE)
    assert (start.namespace, start.node) == ('', 'camera')
    assert start.parameters == {'camera_name': 'camera', 'serial_no': '123456',
                                'enable_depth': True, 'align_depth.enable': True}
    assert topics(given, ONE) == {'image': 'camera/color/image_raw',
                                  'depth': 'camera/aligned_depth_to_color/image_raw'}
    told = values(**topics(given, ONE))
    assert points_remappings(told)[1] == (
        'camera_info', 'camera/aligned_depth_to_color/camera_info')


def test_several_cameras() -> None:
    """One driver each, and one placeholder for segment.launch.py to fill in."""
    names = ('front', 'left')
    given = camera_values(driver='usb_cam', camera_device='[/dev/video0,/dev/video2]')
    found = starts(given, names)
    assert [(start.namespace, start.parameters['video_device']) for start in found] == [
        ('front', '/dev/video0'), ('left', '/dev/video2')]
    told = values(cameras='[front,left]', **topics(given, names))
    assert dict(node_remappings(told))['left/image'] == 'left/image_raw'


def test_a_pipeline_may_have_commas_and_brackets_in_it() -> None:
    """A single camera's device is taken as it is."""
    pipeline = 'v4l2src ! video/x-raw,framerate=30/1 ! videoconvert'
    (start,) = starts(camera_values(driver='gscam', camera_device=pipeline), ONE)
    assert start.parameters['gscam_config'] == pipeline


def test_no_driver() -> None:
    """The camera runs already."""
    given = camera_values(driver='none', points='true')
    assert starts(given, ('a', 'b')) == []
    assert topics(given, ('a', 'b')) == {}


@pytest.mark.parametrize('given, names, words', [
    ({'driver': 'usb_cam', 'points': 'true'}, ONE, 'usb_cam has no depth.*realsense2_camera, zed'),
    ({'driver': 'usb_cam', 'camera_device': '[/dev/video0]'}, ('a', 'b'), '1 devices for 2 cam'),
    ({'driver': 'gscam'}, ONE, 'gscam needs camera_device'),
    ({'driver': 'zed'}, ('a', 'b'), 'zed needs camera_device'),
    ({'driver': 'zed', 'camera_device': 'zed2i', 'camera_info_url': 'file:///a'}, ONE,
     'zed has its own calibration'),
    ({'driver': 'usb_cam', 'points': 'yes'}, ONE, 'points must be of type bool'),
])
def test_what_cannot_be_is_one_sentence(
        given: dict[str, str], names: tuple[str, ...], words: str) -> None:
    """It says what may be given instead."""
    with pytest.raises(SegnodeError, match=words):
        starts(camera_values(**given), names)


@pytest.mark.parametrize('name', DRIVERS)
def test_every_driver_can_be_started(name: str) -> None:
    """No placeholder is left over, and node and launch file exclude each other."""
    driver = DRIVERS[name]
    assert bool(driver.executable) != bool(driver.launch_file)
    assert bool(driver.launch_file) == bool(driver.parameter_file)
    given = camera_values(driver=name, camera_device='d', camera_name='front',
                          points='true' if driver.depth else 'false')
    (start,) = starts(given, ONE)
    texts = [start.namespace, start.node, *map(str, start.parameters.values()),
             *topics(given, ONE).values()]
    assert not [text for text in texts if '{' in text]
    assert all('front' in topic for topic in topics(given, ONE).values())
    assert start.parameters[driver.device] == 'd'


def test_a_missing_driver_is_one_sentence() -> None:
    """With the package to install."""
    assert 'apt install ros-jazzy-usb-cam' in missing(DRIVERS['usb_cam'], 'jazzy')
    assert 'ros-DISTRIBUTION-zed-wrapper' in missing(DRIVERS['zed'], '')
