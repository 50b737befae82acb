# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""segment_bag as a process: killed, told to stop, out of room, over a folder, over a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator
import contextlib
import io
import json
import os
from pathlib import Path
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from typing import Any

import pytest
from recorded_bags import described, read_bag, write_bag

pytest.importorskip('rosbags')
pytest.importorskip('onnxruntime')

from processes import Process
from segnode.errors import SegnodeError
from segnode.ros.bags.journal import Journal, MaskMessage, messages_of, PartMaker
from segnode.ros.bags.work_folder import WorkFolder
from segnode.ros.segment_bag import Bar, main

FRAMES = 48
FAST = ('--runtime', 'onnx', '--workers', '2')


def call(*arguments: object, code: int = 0) -> str:
    """Run segment_bag to its end, in this process; return what it printed."""
    told = io.StringIO()
    with contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
        returned = main([str(argument) for argument in arguments])
    assert returned == code, told.getvalue()
    return told.getvalue()


@pytest.fixture(scope='module')
def recording(tmp_path_factory) -> Path:
    """Return a bag of two cameras that takes seconds."""
    cameras = {'/left/image_raw': 'bgr8', '/right/image_raw/compressed': 'jpeg'}
    folder = tmp_path_factory.mktemp('recording')
    return write_bag(folder / 'drive', frames=FRAMES // 2, cameras=cameras, broken=(1, 20))


@pytest.fixture(scope='module')
def unbroken(recording, tmp_path_factory) -> Path:
    """Return the output of a run that nothing disturbed."""
    out = tmp_path_factory.mktemp('unbroken') / 'drive'
    call(recording, '--out', out, *FAST)
    return out


# segment_bag that sends itself a signal once it has written some parts of its journal: a test that
# did it from outside could come too late, when all of these few frames are done.
SIGNALLED = """
import os, sys
from segnode.ros.bags.journal import Journal
from segnode.ros.segment_bag import main
append, calls = Journal.append, []
def append_and_signal(*given):
    append(*given)
    calls.append(given)
    if len(calls) == {parts}:
        os.kill(os.getpid(), {number})
Journal.append = append_and_signal
sys.exit(main(sys.argv[1:]))
"""


def signalled(number: int, parts: int = 1) -> tuple[str, str]:
    """Return the beginning of a command: the signal comes after ``parts`` parts, of 8 frames."""
    return '-c', SIGNALLED.format(number=int(number), parts=parts)


def work_folder(out: Path) -> Path:
    """Return where an unfinished run keeps its work."""
    return out.parent / f'.{out.name}.segment_bag'


def assert_same_output(made: Path, expected: Path) -> None:
    """Two outputs hold the same."""
    assert read_bag(made) == read_bag(expected)
    assert described(made) == described(expected)
    assert (made / 'metadata.yaml').read_text() == (expected / 'metadata.yaml').read_text()
    one, other = (json.loads((path / 'segment_bag.json').read_text()) for path in (made, expected))
    for key in ('topics', 'skipped_messages', 'frames', 'skipped', 'made_from'):
        assert one[key] == other[key]


@pytest.mark.parametrize('storage', [
    'mcap', pytest.param('sqlite3', marks=pytest.mark.slow)])
def test_killed_and_resumed(start, recording, unbroken, tmp_path, storage):
    """Kill -9, three times at different places: the output is that of an unbroken run."""
    out = tmp_path / 'drive'
    options = (recording, '--out', out, *FAST, '--format', storage)
    expected = unbroken
    if storage != 'mcap':
        expected = tmp_path / 'expected'
        call(recording, '--out', expected, *FAST, '--format', storage)
    else:
        options = options[:-2]
    for attempt in range(3):
        process = start(*signalled(signal.SIGKILL, 1 + attempt % 2), *options,
                        *['--resume'] * bool(attempt))
        assert process.wait() == -signal.SIGKILL, process.output
        work = work_folder(out)
        assert not out.exists() and work.is_dir()
        with open(work / 'masks', 'ab') as journal:
            journal.write(b'PART' + os.urandom(3 + 40 * attempt))  # a kill amid writing
        (work / 'draft').mkdir(exist_ok=True)
        (work / 'draft' / 'half.mcap').write_text('of a kill amid the assembly')
    said = call(*options, code=1)
    assert 'there is an unfinished run for' in said and '--resume goes on with it' in said
    said = call(*options, '--resume', '--fit', 'crop', code=1)
    assert 'had another fit: go on with the same, or begin anew with --force' in said
    said = call(*options, '--resume')
    earlier = int(re.search(r'\((\d+) by an earlier run\)', said)[1])
    assert 0 < earlier < FRAMES
    assert_same_output(out, expected) if storage == 'mcap' else None
    assert read_bag(out) == read_bag(expected)
    assert not list(tmp_path.glob('.*'))
    assert 'is complete already' in call(*options, '--resume')


@pytest.mark.parametrize('number, code', [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_told_to_stop(start, recording, unbroken, tmp_path, number, code):
    out = tmp_path / 'drive'
    process = start(*signalled(number), recording, '--out', out, *FAST)
    assert process.wait() == code, process.output
    assert 'stopped; --resume goes on from here' in process.output
    assert 'Traceback' not in process.output
    assert not out.exists()
    said = call(recording, '--out', out, *FAST, '--resume')
    assert 0 < int(re.search(r'\((\d+) by an earlier run\)', said)[1]) < FRAMES
    assert_same_output(out, unbroken)


def test_one_at_a_time(start, recording, tmp_path):
    out = tmp_path / 'drive'
    process = start(*signalled(signal.SIGSTOP), recording, '--out', out, *FAST)
    masks = work_folder(out) / 'masks'
    deadline = time.monotonic() + 120
    while not masks.exists() or masks.stat().st_size < 100:
        assert time.monotonic() < deadline and process.running, process.output
        time.sleep(0.005)
    try:
        said = call(recording, '--out', out, '--resume', code=1)
        assert f'process {process.pid} on ' in said and 'is making' in said
    finally:
        process.send(signal.SIGCONT)
    assert process.wait() == 0, process.output


def test_force_begins_anew(recording, unbroken, tmp_path):
    out = tmp_path / 'drive'
    call(recording, '--out', out, *FAST, '--max-frames', '3')
    inode = out.stat().st_ino
    assert 'exists: --force replaces it' in call(recording, '--out', out, *FAST, code=1)
    assert out.stat().st_ino == inode
    call(recording, '--out', out, *FAST, '--force')
    assert_same_output(out, unbroken)
    assert not list(tmp_path.glob('.*'))


def test_no_room(recording, unbroken, tmp_path):
    """The system refuses to write on: one sentence, the input is whole, and resuming works."""
    limit = 400_000  # bytes of a file; the output's is larger
    out = tmp_path / 'drive'
    content = (recording / 'drive.mcap').read_bytes()
    assert len(content) > limit
    code = ('import resource, sys; from segnode.ros.segment_bag import main; '
            f'resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit})); '
            'sys.exit(main(sys.argv[1:]))')
    done = subprocess.run([sys.executable, '-c', code, recording, '--out', out, *FAST],
                          capture_output=True, text=True, timeout=300)
    assert done.returncode == 1 and 'Traceback' not in done.stderr
    (line,) = (line for line in done.stderr.splitlines() if line.startswith('error: '))
    assert line == (f'error: {out} cannot be made: File too large; once there is room, --resume '
                    'goes on')
    assert not out.exists()
    assert (recording / 'drive.mcap').read_bytes() == content
    said = call(recording, '--out', out, *FAST, '--resume')
    assert f'({FRAMES} by an earlier run)' in said
    assert_same_output(out, unbroken)


def test_no_room_is_seen_at_once(recording, tmp_path, monkeypatch, capsys):
    real = shutil.disk_usage
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: real(path)._replace(free=1000))
    assert main([str(recording), '--out', str(tmp_path / 'drive'), *FAST]) == 1
    assert 'the copy of the recording alone needs' in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_folder_of_bags_and_json(tmp_path, capsys):
    """One broken bag and one without images do not keep the others; a second run passes over."""
    day = tmp_path / 'in' / 'monday'
    for name in ('a', 'b', 'c'):
        write_bag(day / name, frames=3, others=False)
    write_bag(tmp_path / 'in' / 'silent', frames=2, cameras={})
    (tmp_path / 'in' / 'torn.mcap').write_bytes((day / 'a' / 'a.mcap').read_bytes()[:3000])
    options = (tmp_path / 'in', '--out', tmp_path / 'out', *FAST)
    said = call(*options, code=1)
    assert '3 bags written, 0 complete already, 1 without images, 1 failed; 9 frames' in said
    assert re.search(r'torn\.mcap failed: .*cannot be read as a ROS 2 bag', said)
    for name in ('a', 'b', 'c'):
        assert len(read_bag(tmp_path / 'out' / 'monday' / name)) == 3 + 3 + 1  # the names
    assert not list((tmp_path / 'out').rglob('.*'))
    (tmp_path / 'in' / 'torn.mcap').unlink()
    write_bag(day / 'd', frames=1, others=False)
    capsys.readouterr()
    assert main([*map(str, options), '--json']) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary['written'], summary['complete'], summary['failed']) == (1, 3, 0)
    assert [Path(bag['bag']).name for bag in summary['bags']] == ['a', 'b', 'c', 'd', 'silent']
    said = call(*options, '--fit', 'crop', code=1)
    assert '4 failed' in said and 'was made with another fit' in said


@pytest.mark.parametrize('arguments, code, message', [
    (['/nowhere/at/all', '--out', 'x'], 1, 'there is nothing at /nowhere/at/all'),
    (['.', '--out', '.'], 1, 'is the input'),
    (['x'], 2, 'the following arguments are required: --out'),
    (['x', '--out', 'y', '--outputs', 'labels,depth'], 2, 'not a list of labels, color, overlay'),
    (['x', '--out', 'y', '--duration', '-1'], 2, 'is not a number of seconds'),
    (['x', '--out', 'y', '--workers', 'all'], 2, 'is not a whole number'),
    (['--help'], 0, 'NAMESPACE/segmentation/labels'),
])
def test_command_line(arguments, code, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with contextlib.ExitStack() as stack:
        exited = stack.enter_context(pytest.raises(SystemExit)) if code != 1 else None
        returned = main(arguments)
    if exited is not None:
        returned = exited.value.code
    told = capsys.readouterr()
    assert returned == code
    assert message in ' '.join((told.out + told.err).split())


def test_runs_without_rclpy(recording, tmp_path):
    """As on a desk without ROS; and neither torch nor rclpy is imported on the way."""
    code = ("import sys; sys.modules['rclpy'] = sys.modules['torch'] = None; "
            'from segnode.ros.segment_bag import main; sys.exit(main(sys.argv[1:]))')
    subprocess.run([sys.executable, '-c', code, recording, '--out', tmp_path / 'out', *FAST,
                    '--max-frames', '2'], check=True, timeout=120)
    # Two masks, and the names of the classes for each of the two cameras.
    assert len(read_bag(tmp_path / 'out')) == len(read_bag(recording)) + 2 + 2


def test_bar_with_the_time_that_is_left(monkeypatch, capsys):
    pytest.importorskip('tqdm')
    bar = Bar('2/7 ')
    monkeypatch.setattr(sys.stderr, 'isatty', lambda: True)
    bar.begin('drive', 100, 20)
    for _ in range(4):
        time.sleep(0.12)  # tqdm draws ten times a second
        bar.advance(10)
    told = capsys.readouterr().err
    bar.end()
    assert '2/7 drive:  20%' in told and re.search(r'60/100 \[\d\d:\d\d<\d\d:\d\d', told)
    monkeypatch.setattr(sys.stderr, 'isatty', lambda: False)
    bar.begin('drive', 100, 0)
    monkeypatch.setattr(time, 'monotonic', lambda: 1e9)
    bar.advance(10)
    assert capsys.readouterr().err.endswith('2/7 drive: 10 of 100 frames\n')


def parts(count: int) -> list[Any]:
    """Return finished parts of three frames each, one of which is skipped."""
    made = []
    for number in range(count):
        maker = PartMaker(file=0)
        for index in range(2):
            time_ns = 100 * number + index
            maker.frame(time_ns, [MaskMessage(7, time_ns, bytes([number, index]) * 50)])
        maker.skip('/camera', 3 * number + 2, 100 * number + 2, 'it is damaged')
        made.append(maker.finish())
    return made


def test_journal_that_is_cut_off_anywhere(tmp_path):
    """Whatever a crash leaves of the file, what is read back is a beginning, and goes on."""
    whole = parts(4)
    with contextlib.closing(Journal(tmp_path / 'whole')) as journal:
        for part, body in whole:
            journal.append(part, body)
    content = (tmp_path / 'whole').read_bytes()
    seen = set()
    for size in [*range(0, len(content), 7), len(content)]:
        (tmp_path / 'cut').write_bytes(content[:size])
        with contextlib.closing(Journal(tmp_path / 'cut')) as journal:
            kept = len(journal.parts)
            assert journal.parts == [part for part, _ in whole[:kept]]
            journal.append(*whole[kept - 4])  # any part
            assert len(list(journal.bodies(0))) == kept + 1
        seen.add(kept)
    assert seen == {0, 1, 2, 3, 4}
    for position in range(30, len(content), 11):
        damaged = bytearray(content)
        damaged[position] ^= 0x55
        (tmp_path / 'damaged').write_bytes(damaged)
        with contextlib.closing(Journal(tmp_path / 'damaged')) as journal:
            assert journal.parts == [part for part, _ in whole[:len(journal.parts)]]
            assert len(journal.parts) < 4
            for part, body in journal.bodies(0):
                assert [m.data[:1] for m in messages_of(part, body)] == [
                    bytes([part.last_time // 100])] * 2


def test_work_folder_of_something_else_is_not_touched(tmp_path):
    (tmp_path / '.out.segment_bag').mkdir()
    (tmp_path / '.out.segment_bag' / 'masks').write_text('something else, and not a journal')
    with pytest.raises(SegnodeError, match='is not a journal of segment_bag'):
        Journal(tmp_path / '.out.segment_bag' / 'masks')
    held = WorkFolder(tmp_path / 'out')
    with pytest.raises(SegnodeError, match=f'process {os.getpid()} on .* is making .*out'):
        WorkFolder(tmp_path / 'out')
    held.close(discard=True)
    assert not list(tmp_path.iterdir())


def test_ray_is_optional(recording, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, 'ray', None)
    assert main([str(recording.parent), '--out', str(tmp_path / 'out'), '--ray']) == 1
    assert '--ray needs ray, which is not installed: pip install ray' in capsys.readouterr().err
    assert main([str(recording), '--out', str(tmp_path / 'out'), '--ray']) == 1
    assert '--ray is for a folder of bags' in capsys.readouterr().err


@pytest.fixture
def short_folder() -> Iterator[str]:
    """Return a folder for Ray, whose sockets' paths must be short."""
    with tempfile.TemporaryDirectory(prefix='ray', ignore_cleanup_errors=True) as folder:
        yield folder


@pytest.mark.slow
def test_ray_cluster_that_loses_a_worker(start: Callable[..., Process], recording, unbroken,
                                         tmp_path, short_folder):
    """Two workers, four bags; one worker is killed amid its bag, which another one completes."""
    pytest.importorskip('ray')
    folder = tmp_path / 'in'
    folder.mkdir()
    for name in ('a', 'b', 'c', 'd'):
        (folder / name).symlink_to(recording)
    (folder / 'torn.mcap').write_bytes((recording / 'drive.mcap').read_bytes()[:3000])
    out = tmp_path / 'out'
    # A cluster of its own, with two cores, in the child; nothing is left of it.
    code = ('import ray, sys; from segnode.ros.segment_bag import main; real = ray.init; '
            "ray.init = lambda **given: real(**{**given, 'address': 'local', 'num_cpus': 2, "
            f"'include_dashboard': False, '_temp_dir': {short_folder!r}"
            '}); sys.exit(main(sys.argv[1:]))')
    process = start('-c', code, folder, '--out', out, '--ray', '--runtime', 'onnx', '--json')
    deadline = time.monotonic() + 120
    killed: dict[str, int] = {}
    while not killed:
        assert time.monotonic() < deadline and process.running, process.output
        for work in out.glob('.*.segment_bag'):
            with contextlib.suppress(OSError):
                if (work / 'masks').stat().st_size > 4000:
                    holder = int((work / 'lock').read_text().split()[1])
                    os.kill(holder, signal.SIGKILL)
                    killed[work.name] = holder
                    break
        time.sleep(0.005)
    assert process.wait(120) == 1, process.output
    summary = json.loads(process.output[process.output.index('{\n'):])
    assert (summary['written'], summary['failed']) == (4, 1)
    (name,) = killed
    name = name[1:-len('.segment_bag')]
    by_name = {Path(report['bag']).name: report for report in summary['bags']}
    assert by_name[name]['frames_of_earlier_runs'] > 0
    assert 'cannot be read as a ROS 2 bag' in by_name['torn.mcap']['error']
    for bag in ('a', 'b', 'c', 'd'):
        assert read_bag(out / bag) == read_bag(unbroken)
    assert not list(out.glob('.*'))


@pytest.mark.parametrize('refused', [False, True, 'later'])
def test_copy_of_a_part_of_a_file(tmp_path, monkeypatch, refused):
    """Within the kernel, or through this process where the file system does not do that."""
    from segnode.ros.bags import copying
    content = os.urandom(100_000)
    (tmp_path / 'old').write_bytes(content)
    calls = []

    def refuse(*arguments: Any) -> int:
        calls.append(arguments)
        if refused is True or len(calls) > 2:
            raise OSError(18, 'Invalid cross-device link')
        return real(*arguments)

    real = os.copy_file_range
    if refused:
        monkeypatch.setattr(os, 'copy_file_range', refuse)
        monkeypatch.setattr(copying, '_BLOCK', 30_000)
    with open(tmp_path / 'old', 'rb') as old, open(tmp_path / 'new', 'xb') as new:
        new.write(b'before')
        copying.copy_range(old, new, 10, 99_000, lambda: None)
        new.write(b'between')
        copying.copy_range(old, new, 5, 6, lambda: None)
        assert new.tell() == 6 + 98_990 + 7 + 1
        with pytest.raises(SegnodeError, match='became shorter'):
            copying.copy_range(old, new, 99_999, 100_001, lambda: None)
    assert (tmp_path / 'new').read_bytes() == (
        b'before' + content[10:99_000] + b'between' + content[5:6] + content[99_999:])
