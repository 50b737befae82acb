# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""A mailbox for one item between two threads: the newest wins."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

Item = TypeVar('Item')


class Mailbox(Generic[Item]):
    """Holds the newest item only, so that a slow reader never works on old ones."""

    def __init__(self) -> None:
        self._ready = threading.Condition()
        self._item: Item | None = None
        self._closed = False

    def put(self, item: Item) -> bool:
        """Leave an item; return True when it took the place of one that nobody had taken."""
        with self._ready:
            if self._closed:
                return False
            replaced = self._item is not None
            self._item = item
            self._ready.notify()
            return replaced

    def take(self, timeout: float | None = None) -> Item | None:
        """Wait for an item and take it out; None after `timeout` seconds or once closed."""
        with self._ready:
            self._ready.wait_for(lambda: self._item is not None or self._closed, timeout)
            item, self._item = self._item, None
            return item

    def close(self) -> None:
        """Drop what is inside, take nothing more and wake the reader."""
        with self._ready:
            self._closed = True
            self._item = None
            self._ready.notify_all()

    @property
    def closed(self) -> bool:
        """Return True once close() was called."""
        return self._closed
