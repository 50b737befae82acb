# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Brings masks and depth images together by their stamps, exactly or nearly. No ROS here.

In place of message_filters, which has no wheel. It knows what message_filters does not: masks come
later than the depth images of their time, so a mask need not wait where a later depth image came.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

Mask = TypeVar('Mask')
Depth = TypeVar('Depth')


class StampPairs(Generic[Mask, Depth]):
    """Holds what waits for its other half, within bounds.

    Args:
        slop: ns by which the stamps of a pair may differ; 0 asks for equal ones.
        kept: messages of each kind that wait at most; beyond them the oldest are given up.

    Attributes:
        unpaired: masks given up up to now.
    """

    def __init__(self, slop: int, kept: int) -> None:
        self._slop = slop
        self._kept = kept
        self._masks: OrderedDict[int, Mask] = OrderedDict()
        self._depths: OrderedDict[int, Depth] = OrderedDict()
        self.unpaired = 0

    def add_mask(self, stamp: int, mask: Mask) -> list[tuple[Mask, Depth]]:
        """Take a mask with its stamp in ns; return the pairs that are complete now."""
        self.unpaired += self._put(self._masks, stamp, mask)
        return self._complete()

    def add_depth(self, stamp: int, depth: Depth) -> list[tuple[Mask, Depth]]:
        """Take a depth image in the same way."""
        self._put(self._depths, stamp, depth)
        return self._complete()

    def clear(self) -> None:
        """Forget what waits."""
        self._masks.clear()
        self._depths.clear()

    def _put(self, waiting: OrderedDict[int, Mask] | OrderedDict[int, Depth], stamp: int,
             message: object) -> int:
        """Put a message in its queue; return how many were given up for it."""
        lost = 0
        if waiting and stamp <= next(reversed(waiting)):  # a bag that begins again
            lost = len(waiting)
            waiting.clear()
        waiting[stamp] = message  # type: ignore[assignment]
        while len(waiting) > self._kept:
            waiting.popitem(last=False)
            lost += 1
        return lost

    def _complete(self) -> list[tuple[Mask, Depth]]:
        pairs = []
        for stamp in list(self._masks):
            if not self._depths or next(reversed(self._depths)) < stamp:
                break  # a nearer one may come yet, and for later masks all the more
            mask = self._masks.pop(stamp)
            nearest = min(self._depths, key=lambda at: abs(at - stamp))
            if abs(nearest - stamp) > self._slop:
                self.unpaired += 1
                continue
            pairs.append((mask, self._depths[nearest]))
            while self._depths:  # each goes into one pair, and pairs keep their order
                if self._depths.popitem(last=False)[0] == nearest:
                    break
        return pairs
