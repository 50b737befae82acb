# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The end of the segment node's process: what is done then, and what is not waited for."""

from __future__ import annotations

import signal
import sys

import pytest

pytest.importorskip('rclpy')

from processes import Process

SCRIPT = """
import atexit, sys
from segnode.ros import segment_node

class Piece:
    def __del__(self):
        print('taken apart', flush=True)

if 'torch' in sys.argv:
    sys.modules['torch'] = object()
piece = Piece()
atexit.register(print, 'done at the end')
sys.exit(segment_node.main(['--ros-args', '-p', 'autostart:=false', '-p', 'nonesuch:=1']))
"""


@pytest.mark.parametrize('library', ['torch', 'none'])
def test_pytorch_is_not_taken_apart(library: str) -> None:
    """That takes longer than the node has; what is registered for the end is done."""
    process = Process([sys.executable, '-c', SCRIPT, library], {})
    try:
        process.wait_for("there is no parameter 'nonesuch'", 60)
        assert process.stop(signal.SIGTERM) == 0
        assert 'done at the end' in process.output and 'Traceback' not in process.output
        assert ('taken apart' in process.output) is (library == 'none')
    finally:
        process.end()
