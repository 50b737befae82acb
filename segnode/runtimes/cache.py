# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Files that are made once from a model and kept, found by what they were made from.

The key covers the content that an entry depends on, so a stale entry is never found; its side file
holds the sha256 of the entry, so a damaged one is never used. Only this user may write here:
what lies here is run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
import hashlib
import json
import logging
import os
from pathlib import Path
import stat
import tempfile
import time
from typing import Any

from segnode.errors import SegnodeError
from segnode.files import TEMPORARY_SUFFIX, write_bytes

_LOG = logging.getLogger('segnode')
_SIDE_SUFFIX = '.json'
_STALE_AFTER = 3600.0  # s; a temporary file older than this was left by a process that is gone


@dataclass(frozen=True)
class CacheEntry:
    """One kept file and what its side file states; ``valid`` is False where they disagree."""

    path: Path
    size: int
    made: float
    made_from: dict[str, str]
    valid: bool


def cache_folder() -> Path:
    """Return ``segnode`` in the user's cache folder ($XDG_CACHE_HOME, else ~/.cache)."""
    return Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache') / 'segnode'


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
        folder = Path(tempfile.mkdtemp(prefix='segnode-'))
        _LOG.warning(
            'nothing is kept between runs: %s cannot be written (%s)', cache_folder(), error
        )
    path = folder / f'{name}-{key[:16]}{suffix}'
    problem = _problem(path, key)
    if not problem:
        _LOG.debug('found %s', path)
        return path
    if path.exists():
        _LOG.warning('%s is made again: %s', path, problem)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(dir=folder, suffix=TEMPORARY_SUFFIX) as drafts:
        draft = Path(drafts) / path.name
        make(draft)
        content = draft.read_bytes()
    try:
        write_bytes(path, content, mode=0o600)
        side = {
            'key': key,
            'sha256': hashlib.sha256(content).hexdigest(),
            'made': time.time(),
            'made_from': made_from,
        }
        # Written last: without it the entry does not count.
        write_bytes(_side(path), json.dumps(side, indent=1).encode(), mode=0o600)
    except OSError as error:
        raise SegnodeError(f'{path} cannot be written: {error.strerror or error}') from error
    _LOG.info('made %s in %.1f s', path, time.monotonic() - started)
    return path


def entries() -> list[CacheEntry]:
    """Return what the cache holds, by name."""
    found = []
    for path in sorted(_files()):
        if path.suffix in (_SIDE_SUFFIX, TEMPORARY_SUFFIX):
            continue
        side = _read_side(path)
        found.append(
            CacheEntry(
                path=path,
                size=path.stat().st_size,
                made=float(side.get('made', path.stat().st_mtime)),
                made_from=dict(side.get('made_from', {})),
                valid=not _problem(path, str(side.get('key', ''))),
            )
        )
    return found


def clear() -> tuple[int, int]:
    """Delete everything in the cache; returns the number of files and of bytes."""
    count = size = 0
    for path in _files():
        size += path.stat().st_size
        path.unlink()
        count += 1
    _remove_drafts(cache_folder(), older_than=0.0)
    return count, size


def _files() -> list[Path]:
    try:
        return [path for path in cache_folder().iterdir() if path.is_file()]
    except OSError:
        return []


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
    _remove_drafts(folder, older_than=_STALE_AFTER)
    return folder


def _remove_drafts(folder: Path, *, older_than: float) -> None:
    """Delete what a process that was killed while it wrote has left behind."""
    for path in folder.glob(f'*{TEMPORARY_SUFFIX}'):
        try:
            if time.time() - path.stat().st_mtime < older_than:
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
    except (OSError, ValueError):
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
