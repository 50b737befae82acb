# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""A mailbox between threads with a slot for each sender: the newest of each wins."""

from __future__ import annotations

from collections.abc import Hashable
import threading
from typing import Generic, TypeVar

Sender = TypeVar('Sender', bound=Hashable)
Item = TypeVar('Item')


class Mailbox(Generic[Sender, Item]):
    """Holds the newest item of each sender only, so that a slow reader never works on old ones."""

    def __init__(self) -> None:
        self._ready = threading.Condition()
        self._items: dict[Sender, Item] = {}
        self._closed = False

    def put(self, sender: Sender, item: Item) -> bool:
        """Leave an item; return True when it took the place of one that nobody had taken."""
        with self._ready:
            if self._closed:
                return False
            replaced = sender in self._items
            self._items[sender] = item
            self._ready.notify()
            return replaced

    def take(self, timeout: float | None = None) -> dict[Sender, Item]:
        """Wait for an item and take all that there are; {} after `timeout` s or once closed."""
        with self._ready:
            self._ready.wait_for(lambda: bool(self._items) or self._closed, timeout)
            items, self._items = self._items, {}
            return items

    def close(self) -> None:
        """Drop what is inside, take nothing more and wake the reader."""
        with self._ready:
            self._closed = True
            self._items = {}
            self._ready.notify_all()

    @property
    def closed(self) -> bool:
        """Return True once close() was called."""
        return self._closed
