# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Files that are made once from a model and kept, found by what they were made from.

The key covers the content that an entry depends on, so a stale entry is never found; its side file
holds the sha256 of the entry, so a damaged one is never used. Only this user may write here:
what lies here is run. What two processes need at once is made by one of them. Beyond
$SEGNODE_CACHE_SIZE what was not used for longest is deleted.
"""

from __future__ import annotations

import atexit
from collections.abc import Callable
import contextlib
from dataclasses import dataclass
import errno
import functools
import hashlib
import json
import logging
import os
from pathlib import Path
import shutil
import stat
import tempfile
import time
from typing import Any

from segnode.errors import SegnodeError
from segnode.files import TEMPORARY_SUFFIX, user_folder
from segnode.runtimes.cache_entry import (
    Kept,
    load_entry,
    problem,
    read_side,
    side_of,
    SIDE_SUFFIX,
    touch,
    write_entry,
)
from segnode.runtimes.cache_size import Listed, size_limit, SIZE_VARIABLE, superfluous
from segnode.runtimes.file_lock import LOCK_SUFFIX, locked

_LOG = logging.getLogger('segnode')
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)
_STALE_AFTER = 3600.0  # s; a temporary file older than this was left by a process that is gone
_ABSENT = 'it is not there'
_own_drafts: set[str] = set()  # folders in which this process is making a file


@dataclass(frozen=True)
class CacheEntry:
    """One kept file and what its side file states; ``valid`` is False where they disagree."""

    path: Path
    size: int
    made: float
    used: float
    made_from: dict[str, str]
    facts: dict[str, Any]
    valid: bool


def cache_folder() -> Path:
    """Return ``segnode`` in the user's cache folder ($XDG_CACHE_HOME, else ~/.cache).

    Without a home it is a folder of this process.

    Raises:
        SegnodeError: there is no home, and nothing can be written in the temporary folder either.
    """
    folder = user_folder('XDG_CACHE_HOME', '.cache')
    return _temporary_folder('this user has no home') if folder is None else folder / 'segnode'


@functools.cache
def _temporary_folder(reason: str) -> Path:
    """Return a folder that is deleted when this process ends, the same for the same reason."""
    try:
        folder = Path(tempfile.mkdtemp(prefix='segnode-'))
    except OSError as error:
        raise SegnodeError(
            f'nothing can be written ({reason}; nor a temporary file: {error.strerror or error}): '
            'set XDG_CACHE_HOME to a folder of your own'
        ) from error
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    _LOG.warning('nothing is kept between runs: %s', reason)
    return folder


def cached(
    name: str, suffix: str, made_from: dict[str, str], make: Callable[[Path], object]
) -> Path:
    """Return the path of a file that is made once.

    Args:
        name: beginning of the file's name, for people.
        suffix: end of the file's name, such as '.onnx'.
        made_from: everything that the content depends on, as texts.
        make: writes the file to the path given; called when there is no valid entry.

    Raises:
        SegnodeError: what ``make`` raises, or nothing can be written anywhere. Where the cache
            folder cannot be written, or is full, it is a folder of this process.
    """
    if Path(name + suffix).name != name + suffix:
        raise ValueError(f'{name!r} and {suffix!r} must name a file, not a path')
    key = hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()
    file = f'{name}-{key[:16]}{suffix}'
    try:
        folder = _private_folder()
    except OSError as error:
        folder = _temporary_folder(f'{cache_folder()} cannot be written ({error})')
    else:
        try:
            return _found_or_made(folder / file, key, made_from, make)
        except (OSError, SegnodeError) as error:
            reason = _no_room(error)
            if not reason:
                raise
            # A full disk must not keep a vehicle from driving: made once more, for this run alone.
            folder = _temporary_folder(f'{folder / file} cannot be written: {reason}')
    try:
        return _found_or_made(folder / file, key, made_from, make)
    except OSError as error:
        raise SegnodeError(
            f'{folder / file} cannot be written: {error.strerror or error}') from error


def _found_or_made(
    path: Path, key: str, made_from: dict[str, str], make: Callable[[Path], object]
) -> Path:
    """Return the path once a valid entry lies there.

    Raises:
        OSError: it cannot be written; also what ``make`` raises.
    """
    if not problem(path, key):
        _LOG.debug('found %s', path)
        touch(path)
        return path
    with locked(path, lambda: _tell_waiting(path)):
        wrong = problem(path, key)
        if not wrong:
            touch(path)
            return path
        if path.exists():
            _LOG.warning('%s is made again: %s', path, wrong)
        started = time.monotonic()
        with tempfile.TemporaryDirectory(dir=path.parent, suffix=TEMPORARY_SUFFIX) as drafts:
            _own_drafts.add(drafts)
            try:
                draft = Path(drafts) / path.name
                make(draft)
                content = draft.read_bytes()
            finally:
                _own_drafts.discard(drafts)
        _write(path, key, made_from, content, {})
    _LOG.info('made %s in %.1f s', path, time.monotonic() - started)
    return path


def kept(
    name: str,
    suffix: str,
    made_from: dict[str, str],
    make: Callable[[], tuple[bytes, dict[str, Any]]],
    accept: Callable[[bytes], object] = bool,
) -> Kept:
    """Return content that is made once; where it cannot be written, it is made at every start.

    Args:
        name, suffix, made_from: as of ``cached``.
        make: returns the content, and facts about its making that JSON holds; called when there
            is no valid entry.
        accept: is given what was found; raises SegnodeError where it must be made again.

    Raises:
        SegnodeError: what ``make`` raises, or the folder belongs to another user.
    """
    path, key = _place(name, suffix, made_from)
    if path is None:
        return Kept(*make(), path=None)
    found = _accepted(path, key, accept)
    if isinstance(found, Kept):
        return found
    with locked(path, lambda: _tell_waiting(path)):
        found = _accepted(path, key, accept)  # another process may have made it meanwhile
        if isinstance(found, Kept):
            return found
        if found != _ABSENT:
            _LOG.warning('%s is made again: %s', path, found)
        content, facts = make()
        written = _keep(path, key, made_from, content, facts)
    return Kept(content, facts, path if written else None)


def _accepted(path: Path, key: str, accept: Callable[[bytes], object]) -> Kept | str:
    """Return what lies there, or why it cannot be used."""
    if not path.exists():
        return _ABSENT
    found = load_entry(path, key)
    if isinstance(found, Kept):
        try:
            accept(found.content)
        except SegnodeError as error:
            return str(error)
        touch(path)
    return found


def recall(name: str, suffix: str, made_from: dict[str, str]) -> bytes:
    """Return what ``remember`` was given the last time, b'' for nothing."""
    path, key = _place(name, suffix, made_from)
    found = None if path is None else load_entry(path, key)
    return found.content if isinstance(found, Kept) else b''


def remember(name: str, suffix: str, made_from: dict[str, str], content: bytes) -> None:
    """Keep content that grows, such as measured times, in the place of the one before."""
    path, key = _place(name, suffix, made_from)
    if path is not None:
        with locked(path):
            _keep(path, key, made_from, content, {})


def _place(name: str, suffix: str, made_from: dict[str, str]) -> tuple[Path | None, str]:
    """Return where an entry lies, None where nothing can be kept, and its whole key."""
    key = hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()
    try:
        return _private_folder() / f'{name}-{key[:16]}{suffix}', key
    except OSError as error:
        _warn_once(f'nothing is kept between runs: {cache_folder()} cannot be written ({error})')
        return None, key


@functools.cache
def _warn_once(text: str) -> None:
    _LOG.warning('%s', text)


def _tell_waiting(path: Path) -> None:
    _LOG.info('another process is making %s; waiting for it', path)


def _keep(
    path: Path, key: str, made_from: dict[str, str], content: bytes, facts: dict[str, Any]
) -> bool:
    """Write an entry; a full disk is no reason to throw away what took minutes to make."""
    try:
        _write(path, key, made_from, content, facts)
    except OSError as error:
        _LOG.warning('%s cannot be written (%s): it will be made again', path, error)
        return False
    _LOG.info('kept %s', path)
    return True


def _write(
    path: Path, key: str, made_from: dict[str, str], content: bytes, facts: dict[str, Any]
) -> None:
    """Write an entry, and delete what is then too much beside it.

    Raises:
        OSError: it cannot be written.
    """
    write_entry(path, key, made_from, content, facts)
    others = [entry for entry in _listed() if entry[0] != path]
    with contextlib.suppress(OSError):
        for old in superfluous(others, size_limit() - len(content)):
            for file in (side_of(old), old):
                file.unlink(missing_ok=True)
            _LOG.info('deleted %s: the cache is full (%s)', old, SIZE_VARIABLE)


def _listed() -> list[Listed]:
    """Return the entries by path."""
    found = dict(_files())
    listed = []
    for path, status in found.items():
        if path.suffix != SIDE_SUFFIX:
            side = found.get(side_of(path))
            used = status.st_mtime if side is None else max(status.st_mtime, side.st_mtime)
            listed.append((path, status.st_size, used))
    return listed


def _no_room(error: BaseException | None) -> str:
    """Return the system's word for why nothing more can be written; '' for any other error."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            return error.strerror or str(error)
        error = error.__cause__ or error.__context__
    return ''


def abandon_drafts() -> None:
    """Delete what this process has half-made; for one that ends without waiting for the rest."""
    for folder in tuple(_own_drafts):
        # Another name first: a thread that still writes makes no new file in it meanwhile.
        aside = f'{folder.removesuffix(TEMPORARY_SUFFIX)}-left{TEMPORARY_SUFFIX}'
        with contextlib.suppress(OSError):
            os.replace(folder, aside)
        for left in (aside, folder):
            shutil.rmtree(left, ignore_errors=True)


def entries() -> list[CacheEntry]:
    """Return what the cache holds, by name."""
    found = []
    for path, size, used in _listed():
        side = read_side(path)
        made_from, facts = side.get('made_from'), side.get('facts')
        with contextlib.suppress(FileNotFoundError):
            found.append(CacheEntry(
                path=path, size=size, made=path.stat().st_mtime, used=used,
                made_from=made_from if isinstance(made_from, dict) else {},
                facts=facts if isinstance(facts, dict) else {},
                valid=not problem(path, str(side.get('key', ''))),
            ))
    return found


def clear(unused_for: float = 0.0) -> tuple[int, int]:
    """Delete everything in the cache but what a process may be writing at this moment.

    Args:
        unused_for: seconds; what was used since then stays.

    Returns:
        the number of files and of bytes.

    Raises:
        SegnodeError: the system refuses.
    """
    since = time.time() - unused_for
    young = {path for path, _, used in _listed() if unused_for and used > since}
    young |= {side_of(path) for path in young}
    count = size = 0
    for path, status in _files():
        if path in young:
            continue
        try:
            path.unlink()
        except FileNotFoundError:
            continue  # another process was quicker
        except OSError as error:
            raise SegnodeError(
                f'{path} cannot be deleted: {error.strerror or error}'
            ) from error
        count += 1
        size += status.st_size
    _remove_drafts(cache_folder())
    return count, size


def _files() -> list[tuple[Path, os.stat_result]]:
    """Return the files of the cache by name, drafts left out; none where it cannot be read."""
    try:
        paths = sorted(cache_folder().iterdir())
    except OSError:
        return []
    found = []
    for path in paths:
        with contextlib.suppress(OSError):  # deleted since
            status = path.stat()
            if stat.S_ISREG(status.st_mode) and path.suffix not in (TEMPORARY_SUFFIX, LOCK_SUFFIX):
                found.append((path, status))
    return found


def _private_folder() -> Path:
    """Return the cache folder, made if need be, writable by nobody else.

    Raises:
        SegnodeError: it belongs to another user.
        OSError: it cannot be made.
    """
    folder = cache_folder()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.stat()
    if hasattr(os, 'getuid') and status.st_uid != os.getuid():
        raise SegnodeError(
            f'{folder} belongs to another user, so what lies there is not trusted: '
            'set XDG_CACHE_HOME to a folder of your own'
        )
    if stat.S_IMODE(status.st_mode) & 0o022:
        _LOG.warning('%s was writable by others; it is made private and emptied', folder)
        folder.chmod(0o700)
        clear()
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(f'{folder} is read-only')
    _remove_drafts(folder)
    return folder


def _remove_drafts(folder: Path) -> None:
    """Delete what a process that was killed while it wrote has left behind."""
    for path in folder.glob(f'*{TEMPORARY_SUFFIX}'):
        try:
            if time.time() - path.stat().st_mtime < _STALE_AFTER:
                continue
            if path.is_dir():
                for inner in path.iterdir():
                    inner.unlink()
                path.rmdir()
            else:
                path.unlink()
        except OSError:
            pass  # another process was quicker
