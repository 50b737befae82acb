# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The wall clock of the vehicle is set while it drives: player and node, over DDS.

A computer without a battery for its clock starts in the past; NTP and GPS set it later, at once.
"""

from __future__ import annotations

from collections.abc import Callable
import os
from pathlib import Path
import shutil
import struct
import subprocess
import time

import cv2
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('onnxruntime')

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus

import faulty_model
from faulty_model import STEP
from probe import Collector, facts, Probe, stamp_of, statuses, until
from processes import Process

HOUR, YEAR = 3600.0, 365.25 * 86400.0
FRAMES = 10_000  # more than are played
SOURCE = Path(__file__).resolve().parent.parent / 'wall_clock.c'


class WallClock:
    """A clock that processes started with ``environment`` take for the system's."""

    def __init__(self, folder: Path) -> None:
        library, self._file = folder / 'wall_clock.so', folder / 'wall_clock'
        subprocess.run(['cc', '-shared', '-fPIC', '-O1', '-Wall', '-Wextra', '-Werror', '-o',
                        library, SOURCE], check=True)
        self.set(0.0)
        self.environment = {'LD_PRELOAD': str(library), 'WALL_CLOCK': str(self._file)}

    def set(self, ahead: float) -> None:
        """Let it be so many seconds ahead of the true time, from now on."""
        self.ahead = ahead
        # Eight bytes at once, in place, so that no process ever sees a part of them.
        file = os.open(self._file, os.O_WRONLY | os.O_CREAT, 0o600)
        os.pwrite(file, struct.pack('=q', round(ahead * 1e9)), 0)
        os.close(file)

    def tells(self) -> float:
        """Return what it tells, in seconds since 1970."""
        return time.time() + self.ahead


@pytest.fixture
def wall_clock(tmp_path: Path) -> WallClock:
    """Return a clock."""
    if shutil.which('cc') is None:
        pytest.skip('no C compiler: the clock of a process cannot be set')
    folder = tmp_path / 'clock'
    folder.mkdir()
    return WallClock(folder)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Return a folder of many pictures, all label 4."""
    folder = tmp_path / 'pictures'
    folder.mkdir()
    cv2.imwrite(str(folder / '00000.png'), faulty_model.image(4 * STEP))
    for index in range(1, FRAMES):
        os.link(folder / '00000.png', folder / f'{index:05}.png')
    return folder


def test_the_clock_of_a_process_is_set(start: Callable[..., Process],
                                       wall_clock: WallClock) -> None:
    """The tool of this file is one: wall time jumps, steady time does not."""
    wall_clock.set(-10 * YEAR)
    process = start('-c', 'import time; begun, steady = time.time(), time.monotonic()\n'
                    'print("now", begun, steady, flush=True)\n'
                    'while abs(time.time() - begun) < 1e6: time.sleep(0.01)\n'
                    'print("then", time.time() - begun, time.monotonic() - steady)',
                    env=wall_clock.environment)
    _, begun, steady = process.wait_for('now').split()
    assert abs(float(begun) - wall_clock.tells()) < 60
    assert 0 <= time.monotonic() - float(steady) < 60
    wall_clock.set(0.0)
    _, jump, passed = process.wait_for('then').split()
    assert float(jump) - float(passed) == pytest.approx(10 * YEAR, abs=1)


def masks_of_now(labels: Collector, clock: WallClock, count: int) -> None:
    """Wait for so many more masks with the time that the clock tells."""
    seen = len(labels)
    until(lambda: sum(abs(stamp_of(message)[0] - clock.tells()) < 15
                      for message in labels.messages[seen:]) >= count,
          60, f'masks when the clock is {clock.ahead} s ahead')


def later_status(diagnostics: Collector, count: int) -> DiagnosticStatus:
    """Wait for so many more reports and return the latest."""
    seen = len(statuses(diagnostics))
    return until(lambda: statuses(diagnostics)[seen + count - 1:], 60, 'diagnostics')[-1]


def test_masks_go_on_whatever_the_time(
        probe: Probe, start: Callable[..., Process], start_segment: Callable[..., Process],
        tmp_path: Path, pictures: Path, wall_clock: WallClock) -> None:
    """Years ahead and back again, an hour back: no pause, no complaint, and the stamps follow."""
    wall_clock.set(-40 * YEAR)
    node = start_segment(model=faulty_model.write(tmp_path), runtime='onnx', image_timeout=60.0,
                         env=wall_clock.environment)
    node.wait_for('active:', 90)
    with probe.collect('segmentation/labels') as labels, \
            probe.collect('/diagnostics', DiagnosticArray) as diagnostics:
        player = start('-m', 'segnode.ros.player_node', '--ros-args', '-p', f'source:={pictures}',
                       '-p', 'rate:=20.0', '-r', 'image_raw:=image', env=wall_clock.environment)
        labels.wait(5, 60)
        for ahead in (0.0, -HOUR, 10 * YEAR, 10 * YEAR - 0.5, -2 * YEAR, -2 * YEAR + 20, 0.0):
            wall_clock.set(ahead)
            masks_of_now(labels, wall_clock, 10)
            latest = later_status(diagnostics, 2)
            assert latest.level == DiagnosticStatus.OK, latest.message
            values = facts(latest)
            assert float(values['rate out (Hz)']) < 100
            assert 0 <= float(values['age of the newest image (s)']) < 60
            assert 0 < float(values['latency total (ms)'].split('max ')[1]) < 60_000
        assert all(set(message.data) == {4} for message in labels.messages)
    assert 'no image on' not in node.output
    assert player.stop() == 0 and node.stop() == 0
    assert 'Traceback' not in node.output + player.output
