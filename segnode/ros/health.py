# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""What the node knows about its own work: rates, latency per stage, drops and their causes.

No ROS here: `diagnostics.py` turns a `Snapshot` into a message.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
import statistics
import threading
import time

# Stages of one frame, in the order in which they happen; all in milliseconds.
STAGES: dict[str, str] = {
    'transport': 'header stamp to receipt by the node',
    'wait': 'receipt to the start of work',
    'decode': 'message to BGR image',
    'run': 'fit, network, restore',
    'publish': 'masks made and published',
    'total': 'receipt to the last mask published',
}

# Why a received frame gave no mask.
REPLACED = 'replaced by a newer frame'
RATE_LIMIT = 'over max_rate'
UNWANTED = 'nobody subscribes'
UNDECODABLE = 'undecodable'
FAILED = 'failed in the network'
CAUSES = (REPLACED, RATE_LIMIT, UNWANTED, UNDECODABLE, FAILED)
# Those that nobody asked for: the others are the user's own doing.
LOSSES = (REPLACED, UNDECODABLE, FAILED)


@dataclass(frozen=True)
class StageStatistics:
    """Latency of one stage over the window, in ms."""

    median: float
    p95: float
    maximum: float
    count: int


@dataclass(frozen=True)
class Snapshot:
    """The state of things at one moment."""

    received: int
    published: int
    rate_in: float  # Hz, as all rates
    rate_out: float
    rate_unwanted: float  # of images that nobody subscribes to the masks of
    window: float  # s that rates, recent drops and latencies are of
    seconds_active: float
    drops: dict[str, int]
    recent_received: int  # in the window
    recent_drops: dict[str, int]
    stages: dict[str, StageStatistics]
    end_to_end: StageStatistics | None  # stamp (where it is of this clock) to published
    outputs: dict[str, int]
    image_age: float | None  # s since the newest was taken; None without any since a rest
    seconds_since_image: float
    seconds_on_frame: float
    last_error: str
    resting: bool = False  # no images are wanted, since nobody subscribes

    @property
    def loss_share(self) -> float:
        """Return the share of the window's images that were lost against everyone's will."""
        lost = sum(self.recent_drops[cause] for cause in LOSSES)
        return min(1.0, lost / max(1, self.recent_received))


@dataclass
class _Window:
    """Times of events (and their values) of the last seconds."""

    seconds: float
    events: deque[tuple[float, float]] = field(default_factory=deque)

    def add(self, now: float, value: float = 0.0) -> None:
        self.events.append((now, value))
        self.trim(now)

    def trim(self, now: float) -> None:
        while self.events and self.events[0][0] < now - self.seconds:
            self.events.popleft()

    def rate(self, now: float, since: float) -> float:
        """Return events per second; a window not yet full counts as long as it has run."""
        self.trim(now)
        span = min(self.seconds, now - since)
        return len(self.events) / span if span > 0.1 else 0.0

    def values(self, now: float) -> list[float]:
        self.trim(now)
        return sorted(value for _, value in self.events)

    def statistics(self, now: float) -> StageStatistics | None:
        """Return them, or None of a window without events."""
        values = self.values(now)
        if not values:
            return None
        return StageStatistics(statistics.median(values), values[round(0.95 * (len(values) - 1))],
                               values[-1], len(values))


class Health:
    """Collects facts from the executor's and the worker's threads; thread-safe."""

    def __init__(self, window: float = 5.0,
                 clock: Callable[[], float] = time.monotonic) -> None:
        """Watch the last `window` seconds by `clock` (seconds)."""
        self._clock = clock
        self._seconds = window
        self._lock = threading.Lock()
        self.restart()

    def restart(self) -> None:
        """Begin anew: called when the node becomes active."""
        with self._lock:
            self._begin_windows()
            self._received = self._published = 0
            self._drops: Counter[str] = Counter(dict.fromkeys(CAUSES, 0))
            self._outputs: Counter[str] = Counter()
            self._frame_started: float | None = None
            self._last_error = ''
            self._resting = False

    def rest(self, resting: bool) -> None:
        """Note whether no images are wanted from now on: what is counted over time begins anew."""
        with self._lock:
            self._resting = resting
            self._begin_windows()

    @property
    def resting(self) -> bool:
        """Tell whether no images are wanted."""
        return self._resting

    def _begin_windows(self) -> None:
        self._since = self._last_image = self._clock()
        self._image_age: float | None = None  # s, of the newest image when it came
        self._in, self._out = _Window(self._seconds), _Window(self._seconds)
        self._stages = {name: _Window(self._seconds) for name in STAGES}
        self._end_to_end = _Window(self._seconds)
        self._recent = {cause: _Window(self._seconds) for cause in CAUSES}

    def image_received(self, age_ms: float | None = None) -> None:
        """Note a message on the image topic; `age_ms` is how old it was, where that is known."""
        with self._lock:
            now = self._last_image = self._clock()
            self._image_age = (age_ms or 0.0) / 1e3
            self._received += 1
            self._in.add(now)

    def frame_started(self) -> None:
        """Note that the worker begins with a frame."""
        with self._lock:
            self._frame_started = self._clock()

    def frame_published(self, stages: dict[str, float], outputs: tuple[str, ...]) -> None:
        """Note a finished frame: milliseconds per stage, and the topics it went out on."""
        with self._lock:
            now = self._clock()
            self._frame_started = None
            self._published += 1
            self._out.add(now)
            self._outputs.update(outputs)
            for name, milliseconds in stages.items():
                self._stages[name].add(now, milliseconds)
            if 'total' in stages:
                self._end_to_end.add(now, stages['total'] + stages.get('transport', 0.0))

    def dropped(self, cause: str, error: str = '') -> None:
        """Note a received frame that gave no mask; `error` says what was wrong with it."""
        with self._lock:
            now = self._clock()
            if cause != REPLACED:  # that one is noted by the receiving thread
                self._frame_started = None
            self._drops[cause] += 1
            self._recent[cause].add(now)
            self._last_error = error or self._last_error

    @property
    def seconds_since_image(self) -> float:
        """Return the seconds since the last image, or since the node became active."""
        with self._lock:
            return self._clock() - self._last_image

    def snapshot(self) -> Snapshot:
        """Return everything as it stands now."""
        with self._lock:
            now = self._clock()
            stages = {name: found for name, window in self._stages.items()
                      if (found := window.statistics(now)) is not None}
            started = self._frame_started
            since_image = now - self._last_image
            return Snapshot(
                received=self._received, published=self._published,
                rate_in=self._in.rate(now, self._since),
                rate_out=self._out.rate(now, self._since),
                rate_unwanted=self._recent[UNWANTED].rate(now, self._since),
                window=self._seconds, seconds_active=now - self._since,
                drops=dict(self._drops), recent_received=len(self._in.values(now)),
                recent_drops={cause: len(w.values(now)) for cause, w in self._recent.items()},
                stages=stages, end_to_end=self._end_to_end.statistics(now),
                outputs=dict(self._outputs),
                image_age=None if self._image_age is None else since_image + self._image_age,
                seconds_since_image=since_image,
                seconds_on_frame=0.0 if started is None else now - started,
                last_error=self._last_error, resting=self._resting)
