# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Start the segment node, and on request RViz, a bag or a player, and the node for point clouds.

ros2 launch segnode segment.launch.py model:=fsffnet image:=/camera/image_raw rviz:=true
ros2 launch segnode segment.launch.py bag:=drive.mcap image:=/camera/image_raw rviz:=true
ros2 launch segnode segment.launch.py cameras:=[front,left,right]

Parameters come from `params_file`; the arguments that name a parameter override it when given.
"""

from pathlib import Path
import sys
from typing import Any

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    OpaqueFunction,
    RegisterEventHandler,
    SetEnvironmentVariable,
    Shutdown,
)
from launch.conditions import IfCondition
from launch.event_handlers import OnProcessExit
from launch.events.process import ProcessExited
from launch.logging import launch_config
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterFile, ParameterValue

from segnode.ros.launch_arguments import (
    ARGUMENTS,
    check_sources,
    clock_parameters,
    full_name,
    LaunchArgument,
    log_arguments,
    node_parameters,
    player_parameters,
    points_parameters,
    rviz_arguments,
)
from segnode.ros.launch_bag import check_installed, play_command, qos_overrides, with_image_of_bag
from segnode.ros.launch_topics import (
    cameras,
    node_remappings,
    player_remappings,
    points_remappings,
    rviz_remappings,
)
from segnode.ros.transport import recommended_environment

CONFIG = Path(__file__).resolve().parent.parent / 'config'
RESPAWN_DELAY = 2.0  # s


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
    check_sources(values)
    values = with_image_of_bag(values)
    # Where PushRosNamespace keeps it for the nodes of a launch file that includes this one.
    pushed = context.launch_configurations.get('ros_namespace', '')
    # One file for node and segment_points: what both have has one name, the rest passes them by.
    file = ParameterFile(values['params_file'], allow_substs=True)

    def node(executable: str, name: str, **options: Any) -> Node:
        return Node(package='segnode', executable=executable, name=name, output='screen',
                    emulate_tty=True, namespace=values['namespace'], **options)

    nodes: list[LaunchDescriptionEntity] = [
        node('segment', 'segment', parameters=[file, as_they_are(node_parameters(values))],
             remappings=node_remappings(values),
             arguments=log_arguments(values['log_level'], values['namespace'], pushed),
             **when_it_ends(values['on_exit'])),
        Node(
            package='rviz2', executable='rviz2', name='rviz', namespace=values['namespace'],
            output='screen', arguments=rviz_arguments(values),
            parameters=[clock_parameters(values)], remappings=rviz_remappings(values),
            condition=IfCondition(values['rviz'])),
    ]
    for camera in cameras(values):
        suffix = f'_{camera}' if camera else ''
        if values['source']:
            nodes.append(node(
                'player', f'player{suffix}', remappings=player_remappings(values, camera),
                parameters=[as_they_are(player_parameters(values, camera))]))
        if values['depth']:
            nodes.append(node(
                'segment_points', f'segment_points{suffix}',
                parameters=[file, as_they_are(points_parameters(values))],
                remappings=points_remappings(values, camera)))
    if values['bag']:
        nodes += played_bag(values, full_name(values['namespace'], pushed))
    return nodes


def when_it_ends(on_exit: str) -> dict[str, Any]:
    """Return the options of the node for what is to follow its end."""
    options: dict[str, dict[str, Any]] = {
        'nothing': {},
        'respawn': {'respawn': True, 'respawn_delay': RESPAWN_DELAY},
        'shutdown': {'on_exit': Shutdown(reason='the segment node ended')},
    }
    return options[on_exit]


def played_bag(values: dict[str, str], node: str) -> list[LaunchDescriptionEntity]:
    """Return what plays the bag once the node is ready: a model may take minutes to load."""
    check_installed()
    qos_file = Path(launch_config.log_dir) / 'bag_qos.yaml'
    qos_file.parent.mkdir(parents=True, exist_ok=True)
    qos_file.write_text(qos_overrides(values))
    bag = ExecuteProcess(cmd=play_command(values, qos_file), output='screen', name='bag')
    ready = ExecuteProcess(
        cmd=[sys.executable, '-m', 'segnode.ros.check', '--node', node, '--wait', '0'],
        output='log', name='ready')

    def follow(event: ProcessExited, _: LaunchContext) -> list[LaunchDescriptionEntity]:
        return [bag] if event.returncode == 0 else []

    return [ready, RegisterEventHandler(OnProcessExit(target_action=ready, on_exit=follow))]


def as_they_are(parameters: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters with texts marked as such; launch would read '12' as a number."""
    return {name: ParameterValue(value, value_type=str) if isinstance(value, str) else value
            for name, value in parameters.items()}
