# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Start the segment node, and on request RViz, a player and the node for point clouds.

ros2 launch segnode segment.launch.py model:=fsffnet image:=/camera/image_raw rviz:=true

Parameters come from `params_file`; the arguments that name a parameter override it when given.
"""

from pathlib import Path
from typing import Any

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterFile, ParameterValue

from segnode.ros.launch_arguments import (
    ARGUMENTS,
    clock_parameters,
    LaunchArgument,
    log_arguments,
    node_parameters,
    node_remappings,
    player_parameters,
    points_parameters,
    points_remappings,
    rviz_remappings,
)
from segnode.ros.transport import recommended_environment

CONFIG = Path(__file__).resolve().parent.parent / 'config'


def generate_launch_description() -> LaunchDescription:
    """Declare every argument, set the transport profile, then start the nodes."""
    transport = recommended_environment(CONFIG / 'fastdds.xml')
    return LaunchDescription([
        *(declared(argument) for argument in ARGUMENTS),
        *(SetEnvironmentVariable(name, value) for name, value in transport.items()),
        OpaqueFunction(function=start_nodes),
    ])


def declared(argument: LaunchArgument) -> DeclareLaunchArgument:
    """Return the declaration of one argument of the table."""
    choices = {'choices': list(argument.choices)} if argument.choices else {}
    return DeclareLaunchArgument(
        argument.name, default_value=argument.default.format(config=CONFIG),
        description=argument.description, **choices)


def start_nodes(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Return the nodes; runs when the values of the arguments are known."""
    values = {argument.name: str(LaunchConfiguration(argument.name).perform(context))
              for argument in ARGUMENTS}
    namespace = values['namespace']
    # Where PushRosNamespace keeps it for the nodes of a launch file that includes this one.
    pushed = context.launch_configurations.get('ros_namespace', '')
    nodes: list[LaunchDescriptionEntity] = [
        Node(
            package='segnode', executable='segment', name='segment', namespace=namespace,
            output='screen', emulate_tty=True,
            parameters=[ParameterFile(values['params_file'], allow_substs=True),
                        as_they_are(node_parameters(values))],
            remappings=node_remappings(values),
            arguments=log_arguments(values['log_level'], namespace, pushed)),
        Node(
            package='rviz2', executable='rviz2', name='rviz', namespace=namespace,
            output='screen', arguments=['-d', values['rviz_config']],
            parameters=[clock_parameters(values)], remappings=rviz_remappings(values),
            condition=IfCondition(values['rviz'])),
    ]
    if values['source']:
        nodes.append(Node(
            package='segnode', executable='player', name='player', namespace=namespace,
            output='screen', emulate_tty=True, remappings=[('image_raw', values['image'])],
            parameters=[as_they_are(player_parameters(values))]))
    if values['depth']:
        nodes.append(Node(
            package='segnode', executable='segment_points', name='segment_points',
            namespace=namespace, output='screen', emulate_tty=True,
            # The same file: what both nodes have has one name, the rest passes each other by.
            parameters=[ParameterFile(values['params_file'], allow_substs=True),
                        as_they_are(points_parameters(values))],
            remappings=points_remappings(values)))
    return nodes


def as_they_are(parameters: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters with texts marked as such; launch would read '12' as a number."""
    return {name: ParameterValue(value, value_type=str) if isinstance(value, str) else value
            for name, value in parameters.items()}
