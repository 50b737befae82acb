# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Loads a model while another one serves; no ROS here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
import threading
import time

from segnode.ros.loaded_model import close_unless_shared, LoadedModel, Values

Wanted = Callable[[], bool]
Load = Callable[[Values, LoadedModel, Wanted], LoadedModel]


@dataclass(frozen=True)
class Loaded:
    """How it ended: with a model, or with an error."""

    values: Values
    base: LoadedModel
    model: LoadedModel | None = None
    error: BaseException | None = None
    seconds: float = 0.0


@dataclass(frozen=True, eq=False)
class _Request:
    values: Values
    base: LoadedModel
    since: float  # monotonic s


class BackgroundLoader:
    """Loads one model at a time in a thread of its own; only the newest request counts.

    What loads it may ask whether it is still wanted, but a library cannot be interrupted: what is
    no longer wanted is closed as soon as it is there, and only then the next one is begun, for two
    at once might not fit into the memory.
    """

    def __init__(self, load: Load, done: Callable[[], None]) -> None:
        """Load nothing yet.

        Args:
            load: makes a model of values, on the base of another one; is told by a function
                whether it is still wanted.
            done: called in the thread whenever there is something to take.
        """
        self._load = load
        self._done = done
        self._lock = threading.Lock()
        self._wanted: _Request | None = None
        self._loaded: Loaded | None = None
        self._thread: threading.Thread | None = None

    @property
    def wanted(self) -> Values | None:
        """Return what is being loaded; None while nothing is."""
        request = self._wanted
        return None if request is None else request.values

    @property
    def seconds(self) -> float:
        """Return for how long it has been loading, 0 while it is not."""
        request = self._wanted
        return 0.0 if request is None else time.monotonic() - request.since

    def request(self, values: Values, base: LoadedModel) -> None:
        """Begin to load; what was asked for before is of no interest any more."""
        with self._lock:
            self._give_up()
            self._wanted = _Request(values, base, time.monotonic())
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name='background loader', daemon=True)
                self._thread.start()

    def cancel(self) -> None:
        """Take an interest in nothing that was asked for."""
        with self._lock:
            self._give_up()

    def take(self) -> Loaded | None:
        """Return what was loaded, once; None while there is nothing new."""
        with self._lock:
            loaded, self._loaded = self._loaded, None
            return loaded

    def join(self, timeout: float) -> bool:
        """Cancel and wait for the thread; return False when it still runs after `timeout` s."""
        self.cancel()
        thread = self._thread
        if thread is not None:
            thread.join(timeout)
        return thread is None or not thread.is_alive()

    def _give_up(self) -> None:
        loaded, self._loaded, self._wanted = self._loaded, None, None
        if loaded is not None:
            close_unless_shared(loaded.model, loaded.base)

    def _run(self) -> None:
        while True:
            with self._lock:
                request = self._wanted
                if request is None:
                    self._thread = None
                    return
            values, base = request.values, request.base

            def wanted(request: _Request = request) -> bool:
                return self._wanted is request

            try:
                model = self._load(values, base, wanted)
                loaded = Loaded(values, base, model, seconds=self.seconds)
            except BaseException as error:  # a library may raise anything
                loaded = Loaded(values, base, error=error)
            with self._lock:
                if self._wanted is request:
                    self._wanted, self._loaded = None, loaded
                else:
                    close_unless_shared(loaded.model, base)
            self._done()
