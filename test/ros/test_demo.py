# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The demo as its user runs it: three processes, a table, pictures, and clear words for errors."""

from __future__ import annotations

import json
import os
from pathlib import Path
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest

pytest.importorskip('rclpy')


def demo(start, *arguments):
    """Start the demo."""
    return start('-m', 'segnode.ros.demo', *arguments)


def processes_of(group: int) -> list[str]:
    """Command lines of running processes whose environment shows that this demo started them."""
    found = []
    for folder in Path('/proc').iterdir():
        if folder.name.isdigit():
            try:
                if f'DEMO_TEST={group}'.encode() in (folder / 'environ').read_bytes():
                    command = (folder / 'cmdline').read_bytes().replace(b'\0', b' ').decode()
                    if command:
                        found.append(command)
            except OSError:
                continue
    return found


@pytest.mark.slow
def test_rendered_scene(start, tmp_path):
    process = demo(start, '--frames', '8', '--rate', '4', '--out', tmp_path / 'out')
    assert process.wait(120) == 0, process.output
    lines = process.output.splitlines()
    assert lines[-1] == f'pictures: {tmp_path}/out/segmentation.png'
    assert 'frames in           8' in lines and 'frames out          8' in lines
    assert any(line.startswith('first mask ') for line in lines)
    numbers = json.loads((tmp_path / 'out' / 'run.json').read_text())
    assert numbers['frames_out'] == numbers['frames_recorded'] == 8 and numbers['dropped'] == 0
    assert set(numbers['latency_ms']) == {'transport', 'decode', 'run', 'publish', 'total'}
    assert numbers['node']['model'].startswith('fsffnet')
    picture = cv2.imread(str(tmp_path / 'out' / 'segmentation.png'))
    assert picture.shape == (4 * 360, 3 * 480, 3)


@pytest.mark.slow
def test_odd_names_and_a_relative_folder(start, tmp_path):
    """Quotes, blanks and letters beyond ASCII in paths reach the player unharmed."""
    folder = tmp_path / "it's «42: #1»"
    folder.mkdir()
    for index in range(3):
        cv2.imwrite(str(folder / f'{index}.jpg'), np.full((120, 160, 3), 60 * index, np.uint8))
    process = start('-m', 'segnode.ros.demo', '--source', folder.name, '--rate', '3', '--out',
                    'my out', cwd=tmp_path)
    assert process.wait(120) == 0, process.output
    assert json.loads((tmp_path / 'my out' / 'run.json').read_text())['frames_out'] == 3


@pytest.mark.parametrize('arguments, message', [
    (['--source', '/nowhere'], 'there is nothing at /nowhere'),
    (['--model', 'nonsense'], "there is no model 'nonsense'"),
    (['--runtime', 'nonsense'], "'runtime' must be one of"),
    (['--out', '/proc/nowhere'], 'cannot write to /proc/nowhere'),
])
def test_errors_in_one_sentence(start, tmp_path, arguments, message):
    process = demo(start, '--out', tmp_path, *arguments)
    assert process.wait(60) == 1
    assert [line for line in process.output.splitlines()
            if line.startswith('error: ') and message in line], process.output
    assert 'Traceback' not in process.output


@pytest.mark.parametrize('arguments', [['--rate', '-1'], ['--frames', 'x'], ['--nonsense']])
def test_usage_errors(start, arguments):
    process = demo(start, *arguments)
    assert process.wait(20) == 2


def test_damaged_picture_in_the_middle_is_named(start, tmp_path):
    for index in range(4):
        cv2.imwrite(str(tmp_path / f'{index}.png'), np.zeros((120, 160, 3), np.uint8))
    (tmp_path / '2.png').write_bytes(b'not a picture')
    process = demo(start, '--source', tmp_path, '--out', tmp_path / 'out')
    assert process.wait(60) == 1
    assert f'error: {tmp_path}/2.png is not an image' in process.output


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_interrupted_demo_leaves_nothing_behind(start, tmp_path, number):
    process = start('-m', 'segnode.ros.demo', '--out', tmp_path,
                    env={'DEMO_TEST': str(os.getpid())})
    process.wait_for('starting', 30)
    time.sleep(1.0)
    assert len(processes_of(os.getpid())) >= 4
    assert process.stop(number, 20) == 130
    assert process.output.splitlines()[-1] == 'stopped'
    assert 'Traceback' not in process.output
    assert processes_of(os.getpid()) == []


def test_help_needs_nothing_installed(project):
    """`scripts/demo --help` answers before anything is installed: standard library only."""
    done = subprocess.run([sys.executable, '-I', '-S', '-c',
                           'import sys, runpy; sys.path.insert(0, sys.argv.pop(1));'
                           'runpy.run_module("segnode.ros.demo", run_name="__main__")',
                           str(project), '--help'], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stderr
    for option in ('--source', '--topic', '--model', '--runtime', '--rate', '--frames', '--out'):
        assert option in done.stdout
