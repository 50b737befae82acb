# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The short form of benchmark/soak.py, and whether it would notice a leak."""

from __future__ import annotations

import argparse
from collections.abc import Callable
import json
from pathlib import Path
from typing import Any

import pytest

from benchmark.soak import MOST_MB, MOST_MB_SHORT, report, Run, Sample
import faulty_model
from processes import Process

OPTIONS = argparse.Namespace(model='m', rate=15.0)


def run_of(seconds: float, megabytes: Callable[[float], float], **changes: Any) -> Run:
    """Return a run whose memory was so, a sample a second."""
    samples = [Sample(second, megabytes(second), 30, 20, 0.5 * second)
               for second in range(int(seconds))]
    return Run(**{'seconds': seconds, 'masks': 5, 'samples': samples, 'exit_code': 0, **changes})


def test_a_leak_is_noticed() -> None:
    """A slope in a long run, a step in a short one; noise and the warm-up are neither."""
    flat = report(run_of(3600, lambda s: 300.0 + s % 7), OPTIONS)
    assert flat['passed'] and abs(flat['memory_mb']['slope_per_hour']) < 1.0
    assert flat['cpu_share'] == pytest.approx(0.5)
    settling = report(run_of(3600, lambda s: 300.0 + min(s, 300.0)), OPTIONS)
    assert settling['passed']
    leak = report(run_of(3600, lambda s: 300.0 + 12.0 * s / 3600), OPTIONS)
    assert not leak['passed']
    assert leak['memory_mb']['slope_per_hour'] == pytest.approx(12.0, abs=0.1)
    step = report(run_of(100, lambda s: 300.0 + (2 * MOST_MB_SHORT if s > 50 else 0.0)), OPTIONS)
    assert not step['passed']


def test_what_listeners_ask_for_is_no_leak() -> None:
    """With samples of it at rest, a long run is judged by those; a leak is in them, too."""
    def rest(slope: float) -> list[Sample]:
        return [Sample(second, 200.0 + slope * second / 3600, 30, 20, 0.0)
                for second in range(0, 3600, 200)]

    busy = report(run_of(3600, lambda s: 300.0 + 12.0 * s / 3600, at_rest=rest(1.0)), OPTIONS)
    assert busy['passed']
    assert busy['memory_mb']['slope_per_hour'] == pytest.approx(12.0, abs=0.1)
    assert busy['memory_mb']['slope_per_hour_at_rest'] == pytest.approx(1.0, abs=0.1)
    assert busy['memory_mb']['judged'] == 'at rest'
    assert report(run_of(3600, lambda s: 300.0 + 20 * (s > 3000), at_rest=rest(1.0)), OPTIONS)[
        'passed']
    assert not report(run_of(3600, lambda s: 300.0, at_rest=rest(12.0)), OPTIONS)['passed']
    stepped = rest(0.0)
    for one in stepped[-4:]:
        one.megabytes += MOST_MB + 1
    assert not report(run_of(3600, lambda s: 300.0, at_rest=stepped), OPTIONS)['passed']
    few = run_of(3600, lambda s: 300.0 + 12.0 * s / 3600, at_rest=rest(1.0)[:4])
    assert not report(few, OPTIONS)['passed']


@pytest.mark.parametrize('changes', [
    {'exit_code': 1}, {'exit_code': None}, {'tracebacks': 1}, {'masks': 0}])
def test_what_else_does_not_pass(changes: dict[str, Any]) -> None:
    """An end out of order, a traceback, or nothing done at all."""
    assert not report(run_of(100, lambda s: 300.0, **changes), OPTIONS)['passed']


def test_files_and_threads_may_not_grow() -> None:
    """Each new listener or camera that leaves one behind would."""
    run = run_of(100, lambda s: 300.0)
    run.samples[-1].files += 10
    assert not report(run, OPTIONS)['passed']
    run = run_of(100, lambda s: 300.0)
    run.samples[-1].threads += 10
    assert not report(run, OPTIONS)['passed']


@pytest.mark.slow
def test_half_a_minute(start: Callable[..., Process], project: Path, tmp_path: Path) -> None:
    """A life in fast motion: everything happens, nothing grows, and its end is in order."""
    pytest.importorskip('rclpy')
    pytest.importorskip('onnxruntime')
    file = tmp_path / 'soak.json'
    process = start(project / 'benchmark' / 'soak.py', '--seconds', 30, '--rate', 25,
                    '--event-every', 0.5, '--model', faulty_model.write(tmp_path), '--json', file)
    code = process.wait(150)
    result = json.loads(file.read_text())
    told = {name: value for name, value in result.items() if name != 'samples'}
    assert code == 0 and result['passed'], told
    assert result['seconds'] >= 30 and result['images_sent'] > 200
    assert result['broken_images_sent'] > 5
    assert result['masks_received'] > 0.5 * result['images_sent'], told
    assert result['node_frames']['dropped: failed in the network'] == 0
    assert set(result['events']) >= {'replace camera', 'set parameter', 'change listeners',
                                     'down and up'}
    assert result['exit_seconds'] < 5.0
