# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""launch/segment.launch.py and what it opens."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import yaml

from segnode.ros.launch_arguments import ARGUMENTS
from segnode.ros.topics import OUTPUT_TOPICS


@pytest.fixture
def launch_file(project: Path) -> Any:
    """Return the launch file as a module."""
    pytest.importorskip('launch_ros', reason='launch_ros has no wheel; comes with ROS 2')
    path = project / 'launch' / 'segment.launch.py'
    spec = importlib.util.spec_from_file_location('segment_launch', path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_argument_is_declared_at_top_level(launch_file: Any) -> None:
    """So that --show-args lists them all, with description, default and choices."""
    declared = {argument.name: argument for argument in
                launch_file.generate_launch_description().get_launch_arguments()}
    assert list(declared) == [argument.name for argument in ARGUMENTS]
    for argument in ARGUMENTS:
        assert declared[argument.name].description.startswith(argument.description)
        assert tuple(declared[argument.name].choices or ()) == argument.choices


@pytest.mark.parametrize('given, packages', [
    ({}, ['segnode', 'rviz2']),
    ({'source': 'built-in', 'input_transport': 'compressed', 'namespace': 'front',
      'model': '12', 'overlay_alpha': '0.25', 'use_sim_time': 'true', 'autostart': 'false'},
     ['segnode', 'rviz2', 'segnode']),
    ({'depth': '/depth/image', 'label_grouping': 'driving', 'use_sim_time': 'true'},
     ['segnode', 'rviz2', 'segnode']),
])
def test_nodes(launch_file: Any, given: dict[str, str], packages: list[str]) -> None:
    """A source brings the player along."""
    from launch import LaunchContext
    context = LaunchContext()
    for argument in ARGUMENTS:
        context.launch_configurations[argument.name] = given.get(
            argument.name, argument.default.format(config=launch_file.CONFIG))
    nodes = launch_file.start_nodes(context)
    assert [node.node_package for node in nodes] == packages
    assert nodes[1].condition.evaluate(context) is False


def test_transport_profile_is_set_unless_the_user_has_one(
        launch_file: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Either generation's variable counts as the user's own."""
    from launch.actions import SetEnvironmentVariable

    def settings() -> int:
        entities = launch_file.generate_launch_description().entities
        return sum(isinstance(entity, SetEnvironmentVariable) for entity in entities)

    for name in ('FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE'):
        monkeypatch.delenv(name, raising=False)
    assert settings() >= 1
    monkeypatch.setenv('FASTRTPS_DEFAULT_PROFILES_FILE', '/my/profile.xml')
    assert settings() == 0


def test_rviz_shows_image_colours_and_overlay(project: Path) -> None:
    """config/segment.rviz has one image display for each, with a QoS that matches."""
    content = yaml.safe_load((project / 'config' / 'segment.rviz').read_text())
    displays = content['Visualization Manager']['Displays']
    shown = {display['Topic']['Value']: display['Topic']['Reliability Policy']
             for display in displays if display['Class'] == 'rviz_default_plugins/Image'}
    assert shown == {'/image_raw': 'Best Effort', '/segmentation/color': 'Reliable',
                     '/segmentation/overlay': 'Reliable'}
    (points,) = [display for display in displays
                 if display['Class'] == 'rviz_default_plugins/PointCloud2']
    assert points['Topic']['Value'] == '/segmentation/points'
    assert points['Topic']['Reliability Policy'] == 'Reliable'
    outputs = {'/' + topic.name for topic in OUTPUT_TOPICS}
    assert set(shown) - outputs == {'/image_raw'}
