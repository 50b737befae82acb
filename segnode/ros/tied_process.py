# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Runs a module in a process that does not outlive the one that started it (Linux).

    python -m segnode.ros.tied_process PARENT_PID MODULE [ARGUMENTS ...]

However the parent ends, kill -9 included, the kernel then sends SIGTERM to this process. It asks
for that itself: between fork and exec (``preexec_fn``) the call would not be safe beside threads.
"""

from __future__ import annotations

import ctypes
import os
import runpy
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def command(module: str) -> list[str]:
    """Return the beginning of a command line that runs the module tied to this process.

    To be started from a thread that lives as long as the process: the kernel means that thread.
    """
    return [sys.executable, '-m', 'segnode.ros.tied_process', str(os.getpid()), module]


def main() -> None:
    """Tie this process to its parent, then become the module."""
    parent, module = int(sys.argv[1]), sys.argv[2]
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:  # it ended before the kernel knew
        sys.exit(1)
    sys.argv = [module, *sys.argv[3:]]
    runpy.run_module(module, run_name='__main__', alter_sys=True)


if __name__ == '__main__':
    main()
