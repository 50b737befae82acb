# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""What this process takes of the machine, as texts for the diagnostics. No ROS here."""

from __future__ import annotations

import os
from pathlib import Path
import stat

from segnode.errors import SegnodeError
from segnode.runtimes.cache import cache_folder

_STATM = Path('/proc/self/statm')


def resident_memory() -> int | None:
    """Return the bytes of memory that this process holds; None where that is not Linux."""
    try:
        pages = int(_STATM.read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf('SC_PAGE_SIZE')


def cache_state() -> str:
    """Return where engines and exported graphs are kept, how much lies there, and what is wrong.

    The files are counted, not checked: that reads all of them.
    """
    try:
        folder = cache_folder()
    except SegnodeError as error:
        return str(error)
    count = size = 0
    try:
        for path in folder.iterdir():
            status = path.lstat()
            if stat.S_ISREG(status.st_mode):
                count, size = count + 1, size + status.st_size
    except FileNotFoundError:
        return f'{folder}: not made yet'
    except OSError as error:
        return f'{folder}: {error.strerror or error}'
    writable = '' if os.access(folder, os.W_OK | os.X_OK) else ', cannot be written'
    return f'{folder}: {count} files, {size / 1e6:.1f} MB{writable}'
