# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Faults that need a node of their own: of clocks and disks, and such that end with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
import contextlib
from pathlib import Path
import resource
import signal
import subprocess
import sys
import time
from typing import Any

import numpy as np
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('onnxruntime')

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo

import faulty_model
from faulty_model import HANG, STEP
from probe import ACTIVATE, Collector, CONFIGURE, facts, Probe, stamp_of, statuses, until
from processes import Process

PEERS = Path(__file__).resolve().parent.parent / 'fault_peers.py'
CACHE_ROOM = 300_000  # bytes: less than an exported graph, more than anything else is


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Return the path of the model that fails on command."""
    return faulty_model.write(tmp_path)


def peer(start: Callable[..., Process], *arguments: object) -> Process:
    """Start one of fault_peers.py."""
    process = start(PEERS, *arguments, env={
        'PYTHONPATH': f'{PEERS.parent}:{PEERS.parent.parent}'})
    process.wait_for('ready')
    return process


@contextlib.contextmanager
def clock_at(probe: Probe) -> Iterator[Callable[[float], None]]:
    """Yield a function that sets /clock and says it twenty times a second from then on."""
    publisher = probe.node.create_publisher(Clock, '/clock', 10)
    now = [0.0]

    def say() -> None:
        now[0] += 0.05
        publisher.publish(Clock(clock=time_of(now[0])))

    timer = probe.node.create_timer(0.05, say)
    yield lambda seconds: now.__setitem__(0, seconds)
    probe.node.destroy_timer(timer)
    probe.node.destroy_publisher(publisher)


def time_of(seconds: float) -> Time:
    """Return a stamp."""
    return Time(sec=int(seconds), nanosec=round((seconds % 1) * 1e9) % 10**9)


def test_a_clock_that_jumps_and_a_bag_that_loops(
        probe: Probe, start_segment: Callable[..., Process], model: Path) -> None:
    """Forward, back, to zero and round again: masks, rates and diagnostics go on as if nothing."""
    node = start_segment(model=model, runtime='onnx', use_sim_time=True, image_timeout=60.0)
    node.wait_for('active:', 90)
    camera = probe.publisher()
    infos = probe.publisher('camera_info', kind=CameraInfo)
    until(camera.get_subscription_count)
    until(infos.get_subscription_count)
    image = faulty_model.image(100)
    with clock_at(probe) as set_clock, \
            probe.collect('segmentation/labels') as labels, \
            probe.collect('segmentation/camera_info', CameraInfo) as calibrations, \
            probe.collect('/diagnostics', DiagnosticArray) as diagnostics:
        set_clock(1000.0)
        infos.publish(CameraInfo(height=128, width=256))
        probe.send_and_wait(camera, image, labels)
        labels.settle()
        sent, seen, before = 0, len(statuses(diagnostics)), len(labels)
        # A drive, the same again (a bag that loops), ten days on, an hour back, the beginning.
        for start in (1000.0, 1000.0, 865_000.0, 861_400.0, 0.0, 2_000_000_000.0, 1000.0):
            set_clock(start)
            for step in range(12):
                msg = probe.image(image)
                msg.header.stamp = time_of(start + 0.1 * step)
                info = CameraInfo(header=msg.header, height=128, width=256)
                infos.publish(info)
                camera.publish(msg)
                sent += 1
                time.sleep(0.05)
                # The next when this one has its mask: a busy machine must not drop one.
                labels.wait(before + sent)
            # By the wall clock, after each jump.
            told = len(statuses(diagnostics))
            until(lambda told=told: len(statuses(diagnostics)) > told, what='diagnostics')
        latest = statuses(diagnostics)[seen:]
        assert all(status.level == DiagnosticStatus.OK for status in latest[1:]), [
            status.message for status in latest]
        values = [facts(status) for status in latest if 'latency total' in str(status)][-1]
        assert 0.0 < float(values['rate out (Hz)']) < 25.0
        assert 0.0 <= float(values['age of the newest image (s)']) < 300.0
        if 'latency transport (ms)' in values:
            most = float(values['latency transport (ms)'].split('max ')[1])
            assert 0.0 <= most <= 60_000.0
        assert float(values['latency total (ms)'].split('max ')[1]) < 300_000.0
        stamps = [stamp_of(message) for message in labels.messages[before:]]
        assert stamps.count((1000, 0)) == 3, 'the same stamp again is the same frame again'
        assert all(set(message.data) == {100 // STEP} for message in labels.messages)
        until(lambda: len(calibrations) > sent // 2, what='calibrations beside the masks')
    assert 'no image on' not in node.output
    assert node.stop() == 0
    assert 'Traceback' not in node.output


def group_of(process: Process) -> list[int]:
    """Return the processes that it has started and that still run, itself included."""
    found = []
    for folder in Path('/proc').iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError, IndexError):
                after_name = (folder / 'stat').read_text().rpartition(')')[2].split()
                if int(after_name[3]) == process.pid and after_name[0] != 'Z':  # its session
                    found.append(int(folder.name))
    return found


def hang(probe: Probe, camera: Any, labels: Collector) -> None:
    """Send the network into an endless loop; the image may have to be sent more than once."""
    def stuck() -> bool:
        probe.send(camera, faulty_model.image(0, command=HANG))
        count = len(labels)
        time.sleep(1.5)
        return len(labels) == count
    until(stuck, 60)


@pytest.mark.slow
def test_a_signal_under_everything_at_once(
        probe: Probe, start_segment: Callable[..., Process], start: Callable[..., Process],
        model: Path) -> None:
    """Cameras at full speed, a subscriber that never reads, a network that does not come back.

    While it is stuck, the node answers; after ten seconds of it the diagnostics are an ERROR.
    """
    peer(start, 'camera', '--rate', 200, '--height', 512, '--width', 1024)
    peer(start, 'deaf', '/segmentation/labels', '/segmentation/overlay')
    seconds: list[float] = []
    while len(seconds) < 3 and min(seconds, default=9.0) >= 2.0:  # best of three: a busy machine
        node = start_segment(model=model, runtime='onnx')
        node.wait_for('subscribed to /image', 90)
        camera = probe.publisher()
        until(camera.get_subscription_count)
        with probe.collect('segmentation/labels') as labels, \
                probe.collect('/diagnostics', DiagnosticArray) as diagnostics:
            labels.wait(3)
            hang(probe, camera, labels)
            if not seconds:
                assert probe.state() == 'active'
                assert probe.set_parameter('overlay_alpha', 0.25) == (True, '')
                until(lambda: any(
                    status.level == DiagnosticStatus.ERROR
                    and 'one image has been in the network' in status.message
                    for status in statuses(diagnostics)[-1:]), 30)
            assert node.pid in group_of(node)
            begun = time.monotonic()
            node.send(signal.SIGTERM)
            assert node.wait(10.0) == 0
            seconds.append(time.monotonic() - begun)
        assert group_of(node) == [], 'orphans'
        assert 'Traceback' not in node.output
        probe.node.destroy_publisher(camera)
    assert min(seconds) < 2.0, seconds


@pytest.mark.slow
def test_a_full_disk_under_the_cache(
        probe: Probe, start: Callable[..., Process], tmp_path: Path) -> None:
    """No room anywhere: not configured, in a sentence. Room elsewhere: made there, and it runs."""
    pytest.importorskip('torch')  # the graph for another size is exported, and kept in the cache
    cache = tmp_path / 'cache'
    cache.mkdir()
    command = [sys.executable, '-m', 'segnode.ros.segment_node', '--ros-args', '-p',
               'input_size:=[128,128]', '-p', 'runtime:=onnx', '-p', 'threads:=1', '-p',
               'autostart:=false', '-p', 'allow_random_weights:=true']
    small_disk = ['unshare', '--mount', '--map-root-user', 'sh', '-c',
                  f'mount -t tmpfs -o size={CACHE_ROOM} none "$0" && exec "$@"', str(cache)]
    try:
        subprocess.run([*small_disk, 'true'], check=True, capture_output=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        small_disk = []  # no right to mount: the limit alone
    node = start(*[*small_disk, *command][1:], executable=[*small_disk, *command][0],
                 env={'XDG_CACHE_HOME': str(cache)})
    probe.until_state('unconfigured')
    before = resource.prlimit(node.pid, resource.RLIMIT_FSIZE)
    # Every write beyond it fails, on whatever disk (EFBIG; Python ignores the signal).
    resource.prlimit(node.pid, resource.RLIMIT_FSIZE, (CACHE_ROOM, before[1]))
    assert not probe.change(CONFIGURE)
    assert probe.state() == 'unconfigured'
    assert 'File too large' in node.wait_for('not configured:')
    resource.prlimit(node.pid, resource.RLIMIT_FSIZE, before)
    assert probe.change(CONFIGURE)
    assert probe.change(ACTIVATE)
    if small_disk:
        last = [line for line in node.output.splitlines() if 'nothing is kept' in line][-1]
        assert 'No space left on device' in last and str(cache) in last
    else:
        assert len(list(cache.rglob('*.onnx'))) == 1
    assert not list(cache.rglob('*.tmp'))
    camera = probe.publisher()
    until(camera.get_subscription_count)
    with probe.collect('segmentation/labels') as labels:
        sent, mask = probe.send_and_wait(camera, np.zeros((60, 80, 3), np.uint8), labels)
        assert mask.header == sent.header
    probe.node.destroy_publisher(camera)
    assert node.stop() == 0
    assert 'Traceback' not in node.output
