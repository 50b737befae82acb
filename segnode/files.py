# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Writing files so that a reader, a crash or a full disk never sees half of one."""

from __future__ import annotations

from collections.abc import Iterator
import contextlib
import errno
import os
from pathlib import Path
import tempfile

from segnode.errors import SegnodeError

TEMPORARY_SUFFIX = '.tmp'


def user_folder(variable: str, default: str) -> Path | None:
    """Return the folder that an XDG variable names, or the default one in the user's home.

    Args:
        variable: name of the environment variable, such as 'XDG_CACHE_HOME'.
        default: path below the home where it is not set.

    Returns:
        None where it is not set and the user has no home (a container with an unknown user id).
    """
    named = os.environ.get(variable)
    if named:
        return Path(named)
    try:
        return Path.home() / default
    except RuntimeError:
        return None


@contextlib.contextmanager
def replacing(path: Path, *, mode: int | None = None) -> Iterator[Path]:
    """Give a temporary path beside ``path`` that takes its place when the block ends well.

    Args:
        path: the file to make or replace.
        mode: permissions of the file; by default what the user's umask leaves.
    """
    handle, name = tempfile.mkstemp(
        dir=path.parent, prefix=f'.{path.name}.', suffix=TEMPORARY_SUFFIX
    )
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        if mode is None:
            mask = os.umask(0)
            os.umask(mask)
            mode = 0o666 & ~mask
        os.chmod(temporary, mode)
        with open(temporary, 'rb') as written:
            os.fsync(written.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def check_writable(path: Path) -> None:
    """Find out whether a file can be written, before the work that it is to hold.

    By trying, in its folder, which is made: permissions alone do not tell of a read-only disk. The
    file itself is not touched.

    Raises:
        SegnodeError: it cannot, such as where it is a folder.
    """
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, 'it is a folder')
        for parent in path.parents:
            if parent.exists() and not parent.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, f'{parent} is not a folder')
        path.parent.mkdir(parents=True, exist_ok=True)
        # Under the name that ``replacing`` would give it, which must not be too long.
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=f'.{path.name}.', suffix=TEMPORARY_SUFFIX
        ):
            pass
    except OSError as error:
        raise SegnodeError(f'{path} cannot be written: {error.strerror or error}') from error


def read_bytes(path: Path) -> bytes:
    """Return what a file holds.

    Raises:
        OSError: it cannot be read, or is a pipe, which would be waited for without end.
    """
    if path.is_fifo():
        raise OSError(errno.EINVAL, 'it is a pipe', str(path))
    return path.read_bytes()


def write_bytes(path: Path, data: bytes, *, mode: int | None = None) -> None:
    """Write ``data`` to ``path``, whole or not at all."""
    with replacing(path, mode=mode) as temporary:
        temporary.write_bytes(data)


def write_result(path: Path, data: str | bytes) -> None:
    """Write ``data`` to ``path``, or to what that links to, whole or not at all.

    Raises:
        SegnodeError: it cannot be written.
    """
    try:
        write_bytes(path.resolve(), data.encode() if isinstance(data, str) else data)
    except OSError as error:
        raise SegnodeError(f'{path} cannot be written: {error.strerror or error}') from error
