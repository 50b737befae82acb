# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The limit of frames per second: its mean, and the smallest gap that it lets happen."""

from __future__ import annotations

import itertools
import random

import pytest

from segnode.ros.rate_limit import RateLimit


def passed(times: list[float], max_rate: float) -> list[float]:
    """Return the times that pass."""
    limit = RateLimit()
    return [time for time in times if limit.passes(time, max_rate)]


def gaps(times: list[float]) -> list[float]:
    """Return the differences of successive times."""
    return [later - earlier for earlier, later in itertools.pairwise(times)]


@pytest.mark.parametrize('camera, max_rate', [
    (40.0, 5.0), (30.0, 20.0), (15.0, 10.0), (30.0, 7.0), (1000.0, 60.0), (10.0, 10.0)])
def test_mean_rate_and_smallest_gap(camera: float, max_rate: float) -> None:
    """With a camera that jitters by 8 % of its interval, the mean over 60 s is right to 2 %."""
    jitter = random.Random(1)
    times = [100.0 + (index + jitter.uniform(-0.08, 0.08)) / camera
             for index in range(round(60 * camera))]
    through = passed(times, max_rate)
    assert len(through) == pytest.approx(60 * max_rate, rel=0.02)
    assert min(gaps(through)) >= 0.5 / max_rate


def test_a_slower_camera_passes_whole() -> None:
    """Nothing is taken from it."""
    times = [index / 4.0 for index in range(100)]
    assert passed(times, 5.0) == times


@pytest.mark.parametrize('pause', [0.2, 0.21, 0.3, 0.39, 0.41, 0.6, 1.0, 60.0])
def test_no_two_frames_back_to_back_after_a_pause(pause: float) -> None:
    """What was not sent meanwhile is not made up for: at 5 Hz half a period lies between two."""
    before = [index * 0.01 for index in range(101)]
    after = [before[-1] + pause + index * 0.01 for index in range(101)]
    through = passed(before + after, 5.0)
    assert min(gaps(through)) >= 0.1 - 1e-9
    assert after[0] in through or pause < 0.21
    # In the second after it: five, the one at its end, and one that was due in the pause.
    assert 5 <= sum(time >= after[0] for time in through) <= 7


def test_no_limit_and_a_limit_that_changes() -> None:
    """0 passes all; a faster rate holds from the next frame on, not after the old period."""
    assert passed([0.0, 0.0, 1e-6], 0.0) == [0.0, 0.0, 1e-6]
    limit = RateLimit()
    assert limit.passes(0.0, 0.01) and not limit.passes(1.0, 0.01)
    assert limit.passes(1.0, 10.0) and not limit.passes(1.01, 10.0)
    assert limit.passes(1.02, 0.0) and limit.passes(1.03, 0.0)
    assert limit.passes(5.0, 0.5) and not limit.passes(6.0, 0.5) and limit.passes(7.0, 0.5)
