# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The SROS 2 policy against the code's tables, and against what a running node has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from processes import Process
from segnode.ros.input_choice import sources
from segnode.ros.launch_arguments import ARGUMENTS
from segnode.ros.topics import OUTPUT_TOPICS

NAMESPACE, NODE, POINTS = '/', 'segment', 'segment_points'
# Of every node; where none of these is, the middleware or rclpy has another set.
OF_ALL = {'/rosout', '/parameter_events'}
Allowed = Callable[[str], 'dict[str, set[str]]']


def full_name(name: str, node: str = NODE) -> str:
    """Return a topic or service name as SROS 2 expands it."""
    if name.startswith('~'):
        return f'{NAMESPACE}{node}{name[1:]}'
    return name if name.startswith('/') else f'{NAMESPACE}{name}'


@pytest.fixture(scope='module')
def allowed(project: Path) -> Allowed:
    """Return what gives the names that a node may publish, subscribe to, and reply to."""
    root = ElementTree.parse(project / 'config' / 'sros2_policy.xml').getroot()
    assert (root.tag, root.get('version')) == ('policy', '0.2.0')
    enclave, = root.findall('enclaves/enclave')
    assert enclave.get('path') == '/segment'
    profiles = {profile.get('node'): profile for profile in enclave.findall('profiles/profile')}
    assert list(profiles) == [NODE, POINTS]
    assert {profile.get('ns') for profile in profiles.values()} == {NAMESPACE}
    return lambda node: names_of(profiles[node], node)


def names_of(profile: ElementTree.Element, node: str) -> dict[str, set[str]]:
    """Return the names of a profile by what they are allowed for."""
    found: dict[str, set[str]] = {}
    for rule in profile:
        assert rule.tag in ('topics', 'services')
        (way, permission), = rule.attrib.items()
        assert permission == 'ALLOW'
        names = [full_name(str(element.text), node) for element in rule]
        assert len(names) == len(set(names)) and not found.get(way, set()) & set(names)
        found.setdefault(way, set()).update(names)
    assert set(found) == {'publish', 'subscribe', 'reply'}
    return found


def test_topics_are_those_of_the_tables(allowed: Allowed) -> None:
    """No topic of the node is missing, and no other is allowed."""
    segment = allowed(NODE)
    outputs = {full_name(topic.name) for topic in OUTPUT_TOPICS}
    assert segment['publish'] == outputs | OF_ALL | {
        '/segment/transition_event', '/segmentation/label_info', '/diagnostics'}
    launched = next(argument.default for argument in ARGUMENTS if argument.name == 'image')
    images = {source.topic for name in ('image', launched)
              for source in sources(full_name(name), 'auto')}
    assert segment['subscribe'] == images | {'/camera_info', '/clock'}


def test_a_running_node_needs_no_more(
        probe: object, start_segment: Callable[..., Process], allowed: Allowed) -> None:
    """Everything that it publishes, subscribes to and serves is allowed; and little else is."""
    from probe import Probe, until
    assert isinstance(probe, Probe)
    camera = probe.publisher()
    node = start_segment(use_sim_time=True)
    node.wait_for('active:', 90)
    until(camera.get_subscription_count)
    needs(probe.node, NODE, allowed(NODE), {
        '/segmentation/confidence', '/segmentation/uncertainty', '/segmentation/label_info',
        '/image/compressed', '/image_raw', '/image_raw/compressed'})
    probe.node.destroy_publisher(camera)
    assert node.stop() == 0


def test_nor_does_the_node_of_the_points(
        probe: object, start: Callable[..., Process], allowed: Allowed) -> None:
    """It subscribes once somebody publishes."""
    from probe import Probe
    assert isinstance(probe, Probe)
    publishers = [probe.publisher('segmentation/labels'), probe.publisher('depth')]
    node = start('-m', 'segnode.ros.points_node', '--ros-args', '-p', 'use_sim_time:=true')
    node.wait_for('-> /segmentation/points', 60)
    needs(probe.node, POINTS, allowed(POINTS), set())
    for publisher in publishers:
        probe.node.destroy_publisher(publisher)
    assert node.stop() == 0


def needs(graph: Any, node: str, allowed: dict[str, set[str]], not_there: set[str]) -> None:
    """Fail unless a running node has all that is allowed but a few, and no more."""
    from rclpy.node import NodeNameNonExistentError

    from probe import until
    not_there = {*not_there, f'/{node}/get_type_description'}  # Humble has none

    def names(of: Callable[..., list[tuple[str, list[str]]]]) -> set[str]:
        try:
            return {name for name, _ in of(node, NAMESPACE)}
        except NodeNameNonExistentError:  # not known here yet
            return set()

    # What a node has shows to others a moment after it has it.
    for way, of in (('publish', graph.get_publisher_names_and_types_by_node),
                    ('subscribe', graph.get_subscriber_names_and_types_by_node),
                    ('reply', graph.get_service_names_and_types_by_node)):
        until(lambda way=way, of=of: allowed[way] - names(of) <= not_there,
              what=f'all that the node {way}s')
        assert names(of) <= allowed[way]
    assert graph.get_client_names_and_types_by_node(node, NAMESPACE) == []


def test_the_steps_name_what_there_is(project: Path) -> None:
    """docs/security.md speaks of this file and of the enclave that is in it."""
    text = (project / 'docs' / 'security.md').read_text()
    for words in ('config/sros2_policy.xml', 'create_keystore', 'create_enclave', '/segment',
                  'create_permission', 'ROS_SECURITY_KEYSTORE', 'ROS_SECURITY_ENABLE',
                  'ROS_SECURITY_STRATEGY', '--enclave /segment', 'untested'):
        assert words in text, words
