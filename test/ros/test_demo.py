# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The demo as its user runs it: three processes, a table, pictures, and clear words for errors."""

from __future__ import annotations

import contextlib
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


def processes_of(group: int) -> dict[int, str]:
    """Command lines by id of running processes that this demo started, by their environment."""
    found = {}
    for folder in Path('/proc').iterdir():
        if folder.name.isdigit():
            try:
                if f'DEMO_TEST={group}'.encode() in (folder / 'environ').read_bytes():
                    command = (folder / 'cmdline').read_bytes().replace(b'\0', b' ').decode()
                    if command:
                        found[int(folder.name)] = command
            except OSError:
                continue
    return found


@pytest.mark.slow
def test_rendered_scene(start, tmp_path):
    process = demo(start, '--frames', '8', '--rate', '4', '--out', tmp_path / 'out')
    assert process.wait(120) == 0, process.output
    lines = process.output.splitlines()
    assert lines[-1] == f'pictures: {tmp_path}/out/segmentation.png'
    (rate,) = [line for line in lines if line.startswith('image rate ')]
    assert 2 < float(rate.split()[2]) < 4.4
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
    numbers = json.loads((tmp_path / 'my out' / 'run.json').read_text())
    assert numbers['frames_in'] == 3 and numbers['frames_out'] > 0


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


@pytest.mark.parametrize('arguments, message', [
    (['--rate', '-1'], "argument --rate: '-1' is not a number of 0 or more"),
    (['--rate', 'nan'], "argument --rate: 'nan' is not a number of 0 or more"),
    (['--frames', 'x'], "argument --frames: 'x' is not a whole number of 0 or more"),
    (['--nonsense'], 'unrecognized arguments: --nonsense'),
])
def test_usage_errors(start, arguments, message):
    process = demo(start, *arguments)
    assert process.wait() == 2
    assert process.output.splitlines()[-1] == f'scripts/demo: error: {message}'


def test_damaged_picture_in_the_middle_is_named(start, tmp_path):
    for index in range(4):
        cv2.imwrite(str(tmp_path / f'{index}.png'), np.zeros((120, 160, 3), np.uint8))
    (tmp_path / '2.png').write_bytes(b'not a picture')
    process = demo(start, '--source', tmp_path, '--out', tmp_path / 'out')
    assert process.wait(60) == 1
    assert f'error: {tmp_path}/2.png is not an image' in process.output


def test_skipped_messages_of_a_bag_are_told(start, tmp_path):
    pytest.importorskip('rosbags')
    from rosbags.rosbag2 import Writer
    from rosbags.typesys import get_typestore, Stores
    store, kind = get_typestore(Stores.ROS2_JAZZY), 'sensor_msgs/msg/CompressedImage'
    header = store.types['std_msgs/msg/Header'](
        store.types['builtin_interfaces/msg/Time'](0, 0), 'camera')
    png = cv2.imencode('.png', np.full((120, 160, 3), 90, np.uint8))[1]
    with Writer(tmp_path / 'bag', version=9) as writer:
        connection = writer.add_connection('/camera', kind, typestore=store)
        for index in range(4):
            message = store.types[kind](header, 'png', png[:20] if index == 2 else png)
            writer.write(connection, index * 250_000_000, store.serialize_cdr(message, kind))
    process = demo(start, '--source', tmp_path / 'bag', '--out', tmp_path / 'out')
    assert process.wait(120) == 0, process.output
    (warning,) = [line for line in process.output.splitlines() if line.startswith('warning: ')]
    assert warning == (f'warning: topic /camera of bag {tmp_path}/bag: message 2 is skipped: '
                       'the PNG image is truncated or damaged (20 bytes)')
    # On a busy machine the node may drop one of them for a newer one.
    assert 'frames in           3' in process.output


@pytest.fixture
def marked_demo(start, tmp_path):
    """Return a function that starts a demo whose processes can be found, and are ended here."""
    # Under nohup, say of a CI job, SIGHUP comes ignored, and the demo would respect that.
    inherited = signal.signal(signal.SIGHUP, signal.SIG_DFL)

    def start_demo(recorded: bool):
        # So slow that it does not end by itself meanwhile.
        process = start('-m', 'segnode.ros.demo', '--out', tmp_path, '--rate', '2',
                        env={'DEMO_TEST': str(os.getpid())})
        process.wait_for('starting')
        if recorded:
            process.wait_for(' frames', 90)
        else:
            time.sleep(1.0)
        assert len(processes_of(os.getpid())) >= 4
        return process

    yield start_demo
    signal.signal(signal.SIGHUP, inherited)
    for process_id in processes_of(os.getpid()):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process_id, signal.SIGKILL)


@pytest.mark.parametrize('numbers, recorded', [
    ([signal.SIGINT], False), ([signal.SIGTERM], False), ([signal.SIGHUP], False),
    ([signal.SIGINT] * 3, False), ([signal.SIGINT] * 3, True),
    ([signal.SIGHUP, signal.SIGTERM, signal.SIGINT], True),
], ids=lambda value: '-'.join(number.name for number in value) if isinstance(value, list)
    else 'running' if value else 'starting')
def test_interrupted_demo_leaves_nothing_behind(marked_demo, numbers, recorded):
    process = marked_demo(recorded)
    for number in numbers:
        process.send(number)
        time.sleep(0.05)
    assert process.wait() == 130, process.output
    assert process.output.splitlines()[-1] == 'stopped'
    assert 'Traceback' not in process.output
    assert processes_of(os.getpid()) == {}


@pytest.mark.parametrize('recorded', [False, True])
def test_killed_demo_leaves_nothing_behind(marked_demo, recorded):
    process = marked_demo(recorded)
    process.send(signal.SIGKILL)
    deadline = time.monotonic() + 60
    while processes_of(os.getpid()) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert processes_of(os.getpid()) == {}


def test_nohup_stays_in_force(start, tmp_path):
    process = start('-c', 'import runpy, signal, sys; '
                    'signal.signal(signal.SIGHUP, signal.SIG_IGN); sys.argv[0] = "demo"; '
                    'runpy.run_module("segnode.ros.demo", run_name="__main__")',
                    '--out', tmp_path, '--frames', '2', '--rate', '2')
    process.wait_for('starting')
    process.send(signal.SIGHUP)
    assert process.wait(120) == 0, process.output


def test_help_needs_nothing_installed(project):
    """`scripts/demo --help` answers before anything is installed: standard library only."""
    done = subprocess.run([sys.executable, '-I', '-S', '-c',
                           'import sys, runpy; sys.path.insert(0, sys.argv.pop(1));'
                           'runpy.run_module("segnode.ros.demo", run_name="__main__")',
                           str(project), '--help'], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    for option in ('--source', '--topic', '--model', '--runtime', '--rate', '--frames', '--out'):
        assert option in done.stdout
