# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""What this process is busy with for minutes, said in the log and to whoever asks.

An engine takes from seconds to half an hour to build, and silence looks like a crash.
"""

from __future__ import annotations

from collections.abc import Iterator
import contextlib
import logging
import threading
import time

_LOG = logging.getLogger('segnode')

# Seconds between two lines in the log.
PERIOD = 15.0

_lock = threading.Lock()
_under_way: list[Work] = []


class Work:
    """Something that takes long: what it is, since when, and how far it is."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.detail = ''  # such as '40 %', '' where nothing is known
        self._begun = time.monotonic()

    @property
    def seconds(self) -> float:
        """Return the seconds since it began."""
        return time.monotonic() - self._begun

    def __str__(self) -> str:
        detail = f', {self.detail}' if self.detail else ''
        return f'{self.what}, {self.seconds:.0f} s{detail}'


@contextlib.contextmanager
def working(what: str, period: float = PERIOD) -> Iterator[Work]:
    """Tell of a piece of work from beginning to end; gives it, so that it may be told how far.

    Args:
        what: such as 'building an engine of fsffnet'.
        period: seconds between two lines in the log.
    """
    work = Work(what)
    done = threading.Event()

    def tell() -> None:
        while not done.wait(period):
            _LOG.info('%s', work)

    with _lock:
        _under_way.append(work)
    threading.Thread(target=tell, name='progress', daemon=True).start()
    try:
        yield work
    finally:
        done.set()
        with _lock:
            _under_way.remove(work)


def current() -> str:
    """Return in words what this process is busy with, '' where with nothing that takes long."""
    with _lock:
        return str(_under_way[-1]) if _under_way else ''
