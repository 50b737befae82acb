# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""What is typed behind `ros2 run segnode segment` and the other nodes."""

from __future__ import annotations

from pathlib import Path
import subprocess
import sys
from typing import Any

import pytest

from segnode.errors import SegnodeError
from segnode.ros.command_line import help_text, wants_help
from segnode.ros.own_parameters import PLAYER, POINTS, RECORDER
from segnode.ros.parameters import PARAMETERS

NODES = {'segment_node': PARAMETERS, 'player_node': PLAYER, 'recorder_node': RECORDER,
         'points_node': POINTS}


def typed(node: str, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Return what becomes of a command line that starts no node."""
    return subprocess.run([sys.executable, '-m', f'segnode.ros.{node}', *arguments], cwd=folder,
                          capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize('node', NODES)
def test_help(node: str, tmp_path: Path) -> None:
    """It says every parameter, and nothing is started: the recorder makes no folder."""
    pytest.importorskip('rclpy')
    done = typed(node, '--help', folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, '') and '--ros-args -p' in done.stdout
    for parameter in NODES[node]:
        assert f'\n  {parameter.name} [' in done.stdout
    assert not list(tmp_path.iterdir())


def test_a_forgotten_ros_args(tmp_path: Path) -> None:
    """ROS would start the node with its defaults, without a word."""
    pytest.importorskip('rclpy')
    done = typed('segment_node', '-p', 'model:=mine', folder=tmp_path)
    assert done.returncode == 1
    assert "error: '-p" in done.stderr and 'go behind --ros-args' in done.stderr


def test_what_is_left_of_a_command_line() -> None:
    """Help, nothing, or a mistake."""
    assert wants_help(['-h']) and wants_help(['x', '--help']) and not wants_help([])
    with pytest.raises(SegnodeError, match="'--model mine' is not understood"):
        wants_help(['--model', 'mine'])


def test_lines_are_short() -> None:
    """A terminal of 100 columns shows them as they are."""
    class Node:
        """Of this module, which the help is about."""

    for parameters in NODES.values():
        text = help_text(Node, parameters)
        shown: Any = text.splitlines()
        assert max(map(len, shown)) <= 100 and shown[2].startswith('What is typed behind')
