# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""A process under test: its output is kept, its end is certain."""

from __future__ import annotations

import os
from pathlib import Path
import signal
import subprocess
import threading
import time
from typing import Any


class Process:
    """A started process whose stdout and stderr are read together, line by line.

    Args:
        command: program and arguments.
        environment: variables on top of this process's own.
        cwd: folder to start in.
    """

    def __init__(self, command: list[str], environment: dict[str, str],
                 cwd: str | Path | None = None) -> None:
        self.command = command
        self._lines: list[str] = []
        self._news = threading.Condition()
        self._popen = subprocess.Popen(
            command, env={**os.environ, 'PYTHONUNBUFFERED': '1', **environment}, cwd=cwd,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors='replace',
            start_new_session=True)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._popen.stdout is not None
        for line in self._popen.stdout:
            with self._news:
                self._lines.append(line.rstrip('\n'))
                self._news.notify_all()
        with self._news:
            self._news.notify_all()

    @property
    def output(self) -> str:
        """All lines up to now."""
        with self._news:
            return '\n'.join(self._lines)

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._popen.poll() is None

    @property
    def pid(self) -> int:
        """The process id (also that of its group)."""
        return self._popen.pid

    def wait_for(self, text: str, timeout: float = 60.0) -> str:
        """Wait for a line with the text in it and return it; fail with the output otherwise."""
        deadline = time.monotonic() + timeout
        with self._news:
            while True:
                for line in self._lines:
                    if text in line:
                        return line
                remaining = deadline - time.monotonic()
                if remaining <= 0 or not self._reader.is_alive():
                    break
                self._news.wait(min(remaining, 0.5))
        raise AssertionError(f'{self.command}: no line with {text!r} within {timeout} s '
                             f'(exit code {self._popen.poll()}); its output:\n{self.output}')

    def wait(self, timeout: float = 60.0) -> int:
        """Wait for its end and return the exit code; fail with the output when it does not end."""
        try:
            code = self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f'{self.command} still runs after {timeout} s; its output:\n'
                                 f'{self.output}') from None
        self._reader.join(20.0)
        return code

    def send(self, signal_number: int) -> None:
        """Send a signal, to this one process only."""
        self._popen.send_signal(signal_number)

    def stop(self, signal_number: int = signal.SIGINT, timeout: float = 60.0) -> int:
        """Send a signal, wait for the end, return the exit code."""
        if self.running:
            self._popen.send_signal(signal_number)
        return self.wait(timeout)

    def end(self) -> None:
        """End it and all that it started, if need be by force."""
        for signal_number, seconds in ((signal.SIGINT, 5.0), (signal.SIGKILL, 5.0)):
            if not self.running:
                break
            self._send_to_group(signal_number)
            try:
                self._popen.wait(seconds)
            except subprocess.TimeoutExpired:
                continue
        self._send_to_group(signal.SIGKILL)
        self._reader.join(2.0)
        if self._popen.stdout is not None:
            self._popen.stdout.close()

    def _send_to_group(self, signal_number: int) -> None:
        try:
            os.killpg(self._popen.pid, signal_number)
        except ProcessLookupError:
            pass

    def __repr__(self) -> str:
        state: Any = 'running' if self.running else self._popen.returncode
        return f'<Process {" ".join(self.command)}: {state}>'
