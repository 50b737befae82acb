# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The segment node's life: transitions, what answers meanwhile, and its end."""

from __future__ import annotations

from collections.abc import Callable
import os
from pathlib import Path
import signal
import time

import numpy as np
import pytest

pytest.importorskip('rclpy')

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus

from probe import (
    ACTIVATE,
    CLEANUP,
    CONFIGURE,
    DEACTIVATE,
    facts,
    Probe,
    SHUTDOWNS,
    statuses,
    until,
)
from processes import Process

IMAGE = np.full((60, 80, 3), 100, np.uint8)
LABELS = '/segmentation/labels'


def test_every_transition_twice(probe: Probe, start_segment: Callable[..., Process]) -> None:
    """Each step works again after its way back, and leaves nothing behind."""
    node = start_segment(autostart=False)
    assert probe.state() == 'unconfigured'
    camera = probe.publisher()
    for _ in range(2):
        assert probe.node.count_publishers(LABELS) == 0
        assert probe.change(CONFIGURE)
        assert probe.state() == 'inactive'
        until(lambda: probe.node.count_publishers(LABELS) == 1)
        for _ in range(2):
            assert probe.node.count_subscribers('/image') == 0
            assert probe.change(ACTIVATE)
            assert probe.state() == 'active'
            until(camera.get_subscription_count)
            with probe.collect('segmentation/labels') as labels:
                sent = probe.send(camera, IMAGE)
                assert labels.wait(1)[0].header == sent.header
                assert probe.change(DEACTIVATE)
                assert probe.state() == 'inactive'
                until(lambda: probe.node.count_subscribers('/image') == 0)
                probe.send(camera, IMAGE)
                time.sleep(0.3)
                assert len(labels) == 1, 'an inactive node is silent'
        assert probe.change(CLEANUP)
        assert probe.state() == 'unconfigured'
        until(lambda: probe.node.count_publishers(LABELS) == 0)
    probe.node.destroy_publisher(camera)
    assert node.stop() == 0
    assert 'Traceback' not in node.output


@pytest.mark.parametrize('state', ['unconfigured', 'inactive', 'active'])
def test_shutdown_from_every_state(
        probe: Probe, start_segment: Callable[..., Process], state: str) -> None:
    """The shutdown transition frees everything; the node then still answers."""
    node = start_segment(autostart=state == 'active')
    if state == 'inactive':
        assert probe.change(CONFIGURE)
    probe.until_state(state)
    assert probe.change(SHUTDOWNS[state])
    assert probe.state() == 'finalized'
    assert probe.node.count_publishers(LABELS) == 0 or until(
        lambda: probe.node.count_publishers(LABELS) == 0)
    assert node.stop() == 0


def test_impossible_transitions_are_refused(
        probe: Probe, start_segment: Callable[..., Process]) -> None:
    """What the state does not have is answered with no, and the node goes on."""
    node = start_segment()
    probe.until_state('active', 90)
    for transition in (CONFIGURE, ACTIVATE, CLEANUP, SHUTDOWNS['unconfigured'], 200):
        assert not probe.change(transition, timeout=10)
    assert probe.state() == 'active'
    assert probe.change(DEACTIVATE)
    assert node.stop() == 0


def test_a_model_that_cannot_be_loaded(
        probe: Probe, start_segment: Callable[..., Process], tmp_path: Path) -> None:
    """Configure fails with a sentence; diagnostics repeat it; mended, it works."""
    wrong = tmp_path / 'wrong.safetensors'
    wrong.write_bytes(b'this is no model')
    node = start_segment(model=wrong)
    line = node.wait_for('not configured:', 60)
    assert str(wrong) in line
    assert probe.state() == 'unconfigured'
    with probe.collect('/diagnostics', DiagnosticArray) as diagnostics:
        status = until(lambda: statuses(diagnostics))[-1]
    assert status.level == DiagnosticStatus.ERROR and str(wrong) in status.message
    assert not probe.change(CONFIGURE)
    assert probe.state() == 'unconfigured' and node.running
    assert 'Traceback' not in node.output
    assert node.stop() == 0


def slow_to_load(cache: Path) -> dict[str, object]:
    """Return the settings of a node that takes seconds to load: the graph is exported anew.

    `cache` is a new folder, so that no earlier export is found there.
    """
    pytest.importorskip('torch')
    return {'input_size': '[256,384]', 'runtime': 'onnx', 'env': {'XDG_CACHE_HOME': str(cache)}}


@pytest.mark.slow
def test_services_answer_while_the_model_loads(
        probe: Probe, start_segment: Callable[..., Process], tmp_path: Path) -> None:
    """State, parameters and diagnostics are there during a slow configure; a second is refused."""
    node = start_segment(**slow_to_load(tmp_path))
    with probe.collect('/diagnostics', DiagnosticArray) as diagnostics:
        answers = 0
        while True:
            begun = time.monotonic()
            state = probe.state()
            if state == 'active':
                break
            assert state in ('unconfigured', 'configuring', 'inactive', 'activating')
            if state == 'configuring':
                assert probe.get_parameter('model') == 'fsffnet'
                assert probe.set_parameter('overlay_alpha', 0.25) == (True, '')
                assert not probe.change(CONFIGURE)
                answers += 1
            # The export holds the interpreter for long stretches; answers still come.
            assert time.monotonic() - begun < 8.0
            time.sleep(0.1)
        messages = [status.message for status in statuses(diagnostics)]
    assert answers >= 2
    assert any('loading model fsffnet, ' in message for message in messages)
    assert probe.get_parameter('overlay_alpha') == 0.25
    assert node.stop() == 0


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_the_model_loads(
        probe: Probe, start_segment: Callable[..., Process], tmp_path: Path,
        number: signal.Signals) -> None:
    """The process ends within 2 s, in order, and leaves nothing half-made in the cache."""
    node = start_segment(**slow_to_load(tmp_path))
    until(lambda: probe.state() == 'configuring')
    time.sleep(1.0)
    begun = time.monotonic()
    assert node.stop(number) == 0
    assert time.monotonic() - begun < 2.0
    assert 'Traceback' not in node.output
    until(lambda: 'segment' not in probe.node.get_node_names(), 3.0, 'the node gone for its peers')
    assert not list(tmp_path.rglob('*.onnx'))


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_a_signal_under_load(
        probe: Probe, start_segment: Callable[..., Process], number: signal.Signals) -> None:
    """With images pouring in, the process ends at once with code 0, however often it is told."""
    node = start_segment()
    probe.until_state('active', 90)
    camera = probe.publisher()
    until(camera.get_subscription_count)
    large = np.zeros((720, 1280, 3), np.uint8)
    with probe.collect('segmentation/labels') as labels, \
            probe.collect('segmentation/overlay') as overlays:
        end = time.monotonic() + 20
        while len(labels) < 3 or len(overlays) < 3:
            assert time.monotonic() < end
            probe.send(camera, large)
            time.sleep(0.01)
        begun = time.monotonic()
        for _ in range(3):
            os.kill(node.pid, number)
            probe.send(camera, large)
        assert node.wait(5.0) == 0
    assert time.monotonic() - begun < 3.0
    assert 'Traceback' not in node.output and 'stopped:' in node.output
    probe.node.destroy_publisher(camera)


def test_random_weights_warn_on_every_diagnostic(
        probe: Probe, start_segment: Callable[..., Process]) -> None:
    """A network that nobody trained says so, all the time."""
    pytest.importorskip('torch')
    node = start_segment(model='fsffnet_cityscapes', input_size='[128,128]')
    probe.until_state('active', 90)
    with probe.collect('/diagnostics', DiagnosticArray) as diagnostics:
        until(lambda: len(statuses(diagnostics)) >= 3)
        for status in statuses(diagnostics):
            assert status.level == DiagnosticStatus.WARN
            assert status.message.startswith('random weights: the masks mean nothing')
            assert facts(status)['label set'] == 'cityscapes'
    assert node.stop() == 0
