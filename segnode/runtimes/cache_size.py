# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""How much the cache may take, and what goes first."""

from __future__ import annotations

import functools
import logging
import os
from pathlib import Path
import re

_LOG = logging.getLogger('segnode')

SIZE_VARIABLE = 'SEGNODE_CACHE_SIZE'
_DEFAULT_SIZE = '5GB'
_UNITS = {'': 1, 'B': 1, 'KB': 10**3, 'MB': 10**6, 'GB': 10**9, 'TB': 10**12}

# Path, bytes, and when it was last used (s since 1970).
Listed = tuple[Path, int, float]


def size_limit() -> int:
    """Return how many bytes the cache may take, of $SEGNODE_CACHE_SIZE; by default 5 GB."""
    text = os.environ.get(SIZE_VARIABLE) or _DEFAULT_SIZE
    match = re.fullmatch(r'\s*(\d+(?:\.\d+)?)\s*([KMGT]?B?)\s*', text, re.IGNORECASE)
    if not match:
        _warn_once(f'{SIZE_VARIABLE} is {text!r}, which is no size such as 500MB or 5GB: '
                   f'taken as {_DEFAULT_SIZE}')
        match = re.fullmatch(r'(\d+)(\w*)', _DEFAULT_SIZE)
        assert match
    unit = match[2].upper()
    if unit and unit != 'B' and not unit.endswith('B'):
        unit += 'B'
    return int(float(match[1]) * _UNITS[unit])


def superfluous(entries: list[Listed], room: int) -> list[Path]:
    """Return those that were not used for longest and do not fit.

    Args:
        entries: all of them.
        room: bytes.
    """
    found = []
    for path, size, _ in sorted(entries, key=lambda entry: -entry[2]):
        room -= size
        if room < 0:
            found.append(path)
    return found


@functools.cache
def _warn_once(text: str) -> None:
    _LOG.warning('%s', text)
