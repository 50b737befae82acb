# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The C library's memory, kept for the next step instead of given back after each.

glibc returns every block above 32 MiB to the system as soon as it is free, and the end of its
heap when that grows beyond a few times that (mallopt(3): M_MMAP_THRESHOLD, M_TRIM_THRESHOLD). A
training step on the CPU frees all of its feature maps, so that the system has to map and clear
gigabytes for each next step: on a busy virtual machine that was half of the processor's time.
"""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # malloc.h of glibc


def keep_freed_memory() -> bool:
    """Let this process keep the memory that it frees, from now on.

    Returns:
        Whether the C library knows how; one other than glibc is left as it is.
    """
    if not sys.platform.startswith('linux'):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # musl, a static program
        return False
    mallopt.argtypes, mallopt.restype = [ctypes.c_int, ctypes.c_int], ctypes.c_int
    return bool(mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, -1))
