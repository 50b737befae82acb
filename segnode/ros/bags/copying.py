# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Copying a part of a file within the kernel, which costs a third of reading and writing it."""

from __future__ import annotations

from collections.abc import Callable
import os
from typing import BinaryIO

from segnode.errors import SegnodeError

_BLOCK = 8 << 20  # between two looks at whether to go on
_SMALL_BLOCK = 1 << 18  # through this process; larger ones need fresh memory each


def copy_range(
    old: BinaryIO, new: BinaryIO, start: int, end: int, pause: Callable[[], None]
) -> None:
    """Append bytes ``start`` to ``end`` of one file to another.

    Args:
        old: open for reading.
        new: open for writing, at its end.
        start, end: offsets.
        pause: called between two blocks; may raise.

    Raises:
        SegnodeError: the file is shorter than that.
    """
    new.flush()
    position = new.tell()
    within = hasattr(os, 'copy_file_range')
    while within and start < end:
        pause()
        try:
            count = os.copy_file_range(
                old.fileno(), new.fileno(), min(_BLOCK, end - start), start, position)
        except OSError:  # not between these file systems; what it is otherwise shows below
            break
        if not count:
            break
        start, position = start + count, position + count
    old.seek(start)
    new.seek(position)
    while start < end:
        pause()
        block = old.read(min(_SMALL_BLOCK, end - start))
        if not block:
            raise SegnodeError(f'{old.name} became shorter while it was read')
        new.write(block)
        start += len(block)
