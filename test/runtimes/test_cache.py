# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The cache: made once, found again, never trusted when damaged, private."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
import stat
import subprocess
import sys
import tempfile
import threading
import time
from typing import Any

import pytest

from segnode.errors import SegnodeError
from segnode.runtimes import cache, cache_size


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    return tmp_path / 'cache' / 'segnode'


class _Maker:

    def __init__(self, content: bytes = b'graph') -> None:
        self.content, self.calls = content, 0

    def __call__(self, path: Path) -> None:
        self.calls += 1
        path.write_bytes(self.content)


def test_made_once_and_found_again(folder: Path) -> None:
    maker = _Maker()
    path = cache.cached('a', '.onnx', {'size': '1x1'}, maker)
    assert path.parent == folder and path.name.startswith('a-') and path.suffix == '.onnx'
    assert path.read_bytes() == b'graph'
    assert cache.cached('a', '.onnx', {'size': '1x1'}, maker) == path
    assert maker.calls == 1
    assert cache.cached('a', '.onnx', {'size': '2x2'}, maker) != path
    assert maker.calls == 2


def test_private(folder: Path) -> None:
    path = cache.cached('a', '.onnx', {}, _Maker())
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for file in folder.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    folder.chmod(0o777)
    maker = _Maker()
    assert cache.cached('a', '.onnx', {}, maker) == path
    assert maker.calls == 1, 'others could have written it'
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize('damage', [
    lambda path, side: path.write_bytes(b'Graph'),
    lambda path, side: path.write_bytes(b''),
    lambda path, side: path.unlink(),
    lambda path, side: side.unlink(),
    lambda path, side: side.write_text('{'),
    lambda path, side: side.write_text('[]'),
    lambda path, side: side.write_text('{"key": 3}'),
    lambda path, side: side.write_text(
        json.dumps({**json.loads(side.read_text()), 'key': '0' * 64})),
])
def test_damaged_entries_are_made_again(damage: object) -> None:
    maker = _Maker()
    path = cache.cached('a', '.onnx', {}, maker)
    damage(path, path.with_name(path.name + '.json'))  # type: ignore[operator]
    assert cache.cached('a', '.onnx', {}, maker) == path
    assert path.read_bytes() == b'graph'
    assert maker.calls == 2
    cache.cached('a', '.onnx', {}, maker)
    assert maker.calls == 2


def test_a_failed_build_leaves_nothing(folder: Path) -> None:
    def broken(path: Path) -> None:
        path.write_bytes(b'half')
        raise SegnodeError('no')

    with pytest.raises(SegnodeError, match='no'):
        cache.cached('a', '.onnx', {}, broken)
    assert list(folder.iterdir()) == []


def test_what_a_killed_process_left_is_removed_later(folder: Path) -> None:
    cache.cached('a', '.onnx', {}, _Maker())
    draft = folder / 'x.tmp'
    draft.mkdir()
    (draft / 'half.onnx').write_bytes(b'half')
    cache.cached('b', '.onnx', {}, _Maker())
    assert draft.exists(), 'another process may be writing it'
    long_ago = time.time() - 7200
    os.utime(draft, (long_ago, long_ago))
    cache.cached('c', '.onnx', {}, _Maker())
    assert not draft.exists()


def test_drafts_are_abandoned_when_a_process_ends_abruptly(folder: Path) -> None:
    """Those of this process only, and only while it makes them."""
    others = folder / 'other.tmp'
    during = []

    def make(path: Path) -> None:
        others.mkdir()
        path.write_bytes(b'half')
        during.extend(folder.rglob('*.onnx'))
        cache.abandon_drafts()
        during.append(list(folder.rglob('*.onnx')))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.cached('a', '.onnx', {}, make)
    assert len(during) == 2 and during[1] == []
    assert list(folder.iterdir()) == [others]
    cache.abandon_drafts()
    assert others.is_dir()


def test_a_thread_that_still_writes_leaves_nothing(folder: Path) -> None:
    """It makes one file after the other while the folder is deleted."""
    def make(path: Path) -> None:
        done = threading.Event()

        def pour() -> None:
            number = 0
            while not done.is_set():
                number += 1
                with contextlib.suppress(OSError):
                    (path.parent / f'{number}.onnx').write_bytes(b'half')

        writers = [threading.Thread(target=pour) for _ in range(3)]
        for writer in writers:
            writer.start()
        time.sleep(0.05)
        cache.abandon_drafts()
        time.sleep(0.05)
        left.append([path for path in folder.rglob('*') if path.suffix != '.lock'])
        done.set()
        for writer in writers:
            writer.join()
        raise KeyboardInterrupt

    left: list[list[Path]] = []
    for index in range(10):
        with pytest.raises(KeyboardInterrupt):
            cache.cached(f'a{index}', '.onnx', {}, make)
    assert left == [[]] * 10


def test_entries_and_clear(folder: Path) -> None:
    assert cache.entries() == [] and cache.clear() == (0, 0)
    path = cache.cached('a', '.onnx', {'size': '1x1'}, _Maker())
    bad = cache.cached('b', '.onnx', {'size': '2x2'}, _Maker())
    bad.write_bytes(b'x')
    first, second = cache.entries()
    assert (first.path, first.size, first.valid) == (path, 5, True)
    assert first.made_from == {'size': '1x1'}
    assert abs(first.made - time.time()) < 60
    assert (second.path, second.valid) == (bad, False)
    assert cache.clear()[0] == 4
    assert list(folder.iterdir()) == []


def test_where_nothing_can_be_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / 'file').write_text('')
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'file'))
    path = cache.cached('a', '.onnx', {}, _Maker())
    assert path.read_bytes() == b'graph'


def test_anothers_folder_is_not_trusted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.cached('a', '.onnx', {}, _Maker())
    monkeypatch.setattr(os, 'getuid', lambda: 12345)
    with pytest.raises(SegnodeError, match='belongs to another user'):
        cache.cached('a', '.onnx', {}, _Maker())


def test_clear_leaves_what_is_being_written(folder: Path) -> None:
    def make(path: Path) -> None:
        path.write_bytes(b'graph')
        (folder / '.a.onnx.x.tmp').write_bytes(b'half')
        cache.clear()

    assert cache.cached('a', '.onnx', {}, make).read_bytes() == b'graph'
    assert (folder / '.a.onnx.x.tmp').exists()
    assert [entry.path.suffix for entry in cache.entries()] == ['.onnx']
    long_ago = time.time() - 7200
    os.utime(folder / '.a.onnx.x.tmp', (long_ago, long_ago))
    cache.clear()
    assert list(folder.iterdir()) == []


def test_files_that_vanish_meanwhile(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(path: Path, *args: Any, **kwargs: Any) -> Any:
        raise FileNotFoundError(2, 'No such file or directory')

    cache.cached('a', '.onnx', {}, _Maker())
    with monkeypatch.context() as patch:
        patch.setattr(Path, 'unlink', gone)
        assert cache.clear() == (0, 0)
    (folder / 'dangling.onnx').symlink_to(folder / 'nowhere')
    assert len(cache.entries()) == 1
    assert cache.clear()[0] == 2


def test_what_cannot_be_deleted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path, *args: Any, **kwargs: Any) -> Any:
        raise PermissionError(13, 'Permission denied')

    cache.cached('a', '.onnx', {}, _Maker())
    monkeypatch.setattr(Path, 'unlink', refused)
    with pytest.raises(SegnodeError, match='cannot be deleted: Permission denied'):
        cache.clear()


@pytest.mark.parametrize('text', ['{"made": "x", "made_from": 3}', '[' * 100_000])
def test_a_damaged_side_is_listed(text: str) -> None:
    path = cache.cached('a', '.onnx', {}, _Maker())
    path.with_name(path.name + '.json').write_text(text)
    (entry,) = cache.entries()
    assert not entry.valid and entry.made_from == {}


def test_a_full_disk_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any, **kwargs: Any) -> Any:
        raise OSError(28, 'No space left on device')

    with pytest.raises(SegnodeError, match='cannot be written: No space left'):
        cache.cached('a', '.onnx', {}, full)
    monkeypatch.setattr(tempfile, 'mkdtemp', full)
    with pytest.raises(SegnodeError, match='cannot be written: No space left'):
        cache.cached('a', '.onnx', {}, _Maker())
    monkeypatch.setattr(os, 'access', lambda path, mode: False)
    with pytest.raises(SegnodeError, match='nothing can be written'):
        cache.cached('a', '.onnx', {}, _Maker())


def test_a_full_disk_costs_the_keeping_not_the_file(
        folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is made once more in a folder of this process, also where the maker wraps the error."""
    def full(path: Path) -> None:
        if path.parent.parent == folder:
            try:
                raise OSError(28, 'No space left on device')
            except OSError as error:
                raise SegnodeError('the graph cannot be written') from error
        path.write_bytes(b'graph')

    for _ in range(2):
        path = cache.cached('a', '.onnx', {'of': 'full'}, full)
        assert path.read_bytes() == b'graph' and path.parent != folder
    assert list(folder.iterdir()) == []
    assert 'No space left on device' in caplog.text

    def broken(path: Path) -> None:
        raise SegnodeError('of another kind')

    with pytest.raises(SegnodeError, match='of another kind'):
        cache.cached('a', '.onnx', {}, broken)


@pytest.mark.parametrize('name', ['../a', 'a/b', '', '/etc/passwd'])
def test_a_name_is_no_path(name: str) -> None:
    with pytest.raises(ValueError, match='not a path'):
        cache.cached(name, '/x.onnx' if not name else '.onnx', {}, _Maker())


@pytest.mark.parametrize('home', [True, False])
def test_a_temporary_folder_goes_with_the_process(home: bool, tmp_path: Path) -> None:
    """Where the cache cannot be written, and where the user has no home at all."""
    (tmp_path / 'file').write_text('')
    (tmp_path / 'tmp').mkdir()
    code = (
        'import sys; from pathlib import Path\n'
        'def homeless(cls): raise RuntimeError()\n'
        'if sys.argv[1:]: Path.home = classmethod(homeless)\n'
        'from segnode.runtimes import cache\n'
        'path = [cache.cached("a", ".onnx", {}, lambda p: p.write_bytes(b"x")) for _ in "ab"]\n'
        'assert path[0] == path[1] and path[0].read_bytes() == b"x"\n'
        'print(path[0])'
    )
    env = {**os.environ, 'TMPDIR': str(tmp_path / 'tmp')}
    del env['XDG_CACHE_HOME']
    if home:
        env['XDG_CACHE_HOME'] = str(tmp_path / 'file')
    result = subprocess.run(
        [sys.executable, '-c', code, *([] if home else ['homeless'])],
        capture_output=True, text=True, env=env,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(str(tmp_path / 'tmp'))
    assert result.stderr.count('nothing is kept between runs') == 1
    assert list((tmp_path / 'tmp').iterdir()) == []


def texts(count: int = 1) -> Any:
    """Return something that makes content and facts, and counts how often."""
    made: list[int] = []

    def make() -> tuple[bytes, dict[str, Any]]:
        made.append(1)
        return b'engine', {'layers': 7}
    make.calls = made  # type: ignore[attr-defined]
    return make


def test_content_with_facts_is_made_once(folder: Path) -> None:
    make = texts()
    for _ in range(2):
        found = cache.kept('a', '.engine', {'gpu': 'x'}, make)
        assert (found.content, found.facts) == (b'engine', {'layers': 7})
        assert found.path is not None and stat.S_IMODE(found.path.stat().st_mode) == 0o600
    assert len(make.calls) == 1
    (entry,) = cache.entries()
    assert entry.facts == {'layers': 7} and entry.made_from == {'gpu': 'x'} and entry.valid


def test_content_that_is_not_accepted_is_made_again(caplog: pytest.LogCaptureFixture) -> None:
    make = texts()
    cache.kept('a', '.engine', {}, make)

    def refuse(content: bytes) -> None:
        raise SegnodeError('another version')

    assert cache.kept('a', '.engine', {}, make, refuse).content == b'engine'
    assert len(make.calls) == 2 and 'is made again: another version' in caplog.text


@pytest.mark.parametrize('spoil', [
    lambda path: path.chmod(0o620),
    lambda path: path.with_name(path.name + '.json').chmod(0o602),
    lambda path: (path.rename(path.with_name('x')), path.symlink_to(path.with_name('x'))),
    lambda path: (path.unlink(), path.mkdir()),
])
def test_what_others_may_have_written_is_not_used(
    spoil: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = texts()
    path = cache.kept('a', '.engine', {}, make).path
    assert path is not None
    spoil(path)
    if path.is_dir():
        path.rmdir()
    found = cache.kept('a', '.engine', {}, make)
    assert found.content == b'engine' and len(make.calls) == 2
    assert not path.is_symlink() and stat.S_IMODE(path.stat().st_mode) == 0o600


def test_anothers_file_is_not_used(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make = texts()
    cache.kept('a', '.engine', {}, make)
    status = os.fstat

    class Foreign:
        """A status with another owner."""

        def __init__(self, handle: int) -> None:
            self.status = status(handle)
            self.st_uid = 12345

        def __getattr__(self, name: str) -> Any:
            return getattr(self.status, name)

    with monkeypatch.context() as patch:
        patch.setattr(os, 'fstat', Foreign)
        assert cache.recall('a', '.engine', {}) == b''
    assert cache.recall('a', '.engine', {}) == b'engine'


def test_a_full_disk_does_not_throw_away_what_took_minutes(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*args: Any, **kwargs: Any) -> Any:
        raise OSError(28, 'No space left on device')

    make = texts()
    monkeypatch.setattr('segnode.runtimes.cache_entry.write_bytes', full)
    found = cache.kept('a', '.engine', {}, make)
    assert found.content == b'engine' and found.path is None and len(make.calls) == 1
    assert 'it will be made again' in caplog.text


def test_without_a_folder_it_is_made_every_time(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / 'file').write_text('')
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'file'))
    make = texts()
    for _ in range(2):
        assert cache.kept('a', '.engine', {}, make).path is None
    assert len(make.calls) == 2
    cache.remember('t', '.timings', {}, b'x')
    assert cache.recall('t', '.timings', {}) == b''


def test_what_grows_takes_the_place_of_the_one_before() -> None:
    assert cache.recall('t', '.timings', {'gpu': 'x'}) == b''
    for content in (b'one', b'two'):
        cache.remember('t', '.timings', {'gpu': 'x'}, content)
        assert cache.recall('t', '.timings', {'gpu': 'x'}) == content
    assert cache.recall('t', '.timings', {'gpu': 'y'}) == b''
    assert len(cache.entries()) == 1


BOTH = """
import sys, time
from segnode.runtimes import cache, cache_size
def make():
    print('making', flush=True)
    if 'told' in sys.argv:
        sys.stdin.readline()
    else:
        time.sleep(1.0)
    return b'engine', {}
def write(path):
    path.write_bytes(make()[0])
import logging
logging.basicConfig(level=logging.INFO, stream=sys.stdout, format='%(message)s')
print('begin', flush=True)
if sys.argv[1] == 'kept':
    assert cache.kept('a', '.engine', {}, make).content == b'engine'
else:
    assert cache.cached('a', '.onnx', {}, write).read_bytes() == b'engine'
"""


@pytest.mark.parametrize('how', ['kept', 'cached'])
def test_two_processes_make_one(how: str, folder: Path) -> None:
    processes = [
        subprocess.Popen([sys.executable, '-c', BOTH, how], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert sum(text.splitlines().count('making') for text in said) == 1
    assert sum(text.count('another process is making') for text in said) <= 1
    assert not list(folder.glob('*.lock'))


def test_one_waits_for_the_other_and_says_so(folder: Path) -> None:
    first = subprocess.Popen(
        [sys.executable, '-c', BOTH, 'kept', 'told'], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, text=True)
    assert first.stdout is not None
    while 'making' not in first.stdout.readline():
        pass
    second = subprocess.Popen(
        [sys.executable, '-c', BOTH, 'kept'], stdout=subprocess.PIPE, text=True)
    assert second.stdout is not None
    said = ''
    for line in second.stdout:
        said += line
        if 'another process is making' in line:
            first.communicate('now\n', timeout=120)
    assert second.wait(120) == first.returncode == 0
    assert 'waiting for it' in said and '\nmaking\n' not in said


def test_a_maker_that_dies_leaves_the_lock_to_the_next(folder: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, '-c', BOTH, 'kept', 'told'], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    while 'making' not in process.stdout.readline():
        pass
    process.kill()
    process.communicate()
    make = texts()
    cache.kept('a', '.engine', {}, make)
    assert len(make.calls) == 1 and not list(folder.glob('*.lock'))


def test_without_locks_it_is_made_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('segnode.runtimes.file_lock.fcntl', None)
    make = texts()
    assert cache.kept('a', '.engine', {}, make).content == b'engine'


def test_what_was_not_used_for_longest_goes_first(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('SEGNODE_CACHE_SIZE', '250B')

    def entry(name: str) -> Path:
        path = cache.kept(name, '.engine', {}, lambda: (bytes(100), {})).path
        assert path is not None
        return path

    paths = {name: entry(name) for name in 'ab'}
    for age, name in ((300, 'a'), (200, 'b')):
        for file in (paths[name], paths[name].with_name(paths[name].name + '.json')):
            os.utime(file, (time.time() - age, time.time() - age))
    entry('a')  # used again
    entry('c')
    assert [e.path.name[0] for e in cache.entries()] == ['a', 'c']
    assert len(list(folder.iterdir())) == 4, 'side files go with them'
    big = cache.kept('big', '.engine', {}, lambda: (bytes(1000), {})).path
    assert [e.path for e in cache.entries()] == [big], 'the newest stays in any case'


@pytest.mark.parametrize('text, size', [
    ('', 5 * 10**9), ('500MB', 5 * 10**8), ('1.5 gb', 15 * 10**8), ('2T', 2 * 10**12),
    ('1000', 1000), ('lots', 5 * 10**9), ('-1', 5 * 10**9), ('5 PB', 5 * 10**9),
])
def test_sizes(text: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('SEGNODE_CACHE_SIZE', text)
    assert cache_size.size_limit() == size


def test_clear_what_is_old(folder: Path) -> None:
    paths = [cache.kept(name, '.engine', {}, texts()).path for name in 'ab']
    for file in folder.glob('a-*'):
        os.utime(file, (time.time() - 1000, time.time() - 1000))
    assert cache.clear(unused_for=2000) == (0, 0)
    count, _ = cache.clear(unused_for=500)
    assert count == 2 and [e.path for e in cache.entries()] == [paths[1]]
