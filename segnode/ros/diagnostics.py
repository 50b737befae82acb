# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The node's state as a diagnostic_msgs message."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.time import Time

from segnode.ros.health import FAILED, Snapshot, StageStatistics, UNDECODABLE, UNWANTED

# Seconds in the network after which a frame counts as stuck.
STUCK = 10.0

TIMELESS = 'use_sim_time is set and nothing publishes /clock'
OK, WARN = DiagnosticStatus.OK, DiagnosticStatus.WARN
ERROR, STALE = DiagnosticStatus.ERROR, DiagnosticStatus.STALE
# What is wrong with the work outranks that there is nothing to work on.
_RANK = {OK: 0, WARN: 1, STALE: 2, ERROR: 3}


@dataclass(frozen=True)
class Limits:
    """Beyond what the level rises; the node's parameters of the same names."""

    image_timeout: float = 0.0  # s without an image: WARN; 0 = never, here and in the next five
    stale_age: float = 0.0  # s since the newest image was taken: STALE
    warn_rate: float = 0.0  # Hz
    error_rate: float = 0.0
    warn_latency: float = 0.0  # ms, 95th percentile
    error_latency: float = 0.0
    warn_drop_share: float = 1.0  # 0 to 1; 1 = never
    error_drop_share: float = 1.0


@dataclass(frozen=True)
class Situation:
    """What the node knows beside its health."""

    state: str  # of the lifecycle
    activity: str = ''  # what a transition is busy with: 'loading model fsffnet, 12 s'
    failure: str = ''  # why the last transition failed, or why there is no subscription
    building: str = ''  # what is loaded beside the model in use
    rejected: str = ''  # why another model did not take its place
    untrained: bool = False
    timeless: bool = False  # use_sim_time is set and no time came
    degraded: str = ''  # which runtimes failed, and what runs instead
    mismatches: tuple[str, ...] = ()  # of QoS, a sentence each
    limits: Limits = field(default_factory=Limits)
    facts: tuple[tuple[str, str], ...] = ()
    runs: tuple[int, int] = (0, 0)  # of the network, and images in them; where there are cameras


@dataclass(frozen=True)
class Camera:
    """What the node knows of one of its cameras."""

    name: str  # '' where there is but one
    health: Snapshot
    trouble: str = ''  # why there is no subscription
    facts: tuple[tuple[str, str], ...] = ()


def assess(situation: Situation, health: Snapshot) -> tuple[bytes, str]:
    """Return the level and one line: the worst things first, or how it runs."""
    return _worst(situation, [health])


def message(name: str, stamp: Time, situation: Situation, cameras: Sequence[Camera]
            ) -> DiagnosticArray:
    """Return the message for /diagnostics: one status, or where cameras have names one for each.

    Args:
        name: fully qualified name of the node.
        stamp: now, by the node's clock.
        situation: state and facts about the node.
        cameras: of the node, with their rates, drops, latency.
    """
    array = DiagnosticArray()
    array.header.stamp = stamp.to_msg()
    mismatches = ('QoS mismatches', '; '.join(situation.mismatches) or 'none')
    healths = [camera.health for camera in cameras]
    if not cameras[0].name:
        (camera,) = cameras
        situation = replace(situation, failure=situation.failure or camera.trouble)
        level, line = assess(situation, camera.health)
        array.status.append(_status(
            f'{name}: segmentation', level, line, ('state', situation.state), *situation.facts,
            *camera.facts, mismatches, *_books(camera.health)))
        return array
    level, line = _worst(situation, healths, together=True)
    runs, images = situation.runs
    array.status.append(_status(
        f'{name}: segmentation', level, line, ('state', situation.state), *situation.facts,
        ('cameras', ', '.join(camera.name for camera in cameras)), ('network runs', str(runs)),
        ('images per network run', f'{images / runs:.2f}' if runs else 'none yet'), mismatches))
    for camera in cameras:
        # What is wrong with the node is said once, above.
        own = Situation(situation.state, failure=camera.trouble, limits=situation.limits)
        level, line = assess(own, camera.health)
        array.status.append(_status(
            f'{name}: {camera.name}', level, f'{camera.name}: {line}',
            ('state', situation.state), *camera.facts, *_books(camera.health)))
    return array


def _worst(situation: Situation, healths: Sequence[Snapshot], together: bool = False
           ) -> tuple[bytes, str]:
    """Return level and line for one camera's images, or for the node that has several."""
    if situation.failure:
        return ERROR, situation.failure
    found: list[tuple[bytes, str]] = []
    if situation.untrained:
        found.append((WARN, 'random weights: the masks mean nothing'))
    if situation.degraded:
        found.append((WARN, situation.degraded))
    if situation.timeless:
        found.append((WARN, TIMELESS))
    if situation.rejected:
        found.append((WARN, situation.rejected))
    if situation.activity or situation.state != 'active':
        found.append((OK, situation.activity or situation.state))
    else:
        found += [(WARN, mismatch) for mismatch in situation.mismatches]
        found += _together(healths) if together else _alone(situation.limits, healths[0])
    if situation.building:
        found.append((OK, situation.building))
    found.sort(key=lambda problem: -_RANK[problem[0]])  # stable: as they were found
    return found[0][0], '; '.join(text for _, text in found)


def _status(name: str, level: bytes, line: str, *values: tuple[str, str]) -> DiagnosticStatus:
    return DiagnosticStatus(
        level=level, name=name, message=line, hardware_id='none',
        values=[KeyValue(key=key, value=value) for key, value in values])


def _books(health: Snapshot) -> Iterator[tuple[str, str]]:
    """Give the figures of one camera."""
    yield 'rate in (Hz)', f'{health.rate_in:.2f}'
    yield 'rate out (Hz)', f'{health.rate_out:.2f}'
    yield ('age of the newest image (s)',
           'none yet' if health.image_age is None else f'{health.image_age:.2f}')
    yield 'frames received', str(health.received)
    yield 'frames segmented', str(health.published)
    yield from ((f'dropped: {cause}', str(count)) for cause, count in health.drops.items())
    yield 'drop share', f'{health.loss_share:.3f}'
    yield 'window (s)', f'{min(health.window, health.seconds_active):.1f}'
    yield from ((f'latency {stage} (ms)', _told(s)) for stage, s in health.stages.items())
    if health.end_to_end:
        yield 'latency end to end (ms)', _told(health.end_to_end)
    yield from ((f'published: {topic}', str(count)) for topic, count in health.outputs.items())
    yield 'last error', health.last_error or 'none'


def _together(healths: Sequence[Snapshot]) -> Iterator[tuple[bytes, str]]:
    """Give what is to be said of an active node beside what is said of each camera."""
    stuck = max(health.seconds_on_frame for health in healths)
    if stuck > STUCK:
        yield ERROR, f'images have been in the network for {stuck:.0f} s'
    rate_in = sum(health.rate_in for health in healths)
    rate_out = sum(health.rate_out for health in healths)
    sending = sum(health.rate_in > 0 for health in healths)
    resting = sum(health.resting for health in healths)
    yield OK, (f'{sending} of {len(healths)} cameras send images: '
               f'{rate_in:.1f} Hz in, {rate_out:.1f} Hz out'
               + (f'; nobody subscribes to {resting}' if resting else ''))


def _alone(limits: Limits, health: Snapshot) -> Iterator[tuple[bytes, str]]:
    """Give what is to be said of a camera of an active node."""
    if health.resting and health.seconds_on_frame <= STUCK:
        yield OK, 'nobody subscribes: not subscribed to the images'
        return
    yield from _problems(limits, health)
    if not _silent(limits, health):
        unwanted = health.recent_drops[UNWANTED] and not health.rate_out
        yield OK, (f'{health.rate_in:.1f} Hz in, {health.rate_out:.1f} Hz out'
                   + (', nobody subscribes' if unwanted else ''))


def _problems(limits: Limits, health: Snapshot) -> Iterator[tuple[bytes, str]]:
    """Give level and text of each thing that is wrong with an active node."""
    if health.seconds_on_frame > STUCK:
        yield ERROR, f'one image has been in the network for {health.seconds_on_frame:.0f} s'
    if health.recent_drops[FAILED]:
        yield ERROR, f'images fail: {health.last_error}'
    if 0 < limits.stale_age < (health.image_age or 0.0):
        yield STALE, f'the newest image is {health.image_age:.0f} s old'
    if _silent(limits, health):
        yield WARN, f'no image for {health.seconds_since_image:.0f} s'
    elif health.recent_drops[UNDECODABLE]:
        yield WARN, f'images cannot be decoded: {health.last_error}'
    # A window not yet full would accuse a node that has only just begun.
    if health.seconds_active > health.window:
        rate = health.rate_out + health.rate_unwanted  # not done because not asked for
        for level, least in ((ERROR, limits.error_rate), (WARN, limits.warn_rate)):
            if rate < least:
                yield level, f'{rate:.1f} Hz out, less than {least:g}'
                break
    if health.end_to_end is not None:
        p95 = health.end_to_end.p95
        for level, most in ((ERROR, limits.error_latency), (WARN, limits.warn_latency)):
            if 0 < most < p95:
                yield level, f'latency {p95:.0f} ms (p95), more than {most:g}'
                break
    for level, most in ((ERROR, limits.error_drop_share), (WARN, limits.warn_drop_share)):
        if health.loss_share > most:
            yield level, f'{health.loss_share:.0%} of the images dropped, more than {most:.0%}'
            break


def _silent(limits: Limits, health: Snapshot) -> bool:
    return 0 < limits.image_timeout < health.seconds_since_image


def _told(found: StageStatistics) -> str:
    return f'median {found.median:.2f}, p95 {found.p95:.2f}, max {found.maximum:.2f}'
