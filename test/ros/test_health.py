# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Statistics by a clock of the test's own, and what the diagnostics make of them."""

from __future__ import annotations

import pytest

from segnode.ros.health import CAUSES, FAILED, Health, REPLACED, UNDECODABLE


class Clock:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Return a clock that stands still."""
    return Clock()


@pytest.fixture
def health(clock: Clock) -> Health:
    """Return statistics over 5 s."""
    return Health(window=5.0, clock=clock)


def run(health: Health, clock: Clock, milliseconds: list[float]) -> None:
    """Ten images a second, each finished at once."""
    for value in milliseconds:
        clock.now += 0.1
        health.image_received()
        health.frame_started()
        health.frame_published({'run': value}, ('segmentation/labels',))


def test_statistics_over_the_window(health: Health, clock: Clock) -> None:
    """Median, 95th percentile and maximum of the last 5 s; older values count no more."""
    run(health, clock, [1000.0] * 10)
    clock.now += 5.0
    run(health, clock, [float(value) for value in range(1, 42)])
    stage = health.snapshot().stages['run']
    assert (stage.median, stage.p95, stage.maximum, stage.count) == (21.0, 39.0, 41.0, 41)
    assert health.snapshot().published == 51
    assert health.snapshot().outputs == {'segmentation/labels': 51}


def test_rates(health: Health, clock: Clock) -> None:
    """A window not yet full counts as long as it has run; silence brings the rate down to 0."""
    run(health, clock, [1.0] * 20)
    assert health.snapshot().rate_in == pytest.approx(10.0)
    run(health, clock, [1.0] * 100)
    assert health.snapshot().rate_out == pytest.approx(10.0, rel=0.05)
    clock.now += 20.0
    seen = health.snapshot()
    assert (seen.rate_in, seen.rate_out, seen.stages) == (0.0, 0.0, {})
    assert seen.seconds_since_image == pytest.approx(20.0)


def test_drops_are_kept_by_cause(health: Health, clock: Clock) -> None:
    """In all, and of the last seconds; the last error is remembered."""
    health.dropped(REPLACED)
    health.dropped(UNDECODABLE, 'no such encoding')
    clock.now += 10.0
    health.dropped(REPLACED)
    seen = health.snapshot()
    assert seen.drops == {**dict.fromkeys(CAUSES, 0), REPLACED: 2, UNDECODABLE: 1}
    assert (seen.recent_drops[REPLACED], seen.recent_drops[UNDECODABLE]) == (1, 0)
    assert seen.last_error == 'no such encoding'
    health.restart()
    assert sum(health.snapshot().drops.values()) == 0


def test_a_frame_that_stays_in_the_network_is_noticed(health: Health, clock: Clock) -> None:
    """Time on a frame runs from its start to its end, whatever comes in meanwhile."""
    health.frame_started()
    clock.now += 12.0
    health.dropped(REPLACED)
    assert health.snapshot().seconds_on_frame == pytest.approx(12.0)
    health.dropped(FAILED, 'broken')
    assert health.snapshot().seconds_on_frame == 0.0


def test_levels_of_the_diagnostics(health: Health, clock: Clock) -> None:
    """The worst thing is said first; what is normal is OK."""
    pytest.importorskip('rclpy')
    from diagnostic_msgs.msg import DiagnosticStatus

    from segnode.ros.diagnostics import assess, Situation
    ok, warn, error = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR
    active = Situation('active', image_timeout=5.0)
    run(health, clock, [1.0] * 20)
    assert assess(active, health.snapshot()) == (ok, '10.0 Hz in, 10.0 Hz out')
    loading = Situation('configuring', activity='loading model x, 3 s')
    assert assess(loading, health.snapshot()) == (ok, 'loading model x, 3 s')
    assert assess(Situation('inactive'), health.snapshot()) == (ok, 'inactive')
    failed = Situation('unconfigured', failure='there is no model x')
    assert assess(failed, health.snapshot()) == (error, 'there is no model x')
    level, line = assess(Situation('active', untrained=True), health.snapshot())
    assert level == warn and line.startswith('random weights')
    health.dropped(UNDECODABLE, 'no such encoding')
    level, line = assess(active, health.snapshot())
    assert level == warn and 'no such encoding' in line
    health.dropped(FAILED, 'out of memory')
    level, line = assess(active, health.snapshot())
    assert level == error and 'out of memory' in line
    clock.now += 6.0
    assert assess(active, health.snapshot()) == (warn, 'no image for 6 s')
    health.frame_started()
    clock.now += 11.0
    assert assess(active, health.snapshot())[0] == error
