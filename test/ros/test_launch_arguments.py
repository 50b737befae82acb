# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""What the launch file decides; this needs neither launch_ros nor any other part of ROS."""

from __future__ import annotations

import pytest

from segnode.errors import SegnodeError
from segnode.ros.launch_arguments import (
    ARGUMENTS,
    clock_parameters,
    log_arguments,
    NODE_PARAMETERS,
    node_parameters,
    node_remappings,
    player_parameters,
    points_parameters,
    points_remappings,
    rviz_remappings,
)
from segnode.ros.own_parameters import POINTS
from segnode.ros.parameters import BY_NAME


def values(**given: str) -> dict[str, str]:
    """Return all arguments as launch hands them over: texts, the defaults where not given."""
    defaults = {argument.name: argument.default for argument in ARGUMENTS}
    assert set(given) <= set(defaults)
    return {**defaults, **given}


def test_without_arguments_the_parameter_file_decides() -> None:
    """Nothing overrides it, autostart and use_sim_time included; empty is an allowed choice."""
    assert node_parameters(values()) == {}
    assert clock_parameters(values()) == {}
    for argument in ARGUMENTS:
        if argument.name in (*NODE_PARAMETERS, 'use_sim_time'):
            assert argument.default == ''
            assert not argument.choices or '' in argument.choices
            assert 'Empty: as in params_file' in argument.description


def test_given_arguments_become_typed_parameters() -> None:
    """Texts stay texts, whatever they look like; false is a value, not nothing."""
    given = node_parameters(values(
        model='12', overlay_alpha='0', max_rate='5', confidence='true', autostart='False',
        use_sim_time='true', input_transport='compressed'))
    assert given == {'model': '12', 'overlay_alpha': 0.0, 'max_rate': 5.0, 'confidence': True,
                     'autostart': False, 'use_sim_time': True, 'input_transport': 'compressed'}
    assert {name: type(value) for name, value in given.items()} == {
        'model': str, 'overlay_alpha': float, 'max_rate': float, 'confidence': bool,
        'autostart': bool, 'use_sim_time': bool, 'input_transport': str}
    assert clock_parameters(values(use_sim_time='false')) == {'use_sim_time': False}


@pytest.mark.parametrize('name, text, words', [
    ('overlay_alpha', 'half', 'launch argument overlay_alpha must be of type double'),
    ('confidence', 'perhaps', 'launch argument confidence must be of type bool'),
])
def test_a_text_of_the_wrong_type_is_one_sentence(name: str, text: str, words: str) -> None:
    """It names the argument and the text."""
    with pytest.raises(SegnodeError, match=words) as error:
        node_parameters(values(**{name: text}))
    assert repr(text) in str(error.value)


def test_player_parameters() -> None:
    """The built-in source is the empty one; the player keeps the machine's time."""
    assert player_parameters(values(
        source='built-in', use_sim_time='true', rate='5', input_transport='compressed')) == {
            'source': '', 'rate': 5.0, 'loop': True, 'compressed': True,
            'wait_for_subscribers': 1}
    played = player_parameters(values(source='/data/bag', loop='false'))
    assert (played['source'], played['rate'], played['loop'], played['compressed']) == (
        '/data/bag', 0.0, False, False)


def test_segment_points_is_told_what_the_node_is_told() -> None:
    """Classes and clock; the rest it does not have. The calibration is the depth images'."""
    assert points_parameters(values(depth='d')) == {}
    given = values(model='12', label_grouping='driving', use_sim_time='true', confidence='true',
                   depth='/aligned/image_raw')
    assert points_parameters(given) == {
        'model': '12', 'label_grouping': 'driving', 'use_sim_time': True}
    assert points_remappings(given) == [
        ('depth', '/aligned/image_raw'), ('camera_info', '/aligned/camera_info')]
    assert points_remappings(values(depth='d', depth_camera_info='c/info')) == [
        ('depth', 'd'), ('camera_info', 'c/info')]
    named = {parameter.name for parameter in POINTS}
    assert {'model', 'label_grouping'} <= named & set(BY_NAME)


@pytest.mark.parametrize('given, camera_info', [
    ({}, 'camera_info'),
    ({'image': '/front/image_raw'}, '/front/camera_info'),
    ({'image': 'front/image_raw'}, 'front/camera_info'),
    ({'image': '/image_raw'}, '/camera_info'),
    ({'image': '/front/image_rect', 'camera_info': '/front/info'}, '/front/info'),
])
def test_remappings(given: dict[str, str], camera_info: str) -> None:
    """The calibration is beside the image unless it is named; RViz follows the image."""
    image = given.get('image', 'image_raw')
    assert node_remappings(values(**given)) == [('image', image), ('camera_info', camera_info)]
    assert dict(rviz_remappings(values(**given)))['/image_raw'] == image


@pytest.mark.parametrize('namespace, pushed, logger', [
    ('', '', 'segment'),
    ('/', '', 'segment'),
    ('front', '', 'front.segment'),
    ('/front/left/', '', 'front.left.segment'),
    ('front', '/car', 'car.front.segment'),
    ('', '/car', 'car.segment'),
    ('/front', '/car', 'front.segment'),
])
def test_log_level_is_that_of_the_nodes_own_logger(
        namespace: str, pushed: str, logger: str) -> None:
    """By rclpy a logger is named after the node's full name."""
    assert log_arguments('debug', namespace, pushed) == [
        '--ros-args', '--log-level', f'{logger}:=debug']


def test_logger_names_are_rclpys() -> None:
    """The names above are what a node really has."""
    rclpy = pytest.importorskip('rclpy')
    context = rclpy.Context()
    rclpy.init(context=context)
    for namespace in ('', '/front', 'front/left'):
        node = rclpy.create_node('segment', context=context, namespace=namespace)
        expected = log_arguments('debug', namespace)[-1].partition(':=')[0]
        assert node.get_logger().name == expected
        node.destroy_node()
    context.try_shutdown()
