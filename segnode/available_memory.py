# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""How much memory the machine, or the container that we are in, can still give."""

from __future__ import annotations

import os
from pathlib import Path


def available_memory(root: Path = Path('/')) -> int:
    """Bytes that this process can still take without swapping; 0 where that is not known.

    Args:
        root: where proc and sys lie.
    """
    known = [_of_machine(root), *_of_containers(root)]
    given = [size for size in known if size is not None]
    return max(0, min(given)) if given else 0


def _of_machine(root: Path) -> int | None:
    for line in _text(root / 'proc/meminfo').splitlines():
        if line.startswith('MemAvailable:'):
            return 1024 * int(line.split()[1])
    if root != Path('/'):
        return None
    try:  # not Linux: what is built in
        return os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
    except (AttributeError, OSError, ValueError):
        return None


def _of_containers(root: Path) -> list[int]:
    """Limits of the control group, of both versions, less what is in use."""
    groups = root / 'sys/fs/cgroup'
    found = []
    for folder, limit, usage, files in (
        (groups, 'memory.max', 'memory.current', 'inactive_file'),
        (groups / 'memory', 'memory.limit_in_bytes', 'memory.usage_in_bytes',
         'total_inactive_file'),
    ):
        most, used = (_text(folder / name).strip() for name in (limit, usage))
        if not (most.isdecimal() and used.isdecimal()):  # "max" is no limit
            continue
        # The kernel drops files that it only remembers before it refuses memory.
        rows = (line.split() for line in _text(folder / 'memory.stat').splitlines())
        remembered = sum(int(size) for name, size in rows if name == files)
        found.append(int(most) - int(used) + remembered)
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ''
