# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Lets frames through at a mean rate; no ROS here."""

from __future__ import annotations

import math

# As shares of the period. A frame may come this much early, for no camera keeps its time exactly;
# and however late the last one was, this much lies between two.
EARLY = 0.1
SMALLEST_GAP = 0.5


class RateLimit:
    """Decides frame by frame; the pace is kept by due times, so that the mean rate is right."""

    def __init__(self) -> None:
        self._max_rate = 0.0
        self._last = -math.inf  # s, when the last frame passed
        self._due = -math.inf  # s, when the next one may

    def passes(self, received: float, max_rate: float) -> bool:
        """Return False for a frame that would exceed the rate.

        Args:
            received: seconds on a clock that never goes back.
            max_rate: Hz; 0 is no limit. It may change from call to call.
        """
        if max_rate <= 0.0:
            self._max_rate = 0.0
            return True
        period = 1.0 / max_rate
        if max_rate != self._max_rate:  # what was due at the old rate counts no more
            self._max_rate = max_rate
            self._due = self._last + period
        if received < max(self._due - EARLY * period, self._last + SMALLEST_GAP * period):
            return False
        # A late frame does not delay the ones after it; a pause is not caught up with.
        base = self._due if received - self._due < period else received
        self._due = base + period
        self._last = received
        return True
