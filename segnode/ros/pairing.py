# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Brings the pictures of a frame together by their exact stamp. No ROS here."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

import numpy as np

from segnode.ros.side_by_side import panel

Stamp = tuple[int, int]  # s, ns
# Of incomplete frames, kept while their masks are under way: 7 s of 1024x2048 at 30 Hz.
HELD_BYTES = 128 << 20


class Shown(NamedTuple):
    """An image, reduced to what its panel needs."""

    size: tuple[int, ...]  # of the image: height, width
    panel: np.ndarray  # uint8 (h, w, 3)


class Pairing:
    """Holds the panels of incomplete frames, within bounds.

    Args:
        parts: names of the pictures that make a frame complete.
        held_bytes: of pixels at most; beyond them the oldest frames are given up.
    """

    def __init__(self, parts: tuple[str, ...], held_bytes: int = HELD_BYTES) -> None:
        self._parts = parts
        self._held_bytes = held_bytes
        self._frames: OrderedDict[Stamp, dict[str, Shown]] = OrderedDict()  # by arrival
        self.held = 0

    def __len__(self) -> int:
        return len(self._frames)

    def add(self, stamp: Stamp, part: str, image: np.ndarray) -> dict[str, np.ndarray] | None:
        """Take a picture: uint8 (H, W, 3), not kept where its panel is smaller.

        Returns:
            The panels of the frame by part, once it is complete and its pictures are of one size.
        """
        shown = Shown(image.shape[:2], panel(image))
        frame = self._frames.setdefault(stamp, {})
        self.held += shown.panel.nbytes - (frame[part].panel.nbytes if part in frame else 0)
        frame[part] = shown
        complete = len(frame) == len(self._parts)
        if complete:
            # Each topic keeps its order, so what older frames still lack will not come.
            while self._forget_oldest() != stamp:
                pass
        while self.held > self._held_bytes:
            self._forget_oldest()
        if not complete or len({shown.size for shown in frame.values()}) > 1:
            return None
        return {part: shown.panel for part, shown in frame.items()}

    def _forget_oldest(self) -> Stamp:
        stamp, frame = self._frames.popitem(last=False)
        self.held -= sum(shown.panel.nbytes for shown in frame.values())
        return stamp
