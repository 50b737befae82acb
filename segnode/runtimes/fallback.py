# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The fastest runtime for as long as it runs, and then the next one."""

from __future__ import annotations

from collections.abc import Callable
import contextlib
import logging
import time

import numpy as np

from segnode.errors import SegnodeError
from segnode.runtimes.base import check_images, closed, Runtime, RuntimeOutput

_LOG = logging.getLogger('segnode')

# Seconds after which runtimes that all failed are tried again.
PATIENCE = 30.0
# What loads a runtime, and its name.
Choice = tuple[str, Callable[[], Runtime]]


class FallbackRuntime:
    """One runtime after the other: each is used until it fails, at the start or in a drive.

    The last one is kept when it fails, for the next image may be fine; where none is left that
    loads, all are tried again after a while.

    Args:
        choices: the best first.
        patience: seconds after which all are tried again.

    Raises:
        SegnodeError: none of them loads; what keeps each from it, in one sentence.
    """

    def __init__(self, choices: list[Choice], patience: float = PATIENCE) -> None:
        self._choices = list(choices)
        self._left = list(choices)
        self._patience = patience
        self._gave_up = 0.0  # when none was left (monotonic s)
        self._failures: dict[str, str] = {}  # name -> why it is not used
        # In use, or the last that was: other threads ask for its name while the next one loads.
        self._runtime: Runtime | None = None
        self._runs = self._closed = False
        self._label = ''
        self._next()

    @property
    def name(self) -> str:
        """Return the name of the runtime in use."""
        return self._last.name

    @property
    def details(self) -> str:
        """Return its details."""
        return self._last.details

    @property
    def input_size(self) -> tuple[int, int]:
        """Return its input size, which is that of all."""
        return self._last.input_size

    @property
    def batch(self) -> int | None:
        """Return how many images it takes at once."""
        return self._last.batch

    @property
    def warning(self) -> str:
        """Return what failed and what is used instead, '' where nothing failed."""
        failures = dict(self._failures)
        if not failures:
            return ''
        said = '; '.join(f'{name} failed ({why})' for name, why in failures.items())
        return f'{said}; {self._label} runs instead' if self._runs else said

    def run(self, images: np.ndarray) -> RuntimeOutput:
        """Segment uint8 (N, H, W, 3) BGR images, with the next runtime where this one fails.

        Raises:
            SegnodeError: every runtime has failed, or this was closed.
        """
        check_images(images, self.input_size, self.batch)
        while True:
            if self._closed:
                raise closed()
            if not self._runs:
                self._try_again()
            try:
                return self._last.run(images)
            except Exception as error:  # whatever a library or a GPU makes of it
                if self._closed or not self._left:
                    raise
                self._give_up(error)

    def close(self) -> None:
        """Close the runtime in use; no other is loaded any more."""
        runs, self._runs = self._runs, False
        self._closed = True
        self._left.clear()
        if runs:
            self._last.close()

    @property
    def _last(self) -> Runtime:
        assert self._runtime is not None  # or nothing loaded, and there is no such object
        return self._runtime

    def _give_up(self, error: Exception) -> None:
        why, runtime = one_line(error), self._last
        self._failures[self._label] = why
        self._runs = False
        with contextlib.suppress(Exception):
            runtime.close()
        _LOG.warning('runtime %s failed and is given up: %s', self._label, why)
        self._next()

    def _try_again(self) -> None:
        """Begin with the first runtime once more, if the time has come."""
        if time.monotonic() - self._gave_up < self._patience:
            raise self._nothing()
        self._left = list(self._choices)
        self._failures.clear()
        self._next()

    def _next(self) -> None:
        """Load the next runtime that loads."""
        while self._left:
            self._label, load = self._left.pop(0)
            try:
                self._runtime = load()
                self._runs = True
                return
            except SegnodeError as error:
                self._failures[self._label] = one_line(error)
                if self._left:
                    _LOG.warning('runtime %s is passed over: %s', self._label, error)
        self._gave_up = time.monotonic()
        raise self._nothing()

    def _nothing(self) -> SegnodeError:
        # One sentence each; a machine that lacks one thing often fails twice for the same reason.
        return SegnodeError('; '.join(dict.fromkeys(self._failures.values())))


def one_line(error: Exception) -> str:
    """Return an error's first line, its class where it has no text."""
    return str(error).partition('\n')[0] or type(error).__name__
