# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""One stretch of images at one rate, what became of them, and the search for the highest rate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
import math
import statistics
from typing import Any

import numpy as np

# The largest share of images without a mask at which a rate counts as kept (ros2_benchmark).
MOST_DROPS = 0.05
# A camera that reaches less than this share of the rate asked for is at its own limit.
CAMERA_SHARE = 0.95
SLOWEST = 0.5  # Hz; a rate that is not looked below
FASTEST = 2000.0  # Hz; nor above


@dataclass(frozen=True)
class Trial:
    """What was sent, what came back, and what it took.

    Args:
        rate: asked of the camera, Hz.
        sent: stamps, ns, in order.
        masks: (stamp, arrival), ns, in order of arrival.
        receipt_ms: stamp to receipt by the node, of frames that it segmented.
        cpu_seconds: that the node's process took meanwhile.
        seconds: that it was watched for.
        books: what the node counted meanwhile, by its diagnostics; empty where not asked.
    """

    rate: float
    sent: Sequence[int]
    masks: Sequence[tuple[int, int]]
    receipt_ms: Sequence[float]
    cpu_seconds: float
    seconds: float
    books: dict[str, int] = field(default_factory=dict)

    @property
    def arrived(self) -> dict[int, int]:
        """Return the arrival, ns, of the mask of each image of this trial that has one."""
        sent = set(self.sent)
        return {stamp: at for stamp, at in self.masks if stamp in sent}

    @property
    def sent_rate(self) -> float:
        """Return the images per second that the camera reached."""
        seconds = (self.sent[-1] - self.sent[0]) / 1e9 if len(self.sent) > 1 else 0.0
        return (len(self.sent) - 1) / seconds if seconds > 0 else self.rate

    @property
    def drop_share(self) -> float:
        """Return the share of the images that have no mask."""
        return 1.0 - len(self.arrived) / max(1, len(self.sent))

    @property
    def kept(self) -> bool:
        """Tell whether the node kept up with the images."""
        return self.drop_share < MOST_DROPS

    @property
    def camera_limited(self) -> bool:
        """Tell whether the camera was slower than asked."""
        return self.sent_rate < CAMERA_SHARE * self.rate

    def summary(self) -> dict[str, Any]:
        """Return the figures as JSON holds them.

        Times are in ms. Jitter is the change of the latency from one mask to the next.
        """
        arrived = self.arrived
        latency = [(at - stamp) / 1e6 for stamp, at in arrived.items()]
        jitter = [abs(later - earlier) for earlier, later in zip(latency, latency[1:])]
        arrivals = sorted(arrived.values())
        span = (arrivals[-1] - arrivals[0]) / 1e9 if arrivals else 0.0
        return {
            'rate': self.rate,
            'sent': len(self.sent),
            'sent_rate': round(self.sent_rate, 2),
            'masks': len(arrived),
            'mask_rate': round((len(arrivals) - 1) / span, 2) if span > 0 else None,
            'dropped': len(self.sent) - len(arrived),
            'drop_share': round(self.drop_share, 4),
            'latency_ms': spread(latency),
            'receipt_ms': spread(self.receipt_ms),
            'jitter_ms': spread(jitter),
            'cpu_ms_per_mask': round(1e3 * self.cpu_seconds / len(arrived), 2) if arrived
            else None,
            'cpu_share': round(self.cpu_seconds / self.seconds, 3) if self.seconds > 0 else None,
            'books': self.books,
        }


def spread(values: Sequence[float]) -> dict[str, float] | None:
    """Return median, 95th percentile and largest; None of nothing."""
    if not values:
        return None
    return {'median': round(statistics.median(values), 3),
            'p95': round(float(np.percentile(values, 95)), 3), 'max': round(max(values), 3)}


def peak(trial: Callable[[float], Trial], known: Sequence[Trial] = (),
         tolerance: float = 0.05) -> Trial | None:
    """Search the highest rate that is kept, by bisection.

    Args:
        trial: tries a rate.
        known: trials made already, to begin with.
        tolerance: share of the rate that the answer may be below the true one.

    Returns:
        The trial of the highest rate that was kept; one with ``camera_limited`` tells that the
        camera gave no more. None where not even the slowest rate is kept.
    """
    kept = max((t for t in known if t.kept), key=lambda t: t.sent_rate, default=None)
    low = kept.sent_rate if kept else 0.0
    high = min((t.sent_rate for t in known if not t.kept and t.sent_rate > low),
               default=math.inf)
    while high > low * (1.0 + tolerance):
        if kept is not None and kept.camera_limited:
            break
        if low == 0.0 and math.isinf(high):
            rate = 10.0
        elif low == 0.0:
            rate = high / 2
        elif math.isinf(high):
            rate = low * 2
        else:
            rate = math.sqrt(low * high)
        if not SLOWEST <= rate <= FASTEST:
            break
        found = trial(rate)
        if found.kept:
            # What the camera reached is what was kept, and a step forward in any case.
            kept, low = found, max(low, found.sent_rate)
        else:
            high = min(high, max(low, found.sent_rate), rate)
    return kept
