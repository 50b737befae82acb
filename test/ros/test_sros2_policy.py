# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The SROS 2 policy against the code's tables, and against what a running node has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from processes import Process
from segnode.ros.input_choice import sources
from segnode.ros.launch_arguments import ARGUMENTS
from segnode.ros.topics import OUTPUT_TOPICS

NAMESPACE, NODE = '/', 'segment'
# Of every node; where none of these is, the middleware or rclpy has another set.
OF_ALL = {'/rosout', '/parameter_events', '/segment/transition_event'}


def full_name(name: str) -> str:
    """Return a topic or service name as SROS 2 expands it."""
    if name.startswith('~'):
        return f'{NAMESPACE}{NODE}{name[1:]}'
    return name if name.startswith('/') else f'{NAMESPACE}{name}'


@pytest.fixture(scope='module')
def allowed(project: Path) -> dict[str, set[str]]:
    """Return the names that the policy allows: to publish, to subscribe, to reply."""
    root = ElementTree.parse(project / 'config' / 'sros2_policy.xml').getroot()
    assert (root.tag, root.get('version')) == ('policy', '0.2.0')
    profile, = root.findall('enclaves/enclave/profiles/profile')
    assert (profile.get('ns'), profile.get('node')) == (NAMESPACE, NODE)
    found: dict[str, set[str]] = {}
    for rule in profile:
        assert rule.tag in ('topics', 'services')
        (way, permission), = rule.attrib.items()
        assert permission == 'ALLOW'
        names = [full_name(str(element.text)) for element in rule]
        assert len(names) == len(set(names)) and not found.get(way, set()) & set(names)
        found.setdefault(way, set()).update(names)
    assert set(found) == {'publish', 'subscribe', 'reply'}
    return found


def test_topics_are_those_of_the_tables(allowed: dict[str, set[str]]) -> None:
    """No topic of the node is missing, and no other is allowed."""
    outputs = {full_name(topic.name) for topic in OUTPUT_TOPICS}
    assert allowed['publish'] == outputs | OF_ALL | {'/segmentation/label_info', '/diagnostics'}
    launched = next(argument.default for argument in ARGUMENTS if argument.name == 'image')
    images = {source.topic for name in ('image', launched)
              for source in sources(full_name(name), 'auto')}
    assert allowed['subscribe'] == images | {'/camera_info', '/clock'}


def test_a_running_node_needs_no_more(
        probe: object, start_segment: Callable[..., Process], allowed: dict[str, set[str]]
) -> None:
    """Everything that it publishes, subscribes to and serves is allowed; and little else is."""
    from probe import Probe, until
    assert isinstance(probe, Probe)
    camera = probe.publisher()
    node = start_segment(use_sim_time=True)
    node.wait_for('active:', 90)
    until(camera.get_subscription_count)
    graph = probe.node

    def names(of: Callable[..., list[tuple[str, list[str]]]]) -> set[str]:
        return {name for name, _ in of(NODE, NAMESPACE)}

    # What a node has shows to others a moment after it has it.
    until(lambda: '/image' in names(graph.get_subscriber_names_and_types_by_node))
    published = names(graph.get_publisher_names_and_types_by_node)
    subscribed = names(graph.get_subscriber_names_and_types_by_node)
    served = names(graph.get_service_names_and_types_by_node)
    assert published <= allowed['publish']
    assert subscribed <= allowed['subscribe']
    assert served <= allowed['reply']
    assert allowed['publish'] - published <= {
        '/segmentation/confidence', '/segmentation/uncertainty', '/segmentation/label_info'}
    assert allowed['subscribe'] - subscribed <= {
        '/image/compressed', '/image_raw', '/image_raw/compressed'}
    assert allowed['reply'] - served <= {'/segment/get_type_description'}  # Humble has none
    assert graph.get_client_names_and_types_by_node(NODE, NAMESPACE) == []
    probe.node.destroy_publisher(camera)
    assert node.stop() == 0


def test_the_steps_name_what_there_is(project: Path) -> None:
    """docs/security.md speaks of this file and of the enclave that is in it."""
    text = (project / 'docs' / 'security.md').read_text()
    for words in ('config/sros2_policy.xml', 'create_keystore', 'create_enclave', '/segment',
                  'create_permission', 'ROS_SECURITY_KEYSTORE', 'ROS_SECURITY_ENABLE',
                  'ROS_SECURITY_STRATEGY', '--enclave /segment', 'untested'):
        assert words in text, words
