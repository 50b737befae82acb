# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The segment node's life: transitions, what answers meanwhile, and its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
import contextlib
import os
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
    Probe,
    SHUTDOWNS,
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
                count = labels.settle()
                probe.send(camera, IMAGE)
                assert labels.settle() == count, 'an inactive node is silent'
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
    # The node must know of the camera by now: it subscribes at once to what it knows.
    time.sleep(2.0)
    assert not probe.change(ACTIVATE)
    line = node.wait_for('not activated:', 10)
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
        probe.state()  # the process is up
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
    onnxruntime = pytest.importorskip('onnxruntime')
    seconds: list[float] = []
    while len(seconds) < 3 and min(seconds, default=9.0) >= 2.0:  # best of three: a busy machine
        cache = tmp_path / str(len(seconds))
        node = start_segment(**slow_to_load(cache))
        probe.until_state('configuring')
        # Once the export has begun there is something half-made.
        until(lambda folder=cache: list(folder.rglob(f'*{TEMPORARY_SUFFIX}')), 60)
        assert probe.state() == 'configuring'
        begun = time.monotonic()
        assert node.stop(number) == 0
        seconds.append(time.monotonic() - begun)
        assert 'Traceback' not in node.output
        until(lambda: 'segment' not in probe.node.get_node_names(), 10.0,
              'the node gone for its peers')
        assert not list(cache.rglob(f'*{TEMPORARY_SUFFIX}'))
        for path in cache.rglob('*.onnx'):  # the export was faster than the signal: then whole
            onnxruntime.InferenceSession(str(path), providers=['CPUExecutionProvider'])
    assert min(seconds) < 2.0, seconds


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
    """With images pouring in, the process ends at once with code 0, however often it is told."""
    camera = probe.publisher()
    large = np.zeros((720, 1280, 3), np.uint8)
    seconds: list[float] = []
    while len(seconds) < 3 and min(seconds, default=9.0) >= 2.0:  # best of three: a busy machine
        node = start_segment()
        probe.until_state('active', 90)
        until(camera.get_subscription_count)
        with probe.collect('segmentation/labels') as labels, \
                probe.collect('segmentation/overlay') as overlays, pouring(probe, camera, large):
            labels.wait(3)
            overlays.wait(3)
            begun = time.monotonic()
            for _ in range(3):
                os.kill(node.pid, number)
                time.sleep(0.01)
            assert node.wait(10.0) == 0
            seconds.append(time.monotonic() - begun)
        assert 'Traceback' not in node.output and 'stopped:' in node.output
        until(lambda: camera.get_subscription_count() == 0, what='the node gone for its peers')
    assert min(seconds) < 2.0, seconds
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
