# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The node's state as a diagnostic_msgs message."""

from __future__ import annotations

from dataclasses import dataclass

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.time import Time

from segnode.ros.health import FAILED, Snapshot, UNDECODABLE, UNWANTED

# Seconds in the network after which a frame counts as stuck.
STUCK = 10.0


@dataclass(frozen=True)
class Situation:
    """What the node knows beside its health."""

    state: str  # of the lifecycle
    activity: str = ''  # what a transition is busy with: 'loading model fsffnet, 12 s'
    failure: str = ''  # why the last transition failed, or why there is no subscription
    untrained: bool = False
    image_timeout: float = 0.0
    facts: tuple[tuple[str, str], ...] = ()


def assess(situation: Situation, health: Snapshot) -> tuple[bytes, str]:
    """Return the level and one line: the worst thing first, or how it runs."""
    if situation.failure:
        return DiagnosticStatus.ERROR, situation.failure
    warning = 'random weights: the masks mean nothing' if situation.untrained else ''
    level = DiagnosticStatus.WARN if warning else DiagnosticStatus.OK
    if situation.activity or situation.state != 'active':
        return level, _joined(warning, situation.activity or situation.state)
    rates = f'{health.rate_in:.1f} Hz in, {health.rate_out:.1f} Hz out'
    if health.recent_drops[UNWANTED] and not health.rate_out:
        rates += ', nobody subscribes'
    if health.seconds_on_frame > STUCK:
        return DiagnosticStatus.ERROR, (
            f'one image has been in the network for {health.seconds_on_frame:.0f} s')
    if health.recent_drops[FAILED]:
        return DiagnosticStatus.ERROR, f'images fail: {health.last_error}; {rates}'
    if 0 < situation.image_timeout < health.seconds_since_image:
        return DiagnosticStatus.WARN, _joined(
            warning, f'no image for {health.seconds_since_image:.0f} s')
    if health.recent_drops[UNDECODABLE]:
        return DiagnosticStatus.WARN, _joined(
            warning, f'images cannot be decoded: {health.last_error}; {rates}')
    return level, _joined(warning, rates)


def message(name: str, stamp: Time, situation: Situation, health: Snapshot) -> DiagnosticArray:
    """Return the message for /diagnostics.

    Args:
        name: fully qualified name of the node.
        stamp: now, by the node's clock.
        situation: state and facts about the node.
        health: rates, drops, latency.
    """
    level, line = assess(situation, health)
    values = [
        ('state', situation.state), *situation.facts,
        ('rate in (Hz)', f'{health.rate_in:.2f}'), ('rate out (Hz)', f'{health.rate_out:.2f}'),
        ('frames received', str(health.received)),
        ('frames segmented', str(health.published)),
        *((f'dropped: {cause}', str(count)) for cause, count in health.drops.items()),
        *((f'latency {stage} (ms)',
           f'median {s.median:.2f}, p95 {s.p95:.2f}, max {s.maximum:.2f}')
          for stage, s in health.stages.items()),
        *((f'published: {topic}', str(count)) for topic, count in health.outputs.items()),
        ('last error', health.last_error or 'none'),
    ]
    status = DiagnosticStatus(
        level=level, name=f'{name}: segmentation', message=line, hardware_id='none',
        values=[KeyValue(key=key, value=value) for key, value in values])
    array = DiagnosticArray(status=[status])
    array.header.stamp = stamp.to_msg()
    return array


def _joined(*parts: str) -> str:
    return '; '.join(part for part in parts if part)
