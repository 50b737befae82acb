# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""python3 -m segnode.ros.check: is a node well? Against messages, and over DDS."""

from __future__ import annotations

from collections.abc import Iterator
import contextlib
from typing import Any

import pytest

pytest.importorskip('rclpy')

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from segnode.ros import check, diagnostics

OK, WARN = DiagnosticStatus.OK, DiagnosticStatus.WARN
ERROR, STALE = DiagnosticStatus.ERROR, DiagnosticStatus.STALE


def message(name: str = '/segment: segmentation', level: bytes = OK, state: str = 'active',
            text: str = '15.0 Hz in, 15.0 Hz out') -> DiagnosticArray:
    """Return what a node says of itself."""
    return DiagnosticArray(status=[DiagnosticStatus(
        name=name, level=level, message=text, values=[KeyValue(key='state', value=state)])])


@pytest.mark.parametrize('level, state, well, words', [
    (OK, 'active', True, '/segment: OK: 15.0 Hz in, 15.0 Hz out'),
    (WARN, 'active', True, '/segment: WARN'),
    (ERROR, 'active', False, '/segment: ERROR'),
    (STALE, 'active', False, '/segment: STALE'),
    (OK, 'inactive', False, '/segment: OK'),
    (OK, 'unconfigured', False, '/segment: OK'),
])
def test_level_and_state(level: bytes, state: str, well: bool, words: str) -> None:
    """Well is active, and no worse than WARN."""
    ((found, sentence),) = check.judged(message(level=level, state=state), '/segment')
    assert found is well
    assert sentence.startswith(words)


@pytest.mark.parametrize('name', [
    '/front/segment: segmentation', '/segment_2: segmentation', '/segment: front', 'other'])
def test_other_statuses_do_not_count(name: str) -> None:
    """Neither of other nodes nor of a single one of several cameras."""
    assert check.judged(message(name), '/segment') == []


def test_the_nodes_own_message_is_understood() -> None:
    """What diagnostics.py makes is what is looked for."""
    from rclpy.time import Time

    from segnode.ros.health import Health
    made = diagnostics.message(
        '/front/segment', Time(), diagnostics.Situation(state='inactive', failure='no weights'),
        [diagnostics.Camera('', Health().snapshot())])
    assert check.judged(made, '/front/segment') == [(False, '/front/segment: ERROR: no weights')]


@contextlib.contextmanager
def saying(probe: Any, *messages: DiagnosticArray) -> Iterator[None]:
    """Publish the messages over and over, in turn, while in the block."""
    publisher = probe.node.create_publisher(DiagnosticArray, '/diagnostics', 10)
    left = list(messages)

    def say() -> None:
        publisher.publish(left[0])
        left.append(left.pop(0))

    timer = probe.node.create_timer(0.1, say)
    try:
        yield
    finally:
        probe.node.destroy_timer(timer)
        probe.node.destroy_publisher(publisher)


def test_a_node_that_is_well(probe: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Code 0 as soon as it says so, however it was before."""
    name = '/car/segment: segmentation'
    with saying(probe, message(name, state='unconfigured'), message(name)):
        assert check.main(['--node', 'car/segment', '--wait', '60']) == 0
    assert capsys.readouterr().out == '/car/segment: OK: 15.0 Hz in, 15.0 Hz out\n'


def test_a_node_that_is_not(probe: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Code 1 after the time given, with what it said last."""
    told = ''
    with saying(probe, message(level=ERROR, text='images fail: out of memory')):
        for wait in (2, 10, 60):  # more where the machine is busy
            assert check.main(['--wait', str(wait)]) == 1
            told = capsys.readouterr().err
            if 'no diagnostics' not in told:
                break
    assert told == '/segment: ERROR: images fail: out of memory\n'


def test_no_node(capsys: pytest.CaptureFixture[str]) -> None:
    """Code 1, and what may be wrong."""
    assert check.main(['--node', '/nobody', '--wait', '0.3']) == 1
    assert '/nobody: no diagnostics within 0.3 s' in capsys.readouterr().err
