# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""What the launch file decides about parameters; this needs no part of ROS."""

from __future__ import annotations

import pytest

from launch_values import values
from segnode.errors import SegnodeError
from segnode.ros.launch_arguments import (
    ARGUMENTS,
    as_text,
    check_sources,
    clock_parameters,
    full_name,
    log_arguments,
    NODE_PARAMETERS,
    node_parameters,
    OWN_ARGUMENTS,
    player_parameters,
    points_parameters,
    rviz_arguments,
    typed,
)
from segnode.ros.own_parameters import PLAYER, POINTS
from segnode.ros.parameters import BY_NAME, PARAMETERS


def test_every_parameter_of_the_node_is_an_argument() -> None:
    """In the order of the table, behind the launch file's own; no name means two things."""
    names = [argument.name for argument in ARGUMENTS]
    assert names == [*(argument.name for argument in OWN_ARGUMENTS),
                     *(spec.name for spec in PARAMETERS)]
    assert len(set(names)) == len(names)
    for argument in ARGUMENTS:
        assert argument.description.endswith('.')


def test_without_arguments_the_parameter_file_decides() -> None:
    """Nothing overrides it, autostart and use_sim_time included; empty is an allowed choice."""
    assert node_parameters(values()) == {}
    assert clock_parameters(values()) == {}
    for argument in ARGUMENTS:
        if argument.name in NODE_PARAMETERS:
            assert argument.default == ''
            assert not argument.choices or '' in argument.choices
            assert 'Empty: as in params_file' in argument.description


def test_descriptions_name_the_default_of_the_parameter() -> None:
    """Written as behind := on a command line; where it is empty nothing is said."""
    described = {argument.name: argument.description for argument in ARGUMENTS}
    assert described['confidence'].endswith("; the package's has false.")
    assert described['overlay_alpha'].endswith("; the package's has 0.5.")
    assert described['input_size'].endswith("; the package's has [0, 0].")
    assert described['ego_mask'].endswith('Empty: as in params_file.')
    assert described['cameras'].endswith('Empty: as in params_file.')


@pytest.mark.parametrize('name', sorted(set(BY_NAME) - {'cameras', 'label_grouping', 'ego_mask'}))
def test_defaults_of_parameters_survive_the_command_line(name: str) -> None:
    """Every type of the table can be given: what --show-args shows can be typed in."""
    spec = BY_NAME[name]
    value = node_parameters(values(**{name: as_text(spec.default)}))[name]
    assert value == spec.default
    assert type(value) is type(spec.default)
    if isinstance(value, list):
        assert [type(item) for item in value] == [type(item) for item in spec.default]


def test_given_arguments_become_typed_parameters() -> None:
    """Texts stay texts, whatever they look like; false is a value, not nothing."""
    given = node_parameters(values(
        model='12', overlay_alpha='0', max_rate='5', confidence='true', autostart='False',
        use_sim_time='true', input_transport='compressed', rotation='90'))
    assert given == {'model': '12', 'overlay_alpha': 0.0, 'max_rate': 5.0, 'confidence': True,
                     'autostart': False, 'use_sim_time': True, 'input_transport': 'compressed',
                     'rotation': 90}
    assert {name: type(value) for name, value in given.items()} == {
        'model': str, 'overlay_alpha': float, 'max_rate': float, 'confidence': bool,
        'autostart': bool, 'use_sim_time': bool, 'input_transport': str, 'rotation': int}
    assert clock_parameters(values(use_sim_time='false')) == {'use_sim_time': False}


@pytest.mark.parametrize('type_name, text, expected', [
    ('integer array', '[512, 1024]', [512, 1024]),
    ('integer array', '512,1024', [512, 1024]),
    ('double array', '[0, 0.5, 1, 1]', [0.0, 0.5, 1.0, 1.0]),
    ('string array', '[front,left, rear_1]', ['front', 'left', 'rear_1']),
    ('string array', 'front', ['front']),
    ('string array', '[on, 1, null]', ['on', '1', 'null']),
    ('string array', "['a, b', c]", ['a, b', 'c']),
])
def test_lists(type_name: str, text: str, expected: list[object]) -> None:
    """As YAML, or without the brackets; texts stay what was typed."""
    assert typed('x', text, type_name) == expected
    assert [type(item) for item in typed('x', text, type_name)] == [
        type(item) for item in expected]


@pytest.mark.parametrize('name, text, words', [
    ('overlay_alpha', 'half', 'launch argument overlay_alpha must be of type double'),
    ('confidence', 'perhaps', 'launch argument confidence must be of type bool'),
    ('rotation', '1.5', 'launch argument rotation must be of type integer'),
    ('input_size', '512x512', 'must be of type integer array, written as .A, B, ....,'),
    ('input_size', '[512, x]', 'launch argument input_size must be of type integer array'),
    ('input_size', '[]', 'launch argument input_size must be of type integer array'),
    ('input_size', '[512, [1]]', 'launch argument input_size must be of type integer array'),
    ('roi', '[0, 0', 'launch argument roi must be of type double array'),
    ('cameras', '[{a: b}]', 'launch argument cameras must be of type string array'),
])
def test_a_text_of_the_wrong_type_is_one_sentence(name: str, text: str, words: str) -> None:
    """It names the argument and the text."""
    with pytest.raises(SegnodeError, match=words) as error:
        node_parameters(values(**{name: text}))
    assert repr(text) in str(error.value)


def test_no_cameras_are_one_without_a_name() -> None:
    """Launch refuses a list without items."""
    assert node_parameters(values(cameras='[]')) == {'cameras': ['']}
    assert node_parameters(values(cameras='[front]')) == {'cameras': ['front']}


def test_player_parameters() -> None:
    """The built-in source is the empty one; the player keeps the machine's time."""
    assert player_parameters(values(
        source='built-in', use_sim_time='true', rate='5', input_transport='compressed')) == {
            'source': '', 'rate': 5.0, 'loop': True, 'compressed': True,
            'wait_for_subscribers': 1}
    played = player_parameters(values(source='/data/bag', loop='false'))
    assert (played['source'], played['rate'], played['loop'], played['compressed']) == (
        '/data/bag', 0.0, False, False)
    assert player_parameters(values(source='x', image='/a/image/compressed'))['compressed']
    assert player_parameters(values(source='x'), 'front')['frame_id'] == 'front_optical_frame'
    assert set(player_parameters(values(source='x'), 'front')) <= {own.name for own in PLAYER}


def test_segment_points_is_told_what_the_node_is_told() -> None:
    """Classes and clock; the rest it does not have."""
    assert points_parameters(values(depth='d')) == {}
    given = values(model='12', label_grouping='driving', use_sim_time='true', confidence='true')
    assert points_parameters(given) == {
        'model': '12', 'label_grouping': 'driving', 'use_sim_time': True}
    named = {parameter.name for parameter in POINTS}
    assert {'model', 'label_grouping'} <= named & set(BY_NAME)


def test_a_bag_brings_its_own_time() -> None:
    """For all nodes that show or label it, unless the user wants the machine's time."""
    assert clock_parameters(values(bag='b')) == {'use_sim_time': True}
    assert clock_parameters(values(bag='b', use_sim_time='false')) == {'use_sim_time': False}
    assert node_parameters(values(bag='b')) == {'use_sim_time': True}
    assert points_parameters(values(bag='b')) == {'use_sim_time': True}
    assert points_parameters(values(lazy='true')) == {'lazy': True}


def test_rviz_frame() -> None:
    """Only where it is given; the configuration has one."""
    assert rviz_arguments(values(rviz_config='/a.rviz')) == ['-d', '/a.rviz']
    assert rviz_arguments(values(rviz_config='/a.rviz', rviz_frame='map')) == [
        '-d', '/a.rviz', '-f', 'map']


def test_images_come_from_one_place() -> None:
    """A bag and a player at once would mix."""
    check_sources(values(bag='b'))
    check_sources(values(source='built-in'))
    with pytest.raises(SegnodeError, match='bag and source both'):
        check_sources(values(bag='b', source='built-in'))


NAMESPACES = pytest.mark.parametrize('namespace, pushed, node', [
    ('', '', '/segment'),
    ('/', '', '/segment'),
    ('front', '', '/front/segment'),
    ('/front/left/', '', '/front/left/segment'),
    ('front', '/car', '/car/front/segment'),
    ('', '/car', '/car/segment'),
    ('/front', '/car', '/front/segment'),
])


@NAMESPACES
def test_log_level_is_that_of_the_nodes_own_logger(
        namespace: str, pushed: str, node: str) -> None:
    """By rclpy a logger is named after the node's full name."""
    assert full_name(namespace, pushed) == node
    assert log_arguments('debug', namespace, pushed) == [
        '--ros-args', '--log-level', f'{node[1:].replace("/", ".")}:=debug']


def test_logger_names_are_rclpys() -> None:
    """The names above are what a node really has."""
    rclpy = pytest.importorskip('rclpy')
    context = rclpy.Context()
    rclpy.init(context=context)
    for namespace in ('', '/front', 'front/left'):
        node = rclpy.create_node('segment', context=context, namespace=namespace)
        expected = log_arguments('debug', namespace)[-1].partition(':=')[0]
        assert node.get_logger().name == expected
        assert full_name(namespace) == node.get_fully_qualified_name()
        node.destroy_node()
    context.try_shutdown()
