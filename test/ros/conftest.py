# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the tests that talk to nodes in other processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
import sys
from typing import Any

import pytest

from processes import Process


@pytest.fixture(scope='module')
def probe() -> Iterator[Any]:
    """Return a Probe: this process's own node, spinning in a thread."""
    rclpy = pytest.importorskip('rclpy')
    from probe import Probe
    context = rclpy.Context()
    rclpy.init(context=context)
    node = Probe(context)
    yield node
    node.close()
    context.try_shutdown()


@pytest.fixture
def start_segment() -> Iterator[Callable[..., Process]]:
    """Return a function that starts a segment node, which is ended with the test.

    ``start_segment(overlay_alpha=0.3)`` passes parameters; random weights do where there are no
    released ones, for these tests compare with the Segmenter, not with the truth. ``script=`` is
    Python that runs the node's main, in place of the module.
    """
    yield from _starter()


@pytest.fixture(scope='module')
def start_module_segment() -> Iterator[Callable[..., Process]]:
    """Return the same for a node that serves a whole module."""
    yield from _starter()


def _starter() -> Iterator[Callable[..., Process]]:
    started: list[Process] = []

    def start(*arguments: str, env: dict[str, str] | None = None, script: str = '',
              **parameters: Any) -> Process:
        given = {'allow_random_weights': True, 'threads': 1, **parameters}
        options = [part for name, value in given.items()
                   for part in ('-p', f'{name}:={_yaml(value)}')]
        code = ['-c', script] if script else ['-m', 'segnode.ros.segment_node']
        process = Process(
            [sys.executable, *code, '--ros-args', *options, *arguments], env or {})
        started.append(process)
        return process

    yield start
    for process in started:
        process.end()


def _yaml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
