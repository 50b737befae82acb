# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""One entry of the cache: its content in one file, and what is known of it in a JSON beside it.

Both are written whole, for this user alone, and used only if nobody else can have written them
and they agree.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
import hashlib
import json
import os
from pathlib import Path
import stat
from typing import Any

from segnode.files import write_bytes

SIDE_SUFFIX = '.json'


@dataclass(frozen=True)
class Kept:
    """The content of an entry.

    Args:
        content: checked.
        facts: what was found out when it was made.
        path: where it lies; None where it could not be written.
    """

    content: bytes
    facts: dict[str, Any]
    path: Path | None


def write_entry(
    path: Path, key: str, made_from: dict[str, str], content: bytes, facts: dict[str, Any]
) -> None:
    """Write an entry.

    Raises:
        OSError: it cannot be written.
    """
    write_bytes(path, content, mode=0o600)
    side = {
        'key': key,
        'sha256': hashlib.sha256(content).hexdigest(),
        'made_from': made_from,
        'facts': facts,
    }
    # Written last: without it the entry does not count.
    write_bytes(side_of(path), json.dumps(side, indent=1).encode(), mode=0o600)


def problem(path: Path, key: str) -> str:
    """Return why the entry cannot be used, '' where it can."""
    found = load_entry(path, key)
    return '' if isinstance(found, Kept) else found


def load_entry(path: Path, key: str) -> Kept | str:
    """Return an entry's content, or why it cannot be used."""
    side = read_side(path)
    if not side:
        return 'its side file is missing or damaged'
    if side.get('key') != key:
        return 'it was made from something else'
    try:
        content = _read_own(path)
    except OSError as error:
        return f'it cannot be read ({error.strerror})'
    if content is None:
        return 'others than this user can write it'
    if side.get('sha256') != hashlib.sha256(content).hexdigest():
        return 'its content has changed'
    facts = side.get('facts')
    return Kept(content, facts if isinstance(facts, dict) else {}, path)


def _read_own(path: Path) -> bytes | None:
    """Return the content of a file that nobody but this user can have written, else None.

    Raises:
        OSError: it cannot be read.
    """
    # The file that is looked at is the one that is read, whatever takes its place meanwhile.
    with open(os.open(path, os.O_RDONLY | getattr(os, 'O_NOFOLLOW', 0)), 'rb') as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or stat.S_IMODE(status.st_mode) & 0o022:
            return None
        if hasattr(os, 'getuid') and status.st_uid != os.getuid():
            return None
        return file.read()


def touch(path: Path) -> None:
    """Note that an entry was used."""
    with contextlib.suppress(OSError):
        os.utime(side_of(path))


def side_of(path: Path) -> Path:
    """Return the path of an entry's side file."""
    return path.with_name(path.name + SIDE_SUFFIX)


def read_side(path: Path) -> dict[str, Any]:
    """Return what an entry's side file holds; nothing where it cannot be used."""
    try:
        side = json.loads(_read_own(side_of(path)) or b'')
    except (OSError, ValueError, RecursionError):
        return {}
    return side if isinstance(side, dict) else {}
