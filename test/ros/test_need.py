# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""What is needed, and for how long after it no longer is."""

from segnode.ros.need import Need


def test_a_need_lingers() -> None:
    now, asked = [100.0], [False]
    need = Need(lambda: asked[0], linger=1.0, clock=lambda: now[0])
    assert not need.lasts()  # nothing was needed yet
    asked[0] = True
    assert need.lasts()
    asked[0] = False
    now[0] += 0.9
    assert need.lasts()
    now[0] += 0.2
    assert not need.lasts()


def test_time_alone_ends_no_need() -> None:
    """Who is not asked for long, because the executor was busy, still needs it."""
    now = [100.0]
    need = Need(lambda: True, linger=1.0, clock=lambda: now[0])
    assert need.lasts()
    now[0] += 60.0
    assert need.lasts()


def test_a_need_is_forgotten() -> None:
    asked = [True]
    need = Need(lambda: asked[0], linger=1.0, clock=lambda: 100.0)
    assert need.lasts()
    asked[0] = False
    need.forget()
    assert not need.lasts()
