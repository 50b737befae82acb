# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Start a camera's driver and the segment node that takes its images, or several cameras'.

ros2 launch segnode camera.launch.py driver:=usb_cam camera_device:=/dev/video2 rviz:=true
ros2 launch segnode camera.launch.py driver:=realsense2_camera points:=true rviz:=true
ros2 launch segnode camera.launch.py driver:=v4l2_camera cameras:=[front,left] \
    camera_device:=[/dev/video0,/dev/video2]

Every argument of segment.launch.py is one of this file, too. Driver and node are processes of
their own: a node in Python cannot be a component of a C++ container.
"""

import os
from pathlib import Path

from ament_index_python.packages import get_package_share_path, PackageNotFoundError
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import (
    DeclareLaunchArgument,
    GroupAction,
    IncludeLaunchDescription,
    OpaqueFunction,
    SetEnvironmentVariable,
    SetLaunchConfiguration,
)
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node, PushRosNamespace
from launch_ros.parameter_descriptions import ParameterValue

from segnode.errors import SegnodeError
from segnode.ros.camera_drivers import CAMERA_ARGUMENTS, DRIVERS, missing, Start, starts, topics
from segnode.ros.launch_arguments import OWN_ARGUMENTS
from segnode.ros.launch_topics import cameras
from segnode.ros.transport import recommended_environment

HERE = Path(__file__).resolve().parent
RESPAWN_DELAY = 2.0  # s


def generate_launch_description() -> LaunchDescription:
    """Declare every argument, start the drivers, then include segment.launch.py."""
    # The publishers of large images are who needs the profile.
    transport = recommended_environment(HERE.parent / 'config' / 'fastdds.xml')
    return LaunchDescription([
        *(DeclareLaunchArgument(
            argument.name, default_value=argument.default, description=argument.description,
            **({'choices': list(argument.choices)} if argument.choices else {}))
          for argument in CAMERA_ARGUMENTS),
        *(SetEnvironmentVariable(name, value) for name, value in transport.items()),
        OpaqueFunction(function=start_drivers),
        IncludeLaunchDescription(PythonLaunchDescriptionSource(str(HERE / 'segment.launch.py'))),
    ])


def start_drivers(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Return the drivers, and what segment.launch.py is to know of their topics."""
    values = {argument.name: str(LaunchConfiguration(argument.name).perform(context))
              for argument in CAMERA_ARGUMENTS}
    # Arguments of segment.launch.py, which declares them after this.
    given = context.launch_configurations
    names = cameras({'cameras': given.get('cameras', '')})
    own = {argument.name: given.get(argument.name, argument.default) for argument in OWN_ARGUMENTS}
    if values['driver'] != 'none':
        check_installed(values['driver'])
    return [
        *(entity for start in starts(values, names) for entity in driver_of(
            start, own['namespace'], values['camera_params'], own['on_exit'] == 'respawn')),
        *(SetLaunchConfiguration(name, topic) for name, topic in topics(values, names).items()),
    ]


def check_installed(name: str) -> None:
    """Raise a SegnodeError where the driver is not installed."""
    try:
        get_package_share_path(DRIVERS[name].package)
    except PackageNotFoundError:
        raise SegnodeError(missing(DRIVERS[name], os.environ.get('ROS_DISTRO', ''))) from None


def driver_of(start: Start, namespace: str, params_file: str, respawn: bool
              ) -> list[LaunchDescriptionEntity]:
    """Return what starts one driver."""
    driver = start.driver
    if driver.launch_file:
        path = get_package_share_path(driver.package) / 'launch' / driver.launch_file
        arguments = dict(start.parameters)
        if params_file:
            arguments[driver.parameter_file] = params_file
        # Without forwarding, so that an argument of ours is not taken for one of the same name.
        return [GroupAction(forwarding=False, launch_configurations=arguments, actions=[
            *([PushRosNamespace(namespace)] if namespace else []),
            IncludeLaunchDescription(PythonLaunchDescriptionSource(str(path)))])]
    parameters = {name: ParameterValue(value, value_type=str) if isinstance(value, str) else value
                  for name, value in start.parameters.items()}
    return [Node(
        package=driver.package, executable=driver.executable, name=start.node,
        namespace='/'.join(part for part in (namespace, start.namespace) if part),
        parameters=[*([params_file] if params_file else []), parameters], output='screen',
        emulate_tty=True, respawn=respawn, respawn_delay=RESPAWN_DELAY)]
