# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""When freed memory goes back to the system: the C library's choice is right for neither of us.

glibc returns every block above 32 MiB as soon as it is free, and the end of its heap when that
grows beyond a few times that, but nothing that lies below what is still in use (mallopt(3),
malloc_trim(3)). A training step on the CPU frees all of its feature maps, so that the system has
to map and clear gigabytes for each next step: on a busy virtual machine that was half of the
processor's time. A node that loads another model keeps what the old one had, wherever something
small lies above it; and each of its threads has a heap of its own, up to eight for a core, which
all grow to the most that ever lay in them.
"""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8  # malloc.h of glibc


def keep_freed_memory() -> bool:
    """Let this process keep the memory that it frees, from now on.

    Returns:
        Whether the C library knows how; one other than glibc is left as it is.
    """
    mallopt = _function('mallopt', ctypes.c_int, ctypes.c_int)
    return bool(mallopt is not None and mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, -1))


def give_back_freed_memory() -> bool:
    """Give the system all whole pages that are free now; takes milliseconds.

    Returns:
        Whether there were any; False with a C library other than glibc, too.
    """
    trim = _function('malloc_trim', ctypes.c_size_t)
    return bool(trim is not None and trim(0))


def share_heap() -> bool:
    """Let all threads that begin from now on take their memory from one heap.

    Small blocks come from a cache of each thread all the same, so that it costs nothing where the
    threads do not allocate large ones at the same time.

    Returns:
        Whether the C library knows how.
    """
    mallopt = _function('mallopt', ctypes.c_int, ctypes.c_int)
    return bool(mallopt is not None and mallopt(M_ARENA_MAX, 1))


def _function(name: str, *arguments: type) -> ctypes._NamedFuncPointer | None:
    """Return a function of the C library that returns an int; None where there is none."""
    if not sys.platform.startswith('linux'):
        return None
    try:
        found = getattr(ctypes.CDLL(None), name)
    except (AttributeError, OSError):  # musl, a static program
        return None
    found.argtypes, found.restype = list(arguments), ctypes.c_int
    return found
