# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The folder beside an output in which it is made, and from which it goes on after a kill."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
import shutil
import socket
from typing import Any

from segnode.errors import SegnodeError
from segnode.files import write_bytes

SUFFIX = '.segment_bag'
_JOB = 'job.json'
_LOCK = 'lock'


def changed(job: dict[str, Any], earlier: Any) -> str:
    """Return in words what differs between two jobs, or between one and what is none."""
    names = []
    earlier = earlier if isinstance(earlier, dict) else {}
    for key in sorted(job.keys() | earlier.keys()):
        here, there = job.get(key), earlier.get(key)
        if here == there:
            continue
        if isinstance(here, dict) and isinstance(there, dict) and key == 'options':
            names += sorted(name for name in here.keys() | there.keys()
                            if name not in here or name not in there
                            or here[name] != there[name])
        else:
            names.append({'segnode': 'version of segnode'}.get(key, key))
    return ', '.join(names)


class WorkFolder:
    """`.NAME.segment_bag` beside the output NAME, held by one process at a time.

    Args:
        out: the output.

    Raises:
        SegnodeError: another process holds it, or it cannot be made.
    """

    def __init__(self, out: Path) -> None:
        self.path = out.parent / f'.{out.name}{SUFFIX}'
        self._out = out
        while True:
            try:
                self.path.mkdir(parents=True, exist_ok=True)
                self._lock = open(self.path / _LOCK, 'a+')
            except OSError as error:
                raise SegnodeError(
                    f'{out.parent} cannot be written: {error.strerror or error}') from error
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                self._lock.seek(0)
                holder = self._lock.read(200).strip() or 'another process'
                self._lock.close()
                raise SegnodeError(f'{holder} is making {out} at this moment') from error
            if self._is_current():
                break
            self._lock.close()  # its holder was done in between, and deleted it
        self._lock.truncate(0)
        self._lock.write(f'process {os.getpid()} on {socket.gethostname()}\n')
        self._lock.flush()

    def _is_current(self) -> bool:
        """Tell whether the lock file is still the one that others would open."""
        try:
            return os.path.samestat(os.fstat(self._lock.fileno()), os.stat(self.path / _LOCK))
        except FileNotFoundError:
            return False

    def begin(self, job: dict[str, Any], *, resume: bool, force: bool) -> bool:
        """Make the folder ready for a job; return whether it holds earlier work on the same.

        Args:
            job: what decides on the output, as JSON.
            resume: go on with earlier work.
            force: throw earlier work away.

        Raises:
            SegnodeError: there is earlier work and nothing was said about it, or it is on
                something else.
        """
        earlier = self._job()
        if earlier is not None and resume and not force:
            if job == earlier:
                return True
            raise SegnodeError(
                f'an unfinished run for {self._out} had another {changed(job, earlier)}: go on '
                'with the same, or begin anew with --force'
            )
        if earlier is not None and not force:
            raise SegnodeError(
                f'there is an unfinished run for {self._out}: --resume goes on with it, --force '
                'begins anew'
            )
        self._empty()
        write_bytes(self.path / _JOB, json.dumps(job, indent=1).encode())
        return False

    def _job(self) -> dict[str, Any] | None:
        """Return the job of an earlier run; None without one that had begun."""
        try:
            job = json.loads((self.path / _JOB).read_text())
        except (OSError, ValueError):
            return None
        return job if isinstance(job, dict) else None

    def _empty(self) -> None:
        for path in self.path.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != _LOCK:
                path.unlink()

    def forget(self) -> None:
        """Take back what `begin` wrote: there is nothing to go on with."""
        (self.path / _JOB).unlink(missing_ok=True)

    @property
    def worth_keeping(self) -> bool:
        """Tell whether something was done here that another run can go on with."""
        if not (self.path / _JOB).exists():
            return False
        return any(path.is_dir() or (path.name not in (_JOB, _LOCK) and path.stat().st_size > 100)
                   for path in self.path.iterdir())

    def close(self, *, discard: bool) -> None:
        """Let go of the folder, and delete it where nothing in it is needed."""
        if discard:
            shutil.rmtree(self.path, ignore_errors=True)
        self._lock.close()
