# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The qos_overrides parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip('rclpy')

import rclpy
from rclpy.parameter import Parameter
from rclpy.qos import HistoryPolicy, ReliabilityPolicy

from segnode.errors import SegnodeError
from segnode.ros.qos import overridable

NAME = 'qos_overrides./image.subscription'


@pytest.fixture
def node_with() -> Iterator[Callable[..., Any]]:
    """Return a function that makes a node with parameters given at start."""
    context = rclpy.Context()
    rclpy.init(context=context)
    nodes = []

    def make(**overrides: Any) -> Any:
        nodes.append(rclpy.create_node('qos', context=context, parameter_overrides=[
            Parameter(f'{NAME}.{policy}', value=value) for policy, value in overrides.items()]))
        return nodes[-1]

    yield make
    for node in nodes:
        node.destroy_node()
    context.try_shutdown()


def profile(node: Any, reliability: str = 'auto') -> Any:
    """Return what a subscription of /image gets."""
    return overridable(node, '/image', 'subscription', reliability=reliability, depth=5)


@pytest.mark.parametrize('policy, value', [
    ('reliability', 'some'), ('history', 'none'), ('depth', 0), ('depth', 'many')])
def test_a_bad_value_is_refused_every_time(
        node_with: Callable[..., Any], policy: str, value: Any) -> None:
    """The second configure must not take what the first one refused."""
    node = node_with(**{policy: value})
    for _ in range(3):
        with pytest.raises(SegnodeError, match=f'{NAME}.{policy}'):
            profile(node)


def test_the_sentence_lists_each_value_once(node_with: Callable[..., Any]) -> None:
    """Also where the default is one of the usual values."""
    node = node_with(reliability='some')
    with pytest.raises(SegnodeError, match='one of reliable, best_effort, not'):
        profile(node, 'reliable')


def test_overrides_hold_every_time(node_with: Callable[..., Any]) -> None:
    """What was given at start is used; a profile made twice is the same."""
    node = node_with(reliability='reliable', history='keep_all', depth=2)
    for _ in range(2):
        made, reliability = profile(node)
        assert reliability == 'reliable'
        assert (made.reliability, made.history, made.depth) == (
            ReliabilityPolicy.RELIABLE, HistoryPolicy.KEEP_ALL, 2)
    made, reliability = profile(node_with())
    assert (reliability, made.depth) == ('auto', 5)
