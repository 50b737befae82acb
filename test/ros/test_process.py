# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The end of the segment node's process: what is done then, and what is not waited for."""

from __future__ import annotations

import signal
import sys

import pytest

pytest.importorskip('rclpy')

from processes import Process
from segnode.ros import process, segment_node

SCRIPT = """
import atexit, sys
from segnode.ros import process, segment_node

class Piece:
    def __del__(self):
        print('taken apart', flush=True)

# Where the machine is busy, the node does not wait for its own threads: another end than this one.
process.CALLBACK_PATIENCE = process.WORKER_PATIENCE = process.TRANSITION_PATIENCE = 60.0
if 'torch' in sys.argv:
    sys.modules['torch'] = object()
piece = Piece()
atexit.register(print, 'done at the end')
sys.exit(segment_node.main(['--ros-args', '-p', 'autostart:=false', '-p', 'nonesuch:=1']))
"""


@pytest.mark.parametrize('library', ['torch', 'none'])
def test_pytorch_is_not_taken_apart(library: str) -> None:
    """That takes longer than the node has; what is registered for the end is done."""
    node = Process([sys.executable, '-c', SCRIPT, library], {})
    try:
        node.wait_for("there is no parameter 'nonesuch'")
        assert node.stop(signal.SIGTERM) == 0
        assert 'done at the end' in node.output and 'Traceback' not in node.output
        assert ('taken apart' in node.output) is (library == 'none')
    finally:
        node.end()


def test_the_patience_leaves_time_for_the_end() -> None:
    """Of the 2 s that the process has once it is told to stop, whatever it has to give up."""
    assert 0 < sum((process.CALLBACK_PATIENCE, process.WORKER_PATIENCE,
                    segment_node.LOADER_PATIENCE, process.TRANSITION_PATIENCE)) < 1.9
