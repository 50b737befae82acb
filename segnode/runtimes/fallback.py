# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The fastest runtime for as long as it runs, and then the next one."""

from __future__ import annotations

from collections.abc import Callable
import contextlib
import logging

import numpy as np

from segnode.errors import SegnodeError
from segnode.runtimes.base import check_images, closed, Runtime, RuntimeOutput

_LOG = logging.getLogger('segnode')

# What loads a runtime, and its name.
Choice = tuple[str, Callable[[], Runtime]]


class FallbackRuntime:
    """One runtime after the other: each is used until it fails, at the start or in a drive.

    Args:
        choices: the best first.

    Raises:
        SegnodeError: none of them loads; what keeps each from it, in one sentence.
    """

    def __init__(self, choices: list[Choice]) -> None:
        self._left = list(choices)
        self._failures: dict[str, str] = {}  # name -> why it is not used
        self._runtime: Runtime | None = None
        self._label = ''
        self._next()

    @property
    def name(self) -> str:
        """Return the name of the runtime in use."""
        return self._used.name

    @property
    def details(self) -> str:
        """Return its details."""
        return self._used.details

    @property
    def input_size(self) -> tuple[int, int]:
        """Return its input size, which is that of all."""
        return self._used.input_size

    @property
    def batch(self) -> int | None:
        """Return how many images it takes at once."""
        return self._used.batch

    @property
    def warning(self) -> str:
        """Return what failed and what is used instead, '' where nothing failed."""
        if not self._failures or self._runtime is None:
            return ''
        said = '; '.join(f'{name} failed ({why})' for name, why in self._failures.items())
        return f'{said}; {self._label} runs instead'

    def run(self, images: np.ndarray) -> RuntimeOutput:
        """Segment uint8 (N, H, W, 3) BGR images, with the next runtime where this one fails.

        Raises:
            SegnodeError: every runtime has failed, or this was closed.
        """
        check_images(images, self.input_size, self.batch)
        while True:
            runtime = self._used
            try:
                return runtime.run(images)
            except Exception as error:  # whatever a library or a GPU makes of it
                if self._runtime is not runtime:
                    raise  # closed meanwhile
                self._give_up(runtime, error)

    def close(self) -> None:
        """Close the runtime in use; no other is loaded any more."""
        runtime, self._runtime = self._runtime, None
        self._left.clear()
        self._failures.clear()
        if runtime is not None:
            runtime.close()

    @property
    def _used(self) -> Runtime:
        if self._runtime is None:
            raise self._nothing() if self._failures else closed()
        return self._runtime

    def _give_up(self, runtime: Runtime, error: Exception) -> None:
        why = one_line(error)
        self._failures[self._label] = why
        self._runtime = None
        with contextlib.suppress(Exception):
            runtime.close()
        _LOG.warning('runtime %s failed and is given up: %s', self._label, why)
        self._next()

    def _next(self) -> None:
        """Load the next runtime that loads."""
        while self._left:
            self._label, load = self._left.pop(0)
            try:
                self._runtime = load()
                return
            except SegnodeError as error:
                self._failures[self._label] = one_line(error)
                if self._left:
                    _LOG.warning('runtime %s is passed over: %s', self._label, error)
        raise self._nothing()

    def _nothing(self) -> SegnodeError:
        # One sentence each; a machine that lacks one thing often fails twice for the same reason.
        return SegnodeError('; '.join(dict.fromkeys(self._failures.values())))


def one_line(error: Exception) -> str:
    """Return an error's first line, its class where it has no text."""
    return str(error).partition('\n')[0] or type(error).__name__
