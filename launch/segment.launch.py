# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Start the segment node, and on request RViz and a player.

ros2 launch segnode segment.launch.py model:=fsffnet image:=/camera/image_raw rviz:=true

Parameters come from `params_file`; the arguments that name a parameter override it when given.
"""

from pathlib import Path

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterFile, ParameterValue

from segnode.ros.launch_arguments import ARGUMENTS, LaunchArgument, NODE_PARAMETERS
from segnode.ros.parameters import BY_NAME
from segnode.ros.transport import recommended_environment

CONFIG = Path(__file__).resolve().parent.parent / 'config'
PYTHON_TYPES = {'bool': bool, 'integer': int, 'double': float, 'string': str}


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
    def value(name: str) -> str:
        return str(LaunchConfiguration(name).perform(context))

    def typed(name: str, kind: type) -> ParameterValue:
        return ParameterValue(LaunchConfiguration(name), value_type=kind)

    namespace, image = value('namespace'), value('image')
    sim_time = {'use_sim_time': typed('use_sim_time', bool)}
    given = {name: typed(name, PYTHON_TYPES[BY_NAME[name].type_name])
             for name in NODE_PARAMETERS if value(name)}
    nodes: list[LaunchDescriptionEntity] = [
        Node(
            package='segnode', executable='segment', name='segment', namespace=namespace,
            output='screen', emulate_tty=True,
            parameters=[ParameterFile(value('params_file'), allow_substs=True), sim_time,
                        {'autostart': typed('autostart', bool), **given}],
            remappings=[('image', image),
                        ('camera_info', value('camera_info') or beside(image, 'camera_info'))],
            arguments=['--ros-args', '--log-level', f'segment:={value("log_level")}']),
        Node(
            package='rviz2', executable='rviz2', name='rviz', namespace=namespace,
            output='screen', arguments=['-d', value('rviz_config')], parameters=[sim_time],
            # The configuration knows full names only; here they follow image and namespace.
            remappings=[('/image_raw', image), ('/segmentation/color', 'segmentation/color'),
                        ('/segmentation/overlay', 'segmentation/overlay')],
            condition=IfCondition(value('rviz'))),
    ]
    source = value('source')
    if source:
        nodes.append(Node(
            package='segnode', executable='player', name='player', namespace=namespace,
            output='screen', emulate_tty=True, remappings=[('image_raw', image)],
            parameters=[sim_time, {
                'source': ParameterValue('' if source == 'built-in' else source, value_type=str),
                'rate': typed('rate', float), 'loop': typed('loop', bool),
                'compressed': value('input_transport') == 'compressed',
                'wait_for_subscribers': 1}]))
    return nodes


def beside(topic: str, name: str) -> str:
    """Return the topic `name` in the same namespace as `topic`."""
    return f'{topic.rpartition("/")[0]}/{name}' if '/' in topic else name
