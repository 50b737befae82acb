# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Camera drivers that launch/camera.launch.py starts: their names, and where their images are.

One table, without ROS. Where a driver's names come from, and the versions that were read:

- v4l2_camera: github.com/tier4/ros2_v4l2_camera at 1029edd, README.md and src/v4l2_camera.cpp (a
  fork of gitlab.com/boldhearts/ros2_v4l2_camera, which is what apt installs)
- usb_cam: github.com/ros-drivers/usb_cam 0.8.1 at 772b25f, src/usb_cam_node.cpp
- realsense2_camera: github.com/IntelRealSense/realsense-ros 4.55.1 at 1cbd81b, README.md and
  realsense2_camera/launch/rs_launch.py
- gscam: github.com/ros-drivers/gscam 2.0.2 at ca3da37 (branch ros2), src/gscam.cpp
- zed_wrapper: github.com/stereolabs/zed-ros2-wrapper 5.4 at 33dfefa, CHANGELOG.rst and
  zed_wrapper/launch/zed_camera.launch.py; older than 5.1 its image is rgb/image_rect_color

None of them was run with segnode yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from segnode.errors import SegnodeError
from segnode.ros.launch_arguments import LaunchArgument, typed
from segnode.ros.launch_topics import ONE_CAMERA, PLACEHOLDER

DEFAULT_CAMERA = 'camera'


@dataclass(frozen=True)
class Driver:
    """One driver. {camera} in its texts stands for the camera's name.

    Args:
        package: that has to be installed.
        image: topic of the images, in the namespace of all; the calibration lies beside it.
        device: parameter (or launch argument) that `camera_device` sets.
        executable: of the node; empty where the driver's own launch file is included.
        node: name of the node.
        namespace: of the node, in the namespace of all.
        frame: parameter that names the frame of the images; empty: the driver has its own.
        calibration: parameter that `camera_info_url` sets; empty: the driver has its own.
        depth: topic of depth images registered to the image; empty: none.
        with_depth: parameters that make it publish them.
        needs_device: it cannot start without `camera_device`.
        fixed: parameters, or launch arguments, that are always set.
        launch_file: of the package, where there is no executable.
        parameter_file: launch argument of that file for `camera_params`.
    """

    package: str
    image: str
    device: str
    executable: str = ''
    node: str = 'driver'
    namespace: str = PLACEHOLDER
    frame: str = ''
    calibration: str = ''
    depth: str = ''
    with_depth: Mapping[str, Any] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)
    needs_device: bool = False
    launch_file: str = ''
    parameter_file: str = ''


DRIVERS: dict[str, Driver] = {
    'v4l2_camera': Driver(
        package='v4l2_camera', executable='v4l2_camera_node', image='{camera}/image_raw',
        device='video_device', frame='camera_frame_id', calibration='camera_info_url'),
    'usb_cam': Driver(
        package='usb_cam', executable='usb_cam_node_exe', image='{camera}/image_raw',
        device='video_device', frame='frame_id', calibration='camera_info_url'),
    'realsense2_camera': Driver(
        package='realsense2_camera', executable='realsense2_camera_node', node=PLACEHOLDER,
        namespace='', image='{camera}/color/image_raw', device='serial_no',
        depth='{camera}/aligned_depth_to_color/image_raw',
        with_depth={'enable_depth': True, 'align_depth.enable': True},
        fixed={'camera_name': PLACEHOLDER}),
    'gscam': Driver(
        package='gscam', executable='gscam_node', image='{camera}/camera/image_raw',
        device='gscam_config', needs_device=True, frame='frame_id', calibration='camera_info_url'),
    'zed': Driver(
        package='zed_wrapper', launch_file='zed_camera.launch.py',
        image='{camera}/zed_node/rgb/color/rect/image',
        depth='{camera}/zed_node/depth/depth_registered', device='camera_model',
        needs_device=True, fixed={'camera_name': PLACEHOLDER},
        parameter_file='ros_params_override_path'),
}

CAMERA_ARGUMENTS: tuple[LaunchArgument, ...] = (
    LaunchArgument(
        'driver', 'v4l2_camera',
        'Driver of the camera; none: it runs already, and image says where.', (*DRIVERS, 'none')),
    LaunchArgument(
        'camera_name', DEFAULT_CAMERA,
        'Name of the camera, which its topics begin with. With cameras:=[...] one driver is '
        'started for each of those names instead.'),
    LaunchArgument(
        'camera_device', '',
        'What the driver is to open: v4l2_camera and usb_cam a device file (/dev/video0), '
        "realsense2_camera a serial number, gscam a GStreamer pipeline, zed the camera's model "
        '(zed2i). A list with one for each of several cameras. Empty: what the driver takes by '
        'itself.'),
    LaunchArgument(
        'camera_params', '', 'YAML file with parameters of the driver, such as the image size.'),
    LaunchArgument(
        'camera_info_url', '',
        'Calibration for v4l2_camera, usb_cam and gscam, as file:///path/NAME.yaml; {camera} in '
        'it stands for the name.'),
    LaunchArgument(
        'points', 'false',
        'Also labelled point clouds, with the depth images of realsense2_camera or zed.',
        ('true', 'false')),
)


@dataclass(frozen=True)
class Start:
    """One driver to be started, with nothing left to decide."""

    driver: Driver
    camera: str
    namespace: str
    node: str
    parameters: dict[str, Any]


def starts(values: Mapping[str, str], names: tuple[str, ...]) -> list[Start]:
    """Return the drivers to start.

    Args:
        values: every argument of CAMERA_ARGUMENTS by name, as text.
        names: of the cameras that the node has; ONE_CAMERA alone for a single one.

    Raises:
        SegnodeError: camera_device names none where one is needed, too few or too many, or the
            driver lacks what is asked for.
    """
    if values['driver'] == 'none':
        return []
    driver = DRIVERS[values['driver']]
    points = typed('points', values['points'], 'bool')
    if points and not driver.depth:
        able = ', '.join(name for name, other in DRIVERS.items() if other.depth)
        raise SegnodeError(f'driver {values["driver"]} has no depth images for points:=true; '
                           f'those that have are {able}')
    if values['camera_info_url'] and not driver.calibration:
        raise SegnodeError(f'driver {values["driver"]} has its own calibration: leave '
                           'camera_info_url empty')
    found = []
    for camera, device in zip(names, _devices(values, len(names))):
        name = values['camera_name'] if camera == ONE_CAMERA else camera
        given = {
            **driver.fixed, **({driver.device: device} if device else {}),
            **({driver.frame: f'{name}_optical_frame'} if driver.frame else {}),
            **({driver.calibration: values['camera_info_url']}
               if values['camera_info_url'] else {}),
            **(driver.with_depth if points else {}),
        }
        found.append(Start(
            driver, name, filled(driver.namespace, name), filled(driver.node, name),
            {key: filled(value, name) for key, value in given.items()}))
    return found


def topics(values: Mapping[str, str], names: tuple[str, ...]) -> dict[str, str]:
    """Return what segment.launch.py has to be told: image and, for points, depth.

    {camera} stays in them where there are several cameras. Arguments as of `starts`; empty where
    there is no driver.
    """
    if values['driver'] == 'none':
        return {}
    driver = DRIVERS[values['driver']]
    told = {'image': driver.image}
    if typed('points', values['points'], 'bool'):
        told['depth'] = driver.depth
    if names != (ONE_CAMERA,):
        return told
    return {name: filled(topic, values['camera_name']) for name, topic in told.items()}


def missing(driver: Driver, distribution: str) -> str:
    """Return the sentence for a driver whose package is not installed."""
    apt = f'ros-{distribution or "DISTRIBUTION"}-{driver.package.replace("_", "-")}'
    return (f'the camera driver {driver.package} is not installed: install it (sudo apt install '
            f'{apt}, where it is packaged), or start the camera yourself and give driver:=none')


def filled(value: Any, camera: str) -> Any:
    """Return the value with the camera's name in it; what is no text stays as it is."""
    return value.replace(PLACEHOLDER, camera) if isinstance(value, str) else value


def _devices(values: Mapping[str, str], count: int) -> list[str]:
    text = values['camera_device']
    if not text:
        if DRIVERS[values['driver']].needs_device:
            raise SegnodeError(f'driver {values["driver"]} needs camera_device:=, which says what '
                               'it is to open')
        return [''] * count
    if count == 1 and not text.startswith('['):  # a GStreamer pipeline may have commas in it
        return [text]
    devices = typed('camera_device', text, 'string array')
    if len(devices) != count:
        raise SegnodeError(f'launch argument camera_device names {len(devices)} devices for '
                           f'{count} cameras: give one for each, as in [/dev/video0, /dev/video2]')
    return devices


def markdown_table() -> str:
    """Return the table of the drivers for the documentation."""
    lines = ['| driver | package | images of the camera `front` | depth for points |',
             '|---|---|---|---|']
    for name, driver in DRIVERS.items():
        depth = f'`{filled(driver.depth, "front")}`' if driver.depth else ''
        lines.append(f'| `{name}` | {driver.package} | `{filled(driver.image, "front")}` | '
                     f'{depth} |')
    return '\n'.join(lines) + '\n'
