# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Statistics by a clock of the test's own, and what the diagnostics make of them."""

from __future__ import annotations

import pytest

from segnode.ros.health import (
    CAUSES,
    FAILED,
    Health,
    RATE_LIMIT,
    REPLACED,
    UNDECODABLE,
    UNWANTED,
)


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

    from segnode.ros.diagnostics import assess, Limits, Situation
    ok, warn, error = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR
    active = Situation('active', limits=Limits(image_timeout=5.0))
    run(health, clock, [1.0] * 20)
    assert assess(active, health.snapshot()) == (ok, '10.0 Hz in, 10.0 Hz out')
    loading = Situation('configuring', activity='loading model x, 3 s')
    assert assess(loading, health.snapshot()) == (ok, 'loading model x, 3 s')
    assert assess(Situation('inactive'), health.snapshot()) == (ok, 'inactive')
    failed = Situation('unconfigured', failure='there is no model x')
    assert assess(failed, health.snapshot()) == (error, 'there is no model x')
    degraded = Situation('active', degraded='tensorrt failed (no memory); onnx runs instead')
    assert assess(degraded, health.snapshot()) == (
        warn, 'tensorrt failed (no memory); onnx runs instead; 10.0 Hz in, 10.0 Hz out')
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


def test_age_of_the_newest_image(health: Health, clock: Clock) -> None:
    """From when it was taken, where its stamp says so; None before the first."""
    assert health.snapshot().image_age is None
    health.image_received(250.0)
    clock.now += 2.0
    assert health.snapshot().image_age == pytest.approx(2.25)
    health.image_received()
    assert health.snapshot().image_age == pytest.approx(0.0)


def test_end_to_end_is_transport_and_total_of_each_frame(health: Health, clock: Clock) -> None:
    """Not the sum of two percentiles; without a stamp to go by it is the total alone."""
    for transport, total in ((100.0, 1.0), (1.0, 100.0)):
        health.frame_published({'transport': transport, 'total': total}, ())
    found = health.snapshot().end_to_end
    assert found is not None and (found.median, found.maximum) == (101.0, 101.0)
    health.restart()
    health.frame_published({'total': 7.0}, ())
    found = health.snapshot().end_to_end
    assert found is not None and found.median == 7.0


def test_share_of_losses(health: Health, clock: Clock) -> None:
    """What the user asked for is no loss; the share is that of the window."""
    for cause in (REPLACED, UNDECODABLE, FAILED, RATE_LIMIT, UNWANTED, '', '', ''):
        health.image_received()
        if cause:
            health.dropped(cause)
    assert health.snapshot().loss_share == pytest.approx(3 / 8)
    clock.now += 6.0
    assert health.snapshot().loss_share == 0.0
    health.image_received()
    assert health.snapshot().loss_share == 0.0


@pytest.mark.parametrize('limits, level, words', [
    ({}, 'OK', ''),
    ({'warn_rate': 9.0}, 'OK', ''),
    ({'warn_rate': 20.0}, 'WARN', '10.0 Hz out, less than 20'),
    ({'warn_rate': 20.0, 'error_rate': 15.0}, 'ERROR', '10.0 Hz out, less than 15'),
    ({'warn_latency': 90.0}, 'WARN', 'latency 95 ms (p95), more than 90'),
    ({'warn_latency': 96.0}, 'OK', ''),
    ({'warn_latency': 50.0, 'error_latency': 60.0}, 'ERROR', 'more than 60'),
    ({'warn_drop_share': 0.1}, 'WARN', '50% of the images dropped, more than 10%'),
    ({'warn_drop_share': 0.5}, 'OK', ''),
    ({'warn_drop_share': 0.1, 'error_drop_share': 0.4}, 'ERROR', 'more than 40%'),
    ({'error_rate': 20.0, 'warn_latency': 1.0}, 'ERROR', '10.0 Hz out, less than 20; latency'),
])
def test_limits(health: Health, clock: Clock, limits: dict[str, float], level: str,
                words: str) -> None:
    """10 Hz, every second image replaced by a newer one, 95 ms from stamp to mask."""
    pytest.importorskip('rclpy')
    from diagnostic_msgs.msg import DiagnosticStatus

    from segnode.ros.diagnostics import assess, Limits, Situation
    for _ in range(100):
        clock.now += 0.1
        health.image_received()
        health.image_received()
        health.dropped(REPLACED)
        health.frame_published({'transport': 5.0, 'total': 90.0}, ())
    clock.now += 0.05  # no event lies on the window's edge
    found = assess(Situation('active', limits=Limits(**limits)), health.snapshot())
    assert found[0] == getattr(DiagnosticStatus, level)
    assert words in found[1]
    assert found[1].endswith('20.0 Hz in, 10.0 Hz out') or level != 'OK'
    inactive = assess(Situation('inactive', limits=Limits(**limits)), health.snapshot())
    assert inactive == (DiagnosticStatus.OK, 'inactive')


def test_stale_is_what_has_stopped(health: Health, clock: Clock) -> None:
    """A camera that never came is a warning; one that has gone is stale; failures outrank both."""
    pytest.importorskip('rclpy')
    from diagnostic_msgs.msg import DiagnosticStatus

    from segnode.ros.diagnostics import assess, Limits, Situation
    active = Situation('active', limits=Limits(image_timeout=5.0, stale_age=8.0))
    clock.now += 20.0
    assert assess(active, health.snapshot()) == (DiagnosticStatus.WARN, 'no image for 20 s')
    health.image_received(3000.0)
    clock.now += 5.5
    assert assess(active, health.snapshot()) == (
        DiagnosticStatus.STALE, 'the newest image is 8 s old; no image for 6 s')
    health.dropped(FAILED, 'broken')
    assert assess(active, health.snapshot())[0] == DiagnosticStatus.ERROR


def test_a_rate_is_not_judged_before_a_full_window_nor_without_subscribers(
        health: Health, clock: Clock) -> None:
    """A node that has just begun, or that nobody asks, is not slow."""
    pytest.importorskip('rclpy')
    from diagnostic_msgs.msg import DiagnosticStatus

    from segnode.ros.diagnostics import assess, Limits, Situation
    active = Situation('active', limits=Limits(error_rate=8.0))
    assert assess(active, health.snapshot())[0] == DiagnosticStatus.OK
    for _ in range(100):
        clock.now += 0.1
        health.image_received()
        health.dropped(UNWANTED)
    assert assess(active, health.snapshot())[0] == DiagnosticStatus.OK
    clock.now += 4.0
    assert assess(active, health.snapshot())[0] == DiagnosticStatus.ERROR


def test_rest_is_neither_silence_nor_a_low_rate(health: Health, clock: Clock) -> None:
    """What is counted over time begins anew when images are wanted again."""
    pytest.importorskip('rclpy')
    from diagnostic_msgs.msg import DiagnosticStatus

    from segnode.ros.diagnostics import assess, Limits, Situation
    active = Situation('active', limits=Limits(image_timeout=1.0, stale_age=1.0, warn_rate=8.0))
    for _ in range(100):
        clock.now += 0.1
        health.image_received()
        health.frame_published({'total': 1.0}, ())
    assert health.snapshot().rate_in == pytest.approx(10, abs=0.3)
    health.rest(True)
    clock.now += 60.0
    assert assess(active, health.snapshot())[0] == DiagnosticStatus.OK
    snapshot = health.snapshot()
    assert (snapshot.resting, snapshot.rate_in, snapshot.image_age) == (True, 0.0, None)
    assert (snapshot.received, snapshot.published) == (100, 100)
    health.rest(False)
    clock.now += 0.5
    assert health.snapshot().image_age is None  # of before the rest
    health.image_received()
    health.image_received()
    assert health.snapshot().rate_in == pytest.approx(4)
    assert assess(active, health.snapshot()) == (DiagnosticStatus.OK, '4.0 Hz in, 0.0 Hz out')
    clock.now += 6.0
    level, line = assess(active, health.snapshot())
    assert level == DiagnosticStatus.STALE and 'no image for 6 s' in line


def test_a_qos_mismatch_warns(health: Health, clock: Clock) -> None:
    """It stays in the message as long as it lasts, beside how the rest runs."""
    pytest.importorskip('rclpy')
    from diagnostic_msgs.msg import DiagnosticStatus

    from segnode.ros.diagnostics import assess, Situation
    run(health, clock, [1.0] * 20)
    active = Situation('active', mismatches=('/rviz gets nothing from /labels: why',))
    assert assess(active, health.snapshot()) == (
        DiagnosticStatus.WARN, '/rviz gets nothing from /labels: why; 10.0 Hz in, 10.0 Hz out')


def test_a_model_that_is_being_built_and_one_that_was_not_taken(
        health: Health, clock: Clock) -> None:
    """Both are said beside how the one in use runs; only the latter is a warning."""
    pytest.importorskip('rclpy')
    from diagnostic_msgs.msg import DiagnosticStatus

    from segnode.ros.diagnostics import assess, Situation
    run(health, clock, [1.0] * 20)
    assert assess(Situation('active', building='loading model b, 3 s'), health.snapshot()) == (
        DiagnosticStatus.OK, '10.0 Hz in, 10.0 Hz out; loading model b, 3 s')
    assert assess(Situation('active', rejected='b not taken'), health.snapshot()) == (
        DiagnosticStatus.WARN, 'b not taken; 10.0 Hz in, 10.0 Hz out')
    assert assess(Situation('inactive', building='loading model b, 3 s'), health.snapshot()) == (
        DiagnosticStatus.OK, 'inactive; loading model b, 3 s')


def test_each_of_several_cameras_has_a_status(clock: Clock) -> None:
    """What is wrong with one is said of that; what is wrong with the node, of the node."""
    pytest.importorskip('rclpy')
    from diagnostic_msgs.msg import DiagnosticStatus
    from rclpy.time import Time

    from segnode.ros.diagnostics import Camera, Limits, message, Situation
    healths = {name: Health(window=5.0, clock=clock) for name in ('front', 'left', 'right')}
    for _ in range(100):
        clock.now += 0.1
        for name in ('front', 'right'):
            healths[name].image_received()
            healths[name].frame_published({'total': 5.0}, ('segmentation/labels',))
    clock.now += 0.05  # no event lies on the window's edge

    def made(**changes: object) -> dict[str, DiagnosticStatus]:
        situation = Situation(
            'active', limits=Limits(image_timeout=5.0), facts=(('model', 'm'),), runs=(80, 200),
            **changes)  # type: ignore[arg-type]
        cameras = [Camera(name, health.snapshot(), facts=(('image topic', f'/{name}/image'),))
                   for name, health in healths.items()]
        return {status.name: status for status in message(
            '/segment', Time(), situation, cameras).status}

    found = made()
    assert list(found) == [f'/segment: {name}' for name in ('segmentation', *healths)]
    told = [(status.level, status.message) for status in found.values()]
    assert told == [
        (DiagnosticStatus.OK, '2 of 3 cameras send images: 20.0 Hz in, 20.0 Hz out'),
        (DiagnosticStatus.OK, 'front: 10.0 Hz in, 10.0 Hz out'),
        (DiagnosticStatus.WARN, 'left: no image for 10 s'),
        (DiagnosticStatus.OK, 'right: 10.0 Hz in, 10.0 Hz out')]
    values = [{pair.key: pair.value for pair in status.values} for status in found.values()]
    assert values[0]['network runs'] == '80' and values[0]['images per network run'] == '2.50'
    assert values[0]['model'] == 'm' and 'model' not in values[1]
    assert values[2]['image topic'] == '/left/image' and values[3]['frames segmented'] == '100'
    healths['front'].frame_started()
    clock.now += 11.0
    told = [status.message for status in made(degraded='tensorrt failed').values()]
    assert told[0].startswith('images have been in the network for 11 s; tensorrt failed; ')
    assert told[1].startswith('front: one image has been in the network for 11 s')
    assert 'tensorrt' not in ''.join(told[1:])
    failed = made(failure='no such model')
    assert failed['/segment: segmentation'].level == DiagnosticStatus.ERROR
