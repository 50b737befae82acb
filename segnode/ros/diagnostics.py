# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The node's state as a diagnostic_msgs message."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.time import Time

from segnode.ros.health import FAILED, Snapshot, StageStatistics, UNDECODABLE, UNWANTED

# Seconds in the network after which a frame counts as stuck.
STUCK = 10.0

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
    untrained: bool = False
    degraded: str = ''  # which runtimes failed, and what runs instead
    mismatches: tuple[str, ...] = ()  # of QoS, a sentence each
    limits: Limits = field(default_factory=Limits)
    facts: tuple[tuple[str, str], ...] = ()


def assess(situation: Situation, health: Snapshot) -> tuple[bytes, str]:
    """Return the level and one line: the worst things first, or how it runs."""
    if situation.failure:
        return ERROR, situation.failure
    found: list[tuple[bytes, str]] = []
    if situation.untrained:
        found.append((WARN, 'random weights: the masks mean nothing'))
    if situation.degraded:
        found.append((WARN, situation.degraded))
    if situation.activity or situation.state != 'active':
        found.append((OK, situation.activity or situation.state))
    else:
        found += _problems(situation, health)
        said = f'{health.rate_in:.1f} Hz in, {health.rate_out:.1f} Hz out'
        if health.recent_drops[UNWANTED] and not health.rate_out:
            said += ', nobody subscribes'
        if not _silent(situation.limits, health):
            found.append((OK, said))
    found.sort(key=lambda problem: -_RANK[problem[0]])  # stable: as they were found
    return found[0][0], '; '.join(text for _, text in found)


def message(name: str, stamp: Time, situation: Situation, health: Snapshot) -> DiagnosticArray:
    """Return the message for /diagnostics.

    Args:
        name: fully qualified name of the node.
        stamp: now, by the node's clock.
        situation: state and facts about the node.
        health: rates, drops, latency.
    """
    level, line = assess(situation, health)
    age = 'none yet' if health.image_age is None else f'{health.image_age:.2f}'
    values = [
        ('state', situation.state), *situation.facts,
        ('QoS mismatches', '; '.join(situation.mismatches) or 'none'),
        ('rate in (Hz)', f'{health.rate_in:.2f}'), ('rate out (Hz)', f'{health.rate_out:.2f}'),
        ('age of the newest image (s)', age),
        ('frames received', str(health.received)),
        ('frames segmented', str(health.published)),
        *((f'dropped: {cause}', str(count)) for cause, count in health.drops.items()),
        ('drop share', f'{health.loss_share:.3f}'),
        ('window (s)', f'{min(health.window, health.seconds_active):.1f}'),
        *((f'latency {stage} (ms)', _told(s)) for stage, s in health.stages.items()),
        *([('latency end to end (ms)', _told(health.end_to_end))] if health.end_to_end else []),
        *((f'published: {topic}', str(count)) for topic, count in health.outputs.items()),
        ('last error', health.last_error or 'none'),
    ]
    status = DiagnosticStatus(
        level=level, name=f'{name}: segmentation', message=line, hardware_id='none',
        values=[KeyValue(key=key, value=value) for key, value in values])
    array = DiagnosticArray(status=[status])
    array.header.stamp = stamp.to_msg()
    return array


def _problems(situation: Situation, health: Snapshot) -> Iterator[tuple[bytes, str]]:
    """Give level and text of each thing that is wrong with an active node."""
    limits = situation.limits
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
    for mismatch in situation.mismatches:
        yield WARN, mismatch
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
