# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Zstandard, from whichever library rosbags brought along."""

from __future__ import annotations

import functools
import importlib
from pathlib import Path
from typing import Any, BinaryIO

from segnode.errors import SegnodeError

# Python's own (3.14 on), its backport (rosbags 0.11.9), and the older binding (rosbags 0.11.0).
_LIBRARIES = ('compression.zstd', 'backports.zstd', 'zstandard')


@functools.cache
def _library() -> Any:
    for name in _LIBRARIES:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise SegnodeError('segmenting bags needs Zstandard: pip install backports.zstd')


def compress(data: bytes) -> bytes:
    """Return one Zstandard frame that states its content's size."""
    return bytes(_library().compress(data))


def decompress(data: bytes) -> bytes:
    """Return the content of one Zstandard frame.

    Raises:
        ValueError: it is damaged.
    """
    try:
        return bytes(_library().decompress(data))
    except Exception as error:  # each of the libraries has a class of its own
        raise ValueError(f'damaged Zstandard data: {error}') from error


def open_compressed(path: Path) -> BinaryIO:
    """Open a .zstd file for reading."""
    opened: BinaryIO = _library().open(path, 'rb')
    return opened
