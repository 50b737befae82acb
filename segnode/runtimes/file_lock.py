# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""One process at a time, by a file that is locked: the lock goes with whoever holds it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
import contextlib
import os
from pathlib import Path
import time
from typing import Any

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

LOCK_SUFFIX = '.lock'
_PERIOD = 0.1  # s between two tries


@contextlib.contextmanager
def locked(path: Path, waiting: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Hold the lock that is named after ``path``, once nobody else does.

    Where the file system has no locks nothing is held: then two processes may do the same work.

    Args:
        path: of the file that is to be made; the lock lies beside it and is deleted afterwards.
        waiting: called once if another process or thread has it.
    """
    lock = path.with_name(path.name + LOCK_SUFFIX)
    handle = _acquired(lock, waiting)
    try:
        yield
    finally:
        if handle is not None:
            with contextlib.suppress(OSError):
                lock.unlink()  # while it is held, so that nobody takes one that is gone
            os.close(handle)


def _acquired(lock: Path, waiting: Callable[[], object]) -> int | None:
    """Return an open file that is locked and lies there still; None where there are no locks."""
    if fcntl is None:
        return None
    told = False
    while True:
        try:
            handle = os.open(lock, os.O_RDWR | os.O_CREAT | getattr(os, 'O_CLOEXEC', 0), 0o600)
        except OSError:
            return None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            if not told:
                told = True
                waiting()
            time.sleep(_PERIOD)
            continue
        except OSError:
            os.close(handle)
            return None
        if _same(handle, lock):
            return handle
        os.close(handle)  # it was deleted between the two steps


def _same(handle: int, lock: Path) -> bool:
    def identity(status: Any) -> tuple[int, int]:
        return status.st_dev, status.st_ino
    try:
        return identity(os.fstat(handle)) == identity(os.stat(lock))
    except OSError:
        return False
