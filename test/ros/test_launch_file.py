# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The launch files and what they open; test/launch runs them."""

from __future__ import annotations

from collections.abc import Iterator
import importlib.util
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from segnode.errors import SegnodeError
from segnode.ros.camera_drivers import CAMERA_ARGUMENTS
from segnode.ros.launch_arguments import ARGUMENTS, LaunchArgument
from segnode.ros.launch_topics import rviz_remappings
from segnode.ros.outputs import DEPTH
from segnode.ros.topics import OUTPUT_TOPICS


@pytest.fixture
def environment() -> Iterator[None]:
    """Take back what a launch description does to the environment of this process."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


def loaded(project: Path, name: str) -> Any:
    """Return a launch file as a module; skip where there is no launch."""
    pytest.importorskip('launch_ros', reason='launch_ros has no wheel; comes with ROS 2')
    spec = importlib.util.spec_from_file_location(
        name.replace('.', '_'), project / 'launch' / f'{name}.launch.py')
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def launch_file(project: Path, environment: None) -> Any:
    """Return segment.launch.py as a module."""
    return loaded(project, 'segment')


@pytest.fixture
def camera_file(project: Path, environment: None) -> Any:
    """Return camera.launch.py as a module."""
    return loaded(project, 'camera')


def check_arguments(module: Any, expected: tuple[LaunchArgument, ...]) -> None:
    """Every argument of a table is declared, with description, default and choices."""
    declared = {argument.name: argument for argument in
                module.generate_launch_description().get_launch_arguments()}
    assert list(declared) == [argument.name for argument in expected]
    for argument in expected:
        assert declared[argument.name].description.startswith(argument.description)
        assert tuple(declared[argument.name].choices or ()) == argument.choices


def test_every_argument_is_declared_at_top_level(launch_file: Any) -> None:
    """So that --show-args lists them all."""
    check_arguments(launch_file, ARGUMENTS)


def test_camera_launch_has_the_arguments_of_both(camera_file: Any) -> None:
    """Its own, and those of the file that it includes."""
    check_arguments(camera_file, (*CAMERA_ARGUMENTS, *ARGUMENTS))


def entities(module: Any, given: dict[str, str]) -> tuple[list[Any], Any]:
    """Return what segment.launch.py starts for some arguments, and the context."""
    from launch import LaunchContext
    context = LaunchContext()
    for argument in ARGUMENTS:
        context.launch_configurations[argument.name] = given.get(
            argument.name, argument.default.format(config=module.CONFIG))
    return module.start_nodes(context), context


@pytest.mark.parametrize('given, executables', [
    ({}, ['segment', 'rviz2']),
    ({'source': 'built-in', 'input_transport': 'compressed', 'namespace': 'front',
      'model': '12', 'overlay_alpha': '0.25', 'use_sim_time': 'true', 'autostart': 'false'},
     ['segment', 'rviz2', 'player']),
    ({'depth': '/depth/image', 'label_grouping': 'driving', 'use_sim_time': 'true'},
     ['segment', 'rviz2', 'segment_points']),
    ({'cameras': '[a, b]', 'source': 'built-in', 'depth': '{camera}/depth'},
     ['segment', 'rviz2', 'player', 'segment_points', 'player', 'segment_points']),
])
def test_nodes(launch_file: Any, given: dict[str, str], executables: list[str]) -> None:
    """A source brings the player along, depth images the points; each camera has its own."""
    nodes, context = entities(launch_file, given)
    assert [node.node_executable for node in nodes] == executables
    assert nodes[1].condition.evaluate(context) is False


@pytest.mark.parametrize('name, text, expected', [
    ('cameras', '[front,left]', ['front', 'left']),
    ('cameras', '[on, 1]', ['on', '1']),
    ('cameras', '[front]', ['front']),
    ('input_size', '[512, 1024]', [512, 1024]),
    ('roi', '[0, 0, 100, 200]', [0.0, 0.0, 100.0, 200.0]),
    ('model', '12', '12'),
    ('max_rate', '10', 10.0),
    ('autostart', 'false', False),
])
def test_parameters_arrive_as_they_were_meant(
        launch_file: Any, name: str, text: str, expected: Any) -> None:
    """In the file that launch writes for the node."""
    from launch_ros.utilities import evaluate_parameters, normalize_parameters
    values = {argument.name: '' for argument in ARGUMENTS}
    made = launch_file.as_they_are(launch_file.node_parameters({**values, name: text}))
    _, context = entities(launch_file, {})
    (found,) = evaluate_parameters(context, normalize_parameters([made]))
    value = found[name]
    assert (list(value) if isinstance(expected, list) else value) == expected
    assert type(expected) is list or type(value) is type(expected)


def test_a_bag_needs_rosbag2(launch_file: Any, tmp_path: Path,
                             monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it is missing one sentence says so, and what else plays bags."""
    monkeypatch.setenv('AMENT_PREFIX_PATH', str(tmp_path))
    lone = tmp_path / 'drive.mcap'
    lone.touch()
    with pytest.raises(SegnodeError, match='ros2 bag is not installed.*source:='):
        entities(launch_file, {'bag': str(lone)})


def test_a_driver_has_to_be_installed(camera_file: Any, tmp_path: Path,
                                      monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it is missing one sentence says so; without one the camera runs already."""
    from launch import LaunchContext
    monkeypatch.setenv('AMENT_PREFIX_PATH', str(tmp_path))
    context = LaunchContext()
    for argument in CAMERA_ARGUMENTS:
        context.launch_configurations[argument.name] = argument.default
    with pytest.raises(SegnodeError, match='v4l2_camera is not installed.*driver:=none'):
        camera_file.start_drivers(context)
    context.launch_configurations['driver'] = 'none'
    assert camera_file.start_drivers(context) == []


def test_drivers(camera_file: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One node each, then the topics for segment.launch.py; zed comes with a launch file."""
    from launch import LaunchContext
    from launch.actions import GroupAction, SetLaunchConfiguration
    from launch_ros.actions import Node
    index = tmp_path / 'share' / 'ament_index' / 'resource_index' / 'packages'
    index.mkdir(parents=True)
    for package in ('realsense2_camera', 'zed_wrapper'):
        (index / package).touch()
    monkeypatch.setenv('AMENT_PREFIX_PATH', str(tmp_path))

    def started(**given: str) -> list[type]:
        context = LaunchContext()
        for argument in CAMERA_ARGUMENTS:
            context.launch_configurations[argument.name] = argument.default
        context.launch_configurations.update(given)
        return [type(entity) for entity in camera_file.start_drivers(context)]

    assert started(driver='realsense2_camera', cameras='[a,b]', points='true') == [
        Node, Node, SetLaunchConfiguration, SetLaunchConfiguration]
    assert started(driver='zed', camera_device='zed2i', namespace='car') == [
        GroupAction, SetLaunchConfiguration]


@pytest.mark.parametrize('name', ['segment', 'camera'])
def test_transport_profile_is_set_unless_the_user_has_one(
        project: Path, environment: None, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Either generation's variable counts as the user's own."""
    module = loaded(project, name)
    from launch.actions import SetEnvironmentVariable

    def settings() -> int:
        found = module.generate_launch_description().entities
        return sum(isinstance(entity, SetEnvironmentVariable) for entity in found)

    for variable in ('FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE'):
        monkeypatch.delenv(variable, raising=False)
    assert settings() >= 1
    monkeypatch.setenv('FASTRTPS_DEFAULT_PROFILES_FILE', '/my/profile.xml')
    assert settings() == 0


@pytest.fixture
def displays(project: Path) -> list[dict[str, Any]]:
    """Return what config/segment.rviz shows."""
    content = yaml.safe_load((project / 'config' / 'segment.rviz').read_text())
    found: list[dict[str, Any]] = content['Visualization Manager']['Displays']
    return found


def test_rviz_shows_image_colours_overlay_and_points(displays: list[dict[str, Any]]) -> None:
    """Each enabled, each on a topic that there is, with a QoS that its publisher offers."""
    shown = {display['Topic']['Value']: (display['Class'].rpartition('/')[2], display['Topic'])
             for display in displays}
    assert {topic: kind for topic, (kind, _) in shown.items()} == {
        '/image_raw': 'Image', '/segmentation/color': 'Image', '/segmentation/overlay': 'Image',
        '/segmentation/points': 'PointCloud2'}
    outputs = {'/' + topic.name for topic in OUTPUT_TOPICS}
    assert set(shown) - outputs == {'/image_raw', '/segmentation/points'}
    for topic, (_, qos) in shown.items():
        # Cameras may offer either reliability; masks and points are reliable.
        assert qos['Reliability Policy'] == (
            'Best Effort' if topic == '/image_raw' else 'Reliable')
        assert qos['Durability Policy'] == 'Volatile'
        assert qos['History Policy'] == 'Keep Last'
        assert 1 <= qos['Depth'] <= DEPTH
    assert all(display['Enabled'] and display['Value'] for display in displays)


def test_rviz_points_are_coloured_by_class(displays: list[dict[str, Any]]) -> None:
    """By the field rgb that segment_points fills in."""
    (points,) = [display for display in displays if display['Class'].endswith('/PointCloud2')]
    assert points['Color Transformer'] == 'RGB8'
    assert points['Position Transformer'] == 'XYZ'


def test_every_topic_of_rviz_follows_the_node(displays: list[dict[str, Any]]) -> None:
    """Nothing that is shown stays on a fixed name when a namespace or camera is given."""
    values = {argument.name: argument.default for argument in ARGUMENTS}
    assert ({display['Topic']['Value'] for display in displays}
            == {name for name, _ in rviz_remappings(values)})
