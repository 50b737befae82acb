# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""What the recorder counted: frames, drops and latency, as a table and as JSON. No ROS here."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
import time
from typing import Any

import numpy as np

# Facts of the node's diagnostics that belong in the table.
SHOWN_FACTS = ('model', 'runtime', 'network input')

FLUSH_SECONDS = 0.3  # for the latency of the last frame, once its pictures are here
BUSY_SECONDS = 45.0  # without news from a node that still works on a frame
PATIENCE_FACTOR = 3.0  # of the longest latency seen


@dataclass
class RunReport:
    """Counts of one run, filled by the recorder."""

    frames_played: int | None = None  # as the player says; None without a player of ours
    frames_in: int = 0
    frames_out: int = 0
    frames_recorded: int = 0
    size: tuple[int, int] | None = None  # width, height of the last mask
    first_mask: float | None = None  # seconds since the epoch
    first_stamp: float | None = None  # s, of the images
    last_stamp: float | None = None
    latency: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    facts: dict[str, str] = field(default_factory=dict)

    def image_received(self, stamp: float) -> None:
        """Count an image, stamped in seconds."""
        self.frames_in += 1
        self.first_stamp = stamp if self.first_stamp is None else self.first_stamp
        self.last_stamp = stamp

    def mask_received(self, width: int, height: int) -> None:
        """Count a mask."""
        if self.first_mask is None:
            self.first_mask = time.time()
        self.frames_out += 1
        self.size = (width, height)

    @property
    def frames_lost(self) -> int:
        """Frames that were played (or, without a player of ours, received) and gave no mask."""
        return max(0, (self.frames_played or self.frames_in) - self.frames_out)

    @property
    def rate(self) -> float | None:
        """Images per second that came, by their stamps; None before the second one."""
        if self.first_stamp is None or self.last_stamp is None:
            return None
        seconds = self.last_stamp - self.first_stamp
        return (self.frames_in - 1) / seconds if seconds > 0 else None

    @property
    def frames_pending(self) -> int:
        """Frames that the node, by its latest word, has received and not yet dealt with."""
        return max(0, self._said('frames received') - self._dealt_with)

    @property
    def accounted_for(self) -> bool:
        """Whether each frame played is recorded, or dropped by the node's own account."""
        return (self._dealt_with >= (self.frames_played or 0)
                and self.frames_recorded >= self._said('frames segmented'))

    def patience(self, settle: float, believed: bool) -> float:
        """Return the seconds without news, after the player's end, for which to go on waiting.

        Args:
            settle: the least where something is missing.
            believed: whether the facts, what the node has said of itself, are recent.
        """
        if self.frames_recorded >= (self.frames_played or 0):
            return FLUSH_SECONDS
        if believed and self.frames_pending:
            return max(settle, BUSY_SECONDS)
        if believed and self.accounted_for:
            return FLUSH_SECONDS
        # A frame may have come to the node since it last spoke.
        longest = max(self.latency.get('total', ()), default=0.0) / 1e3
        return max(settle, min(BUSY_SECONDS, PATIENCE_FACTOR * longest))

    @property
    def _dealt_with(self) -> int:
        return self._said('frames segmented') + sum(self.causes.values())

    def _said(self, key: str) -> int:
        value = self.facts.get(key, '')
        return int(value) if value.isdigit() else 0

    @property
    def causes(self) -> dict[str, int]:
        """What the node itself says that it dropped, by cause."""
        prefix = 'dropped: '
        return {key[len(prefix):]: int(value) for key, value in self.facts.items()
                if key.startswith(prefix) and value.isdigit() and int(value)}

    def stages(self) -> dict[str, tuple[float, float]]:
        """Return median and 95th percentile in ms of each stage."""
        return {stage: (float(np.median(values)), float(np.percentile(values, 95)))
                for stage, values in self.latency.items() if values}

    def table(self) -> str:
        """Return the table for people."""
        rows = [(name, self.facts[name]) for name in SHOWN_FACTS if self.facts.get(name)]
        if self.size:
            rows.append(('image size', f'{self.size[0]}x{self.size[1]}'))
        frames_in = self.frames_in if self.frames_played is None else self.frames_played
        causes = ', '.join(f'{count} {cause}' for cause, count in self.causes.items())
        if self.rate is not None:
            rows.append(('image rate', f'{self.rate:.1f} Hz'))
        rows += [('frames in', str(frames_in)), ('frames out', str(self.frames_out)),
                 ('dropped', f'{self.frames_lost}{f" ({causes})" if causes else ""}')]
        lines = [f'{name:<20}{value}' for name, value in rows]
        stages = self.stages()
        if stages:
            lines += ['', f'{"latency, ms":<20}{"median":>10}{"p95":>10}']
            lines += [f'  {stage:<18}{median:>10.1f}{high:>10.1f}'
                      for stage, (median, high) in stages.items()]
        return '\n'.join(lines) + '\n'

    def to_dict(self) -> dict[str, Any]:
        """Return the same for machines."""
        return {
            'frames_in': self.frames_in if self.frames_played is None else self.frames_played,
            'frames_received_by_recorder': self.frames_in,
            'image_rate_hz': self.rate,
            'frames_out': self.frames_out,
            'frames_recorded': self.frames_recorded,
            'dropped': self.frames_lost,
            'first_mask_time': self.first_mask,
            'latency_ms': {stage: {'median': median, 'p95': high}
                           for stage, (median, high) in self.stages().items()},
            'node': self.facts,
        }
