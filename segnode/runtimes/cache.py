# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Files that are made once from a model and kept, found by what they were made from.

The key covers the content that an entry depends on, so a stale entry is never found; its side file
holds the sha256 of the entry, so a damaged one is never used. Only this user may write here:
what lies here is run.
"""

from __future__ import annotations

import atexit
from collections.abc import Callable
import contextlib
from dataclasses import dataclass
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
from segnode.files import TEMPORARY_SUFFIX, user_folder, write_bytes

_LOG = logging.getLogger('segnode')
_SIDE_SUFFIX = '.json'
_STALE_AFTER = 3600.0  # s; a temporary file older than this was left by a process that is gone
_own_drafts: set[str] = set()  # folders in which this process is making a file


@dataclass(frozen=True)
class CacheEntry:
    """One kept file and what its side file states; ``valid`` is False where they disagree."""

    path: Path
    size: int
    made: float
    made_from: dict[str, str]
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
        SegnodeError: what ``make`` raises, or nothing can be written anywhere.
    """
    key = hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()
    try:
        folder = _private_folder()
    except OSError as error:
        folder = _temporary_folder(f'{cache_folder()} cannot be written ({error})')
    path = folder / f'{name}-{key[:16]}{suffix}'
    problem = _problem(path, key)
    if not problem:
        _LOG.debug('found %s', path)
        return path
    if path.exists():
        _LOG.warning('%s is made again: %s', path, problem)
    started = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(dir=folder, suffix=TEMPORARY_SUFFIX) as drafts:
            _own_drafts.add(drafts)
            try:
                draft = Path(drafts) / path.name
                make(draft)
                content = draft.read_bytes()
            finally:
                _own_drafts.discard(drafts)
        write_bytes(path, content, mode=0o600)
        side = {
            'key': key,
            'sha256': hashlib.sha256(content).hexdigest(),
            'made_from': made_from,
        }
        # Written last: without it the entry does not count.
        write_bytes(_side(path), json.dumps(side, indent=1).encode(), mode=0o600)
    except OSError as error:
        raise SegnodeError(f'{path} cannot be written: {error.strerror or error}') from error
    _LOG.info('made %s in %.1f s', path, time.monotonic() - started)
    return path


def abandon_drafts() -> None:
    """Delete what this process has half-made; for one that ends without waiting for the rest."""
    for folder in tuple(_own_drafts):
        shutil.rmtree(folder, ignore_errors=True)


def entries() -> list[CacheEntry]:
    """Return what the cache holds, by name."""
    found = []
    for path, status in _files():
        if path.suffix == _SIDE_SUFFIX:
            continue
        side = _read_side(path)
        made_from = side.get('made_from')
        found.append(
            CacheEntry(
                path=path,
                size=status.st_size,
                made=status.st_mtime,
                made_from=made_from if isinstance(made_from, dict) else {},
                valid=not _problem(path, str(side.get('key', ''))),
            )
        )
    return found


def clear() -> tuple[int, int]:
    """Delete everything in the cache but what a process may be writing at this moment.

    Returns:
        the number of files and of bytes.

    Raises:
        SegnodeError: the system refuses.
    """
    count = size = 0
    for path, status in _files():
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
            if stat.S_ISREG(status.st_mode) and path.suffix != TEMPORARY_SUFFIX:
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


def _side(path: Path) -> Path:
    return path.with_name(path.name + _SIDE_SUFFIX)


def _read_side(path: Path) -> dict[str, Any]:
    try:
        side = json.loads(_side(path).read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    return side if isinstance(side, dict) else {}


def _problem(path: Path, key: str) -> str:
    """Return why the entry cannot be used, '' where it can."""
    side = _read_side(path)
    if not side:
        return 'its side file is missing or damaged'
    if side.get('key') != key:
        return 'it was made from something else'
    try:
        content = path.read_bytes()
    except OSError as error:
        return f'it cannot be read ({error.strerror})'
    if side.get('sha256') != hashlib.sha256(content).hexdigest():
        return 'its content has changed'
    return ''
