# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Whether what a node takes in is needed for what it gives, for nodes that are to be lazy."""

from __future__ import annotations

from collections.abc import Callable
import time

# Seconds for which a subscription that nobody needs any more is kept: who changes a display's
# topic is back within them.
LINGER = 1.0


class Need:
    """Asks whether something is needed, and holds on to it for a while when it no longer is."""

    def __init__(self, asked: Callable[[], bool], linger: float = LINGER,
                 clock: Callable[[], float] = time.monotonic) -> None:
        """Ask nothing yet.

        Args:
            asked: whether it is needed at this moment.
            linger: seconds for which it still counts as needed.
            clock: in seconds.
        """
        self._asked = asked
        self._linger = linger
        self._clock = clock
        self._last: float | None = None

    def forget(self) -> None:
        """Begin anew: what was needed before does not count."""
        self._last = None

    def lasts(self) -> bool:
        """Ask, and tell whether it is needed or was until just now."""
        now = self._clock()
        if self._asked():
            self._last = now
        return self._last is not None and now - self._last <= self._linger
