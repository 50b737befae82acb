# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The segment node on a GPU in Python, as a process: argv are the node's arguments.

Environment: GPU_BUILD_SECONDS, how long a build takes; GPU_BREAKS, a file whose appearance is a
fault of the GPU.
"""

from __future__ import annotations

import os
from pathlib import Path
import sys
import time

from segnode.ros import segment_node
from segnode.runtimes import choose, cuda_driver, tensorrt
from standin_gpu import Cuda, Tensorrt


class BreakingCuda(Cuda):
    """A GPU that breaks when a file appears."""

    def _call(self, function: str, *arguments: object) -> int:
        self.broken = self.broken or Path(os.environ['GPU_BREAKS']).exists()
        return super()._call(function, *arguments)


def main() -> int:
    """Run the node until it is told to stop."""
    made = Tensorrt('10.3.0', BreakingCuda(), real=True)
    made.during_build = lambda: time.sleep(float(os.environ.get('GPU_BUILD_SECONDS', '0')))
    cuda_driver._load = lambda: made.cuda  # type: ignore[assignment]
    tensorrt.find_tensorrt = lambda: made  # type: ignore[assignment,return-value]
    choose.nvidia_driver = lambda: True  # type: ignore[assignment]
    choose.TENSORRT = ('json',)  # type: ignore[assignment]
    return segment_node.main()


if __name__ == '__main__':
    sys.exit(main())
