# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Runs test/launch: tests of launch_testing, each in a process of its own.

A launch changes the environment of the process it runs in, which no other test should notice. By
hand, one of them: ``PYTHONPATH=.:test python3 -m launch_testing.launch_test
test/launch/segment.test.py`` (``launch_test`` in a ROS installation).
"""

from __future__ import annotations

from collections.abc import Callable
import os
from pathlib import Path

import pytest

from processes import Process

FOLDER = Path(__file__).resolve().parent.parent / 'launch'
FILES = sorted(path.name for path in FOLDER.glob('*.test.py'))

pytestmark = pytest.mark.slow


def test_all_files_are_run() -> None:
    """None has another ending, by which it would be passed over."""
    assert len(FILES) >= 6
    assert {path.name for path in FOLDER.glob('*.py')} == set(FILES)


@pytest.mark.parametrize('name', FILES)
def test_launch(name: str, project: Path, tmp_path: Path,
                start: Callable[..., Process]) -> None:
    """Launches, checks, ends."""
    for module in ('launch', 'launch_ros', 'launch_testing'):
        pytest.importorskip(module, reason=f'{module} has no wheel; comes with ROS 2')
    pytest.importorskip('rclpy')
    process = start(
        '-m', 'launch_testing.launch_test', FOLDER / name, cwd=tmp_path,
        env={'PYTHONPATH': os.pathsep.join(
                [str(project), str(project / 'test'), os.environ.get('PYTHONPATH', '')]),
             'TMPDIR': str(tmp_path)})
    assert process.wait(300) == 0, process.output
