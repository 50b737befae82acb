# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The segment node's life: transitions, what answers meanwhile, and its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
import contextlib
from pathlib import Path
import signal
import threading
import time
from typing import Any

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
    GOODBYE,
    Probe,
    SHUTDOWNS,
    stamp_of,
    statuses,
    until,
)
from processes import Process
from segnode.files import TEMPORARY_SUFFIX

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
                sent, mask = probe.send_and_wait(camera, IMAGE, labels)
                assert mask.header == sent.header
                assert probe.change(DEACTIVATE)
                assert probe.state() == 'inactive'
                until(lambda: probe.node.count_subscribers('/image') == 0)
                sent = probe.send(camera, IMAGE)
                labels.settle()
                assert stamp_of(sent) not in labels.by_stamp(), 'an inactive node is silent'
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
        assert not probe.change(transition)
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
    # The line is written in the transition, whose end shows a moment later.
    assert until(lambda: probe.state() == 'unconfigured')
    with probe.collect('/diagnostics', DiagnosticArray) as diagnostics:
        status = until(lambda: statuses(diagnostics))[-1]
    assert status.level == DiagnosticStatus.ERROR and str(wrong) in status.message
    assert not probe.change(CONFIGURE)
    assert probe.state() == 'unconfigured' and node.running
    assert 'Traceback' not in node.output
    assert node.stop() == 0


def test_an_activation_that_fails(
        probe: Probe, start_segment: Callable[..., Process]) -> None:
    """Activate fails with a sentence; diagnostics repeat it; nothing is left half done."""
    camera = probe.publisher()
    node = start_segment(
        '-r', 'camera_info:=image', image_reliability='reliable', autostart=False)
    assert probe.change(CONFIGURE)
    time.sleep(1.0)
    if probe.change(ACTIVATE):
        # It subscribes at once to what it knows; on a busy machine that was not yet the camera.
        node.wait_for('cannot subscribe to /image')
        assert probe.change(DEACTIVATE) and not probe.change(ACTIVATE)
    line = node.wait_for('not activated:')
    assert 'cannot subscribe to /image' in line
    assert probe.state() == 'inactive'
    with probe.collect('/diagnostics', DiagnosticArray) as diagnostics:
        status = until(lambda: statuses(diagnostics))[-1]
        assert status.level == DiagnosticStatus.ERROR
        assert 'cannot subscribe to /image' in status.message
        assert not probe.change(ACTIVATE)
        assert probe.state() == 'inactive'
        until(lambda: probe.node.count_subscribers('/image') == 0)
        assert probe.change(CLEANUP)
        until(lambda: any(
            status.level == DiagnosticStatus.OK for status in statuses(diagnostics)[-1:]))
    assert 'Traceback' not in node.output
    probe.node.destroy_publisher(camera)
    assert node.stop() == 0


# The node; what it has to export for its model it exports again and again, until it is enough.
EXPORTING = """
import os
from segnode.ros import segment_node
from segnode.runtimes import onnx
cached = onnx.cached
def cached_after_many(name, suffix, made_from, make):
    def make_many(path):
        make(path)
        while not os.path.exists(os.environ['ENOUGH']):
            make(path)
    return cached(name, suffix, made_from, make_many)
onnx.cached = cached_after_many
raise SystemExit(segment_node.main())
"""


def slow_to_load(folder: Path) -> dict[str, object]:
    """Return the settings of a node that loads until there is a file `enough` in the folder.

    The cache is in the folder, which is a new one, so that no earlier export is found there.
    """
    pytest.importorskip('torch')
    pytest.importorskip('onnxruntime')
    return {'input_size': '[128,128]', 'runtime': 'onnx', 'script': EXPORTING, 'env': {
        'XDG_CACHE_HOME': str(folder), 'ENOUGH': str(folder / 'enough')}}


@pytest.mark.slow
def test_services_answer_while_the_model_loads(
        probe: Probe, start_segment: Callable[..., Process], tmp_path: Path) -> None:
    """State, parameters and diagnostics are there during a slow configure; a second is refused."""
    node = start_segment(**slow_to_load(tmp_path))
    with probe.collect('/diagnostics', DiagnosticArray) as diagnostics:
        probe.until_state('configuring')
        for alpha in (0.25, 0.5, 0.75):
            # The export holds the interpreter for long stretches; answers still come.
            assert probe.get_parameter('model') == 'fsffnet'
            assert probe.set_parameter('overlay_alpha', alpha) == (True, '')
            assert not probe.change(CONFIGURE)
            assert probe.state() == 'configuring'
        until(lambda: any('loading model fsffnet, ' in status.message
                          for status in statuses(diagnostics)))
    (tmp_path / 'enough').touch()
    probe.until_state('active')
    assert probe.get_parameter('overlay_alpha') == 0.75
    assert node.stop() == 0


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_the_model_loads(
        probe: Probe, start_segment: Callable[..., Process], tmp_path: Path,
        number: signal.Signals) -> None:
    """The process ends in order amid an export, and leaves nothing half-made in the cache.

    Within 2 s where the machine is not busy: test_faults_alone.py takes the time.
    """
    node = start_segment(**slow_to_load(tmp_path))
    until(lambda: list(tmp_path.rglob(f'*{TEMPORARY_SUFFIX}/*.onnx')), 120, 'an export')
    assert probe.state() == 'configuring'
    begun = time.monotonic()
    assert node.stop(number) == 0
    assert time.monotonic() - begun < 30.0
    assert 'Traceback' not in node.output
    until(lambda: 'segment' not in probe.node.get_node_names(), GOODBYE,
          'the node gone for its peers')
    assert not list(tmp_path.rglob(f'*{TEMPORARY_SUFFIX}'))
    assert not list(tmp_path.rglob('*.onnx'))


@contextlib.contextmanager
def pouring(probe: Probe, camera: Any, image: np.ndarray) -> Iterator[None]:
    """Publish an image about 50 times a second while in the block."""
    done = threading.Event()

    def pour() -> None:
        while not done.wait(0.02):
            probe.send(camera, image)

    thread = threading.Thread(target=pour)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_a_signal_under_load(
        probe: Probe, start_segment: Callable[..., Process], number: signal.Signals) -> None:
    """With images pouring in, the process ends with code 0, however often it is told."""
    camera = probe.publisher()
    large = np.zeros((720, 1280, 3), np.uint8)
    node = start_segment()
    probe.until_state('active', 90)
    until(camera.get_subscription_count)
    with probe.collect('segmentation/labels') as labels, \
            probe.collect('segmentation/overlay') as overlays, pouring(probe, camera, large):
        labels.wait(3)
        overlays.wait(3)
        begun = time.monotonic()
        for _ in range(3):
            node.send(number)
            time.sleep(0.01)
        assert node.wait() == 0
        assert time.monotonic() - begun < 30.0
    assert 'Traceback' not in node.output and 'stopped:' in node.output
    until(lambda: camera.get_subscription_count() == 0, GOODBYE, 'the node gone for its peers')
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
