# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The model in use, and its change between two frames; no ROS here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
import contextlib
import threading

from segnode.ros.loaded_model import close_unless_shared, LoadedModel

Adopt = Callable[[LoadedModel, LoadedModel], None]
Failed = Callable[[LoadedModel, Exception], None]


class Serving:
    """Holds the model that the frames go through, and the one that is to follow it.

    The next one takes over while no frame is in the network: in the worker's thread before its
    next frames, or in that of who asks when there are none.
    """

    def __init__(self, adopt: Adopt, failed: Failed) -> None:
        """Hold none yet.

        Args:
            adopt: called with the old and the new model when that takes over, by whatever thread;
                what it raises keeps the old one.
            failed: called with the new model and what `adopt` raised.
        """
        self._adopt = adopt
        self._failed = failed
        self._busy = threading.Lock()  # held while frames are in the network, and by a take-over
        self._change = threading.Lock()  # of the three below
        self._model: LoadedModel | None = None
        self._coming: LoadedModel | None = None  # while it takes over
        self._next: LoadedModel | None = None

    @property
    def model(self) -> LoadedModel | None:
        """Return the model in use."""
        return self._model

    @property
    def latest(self) -> LoadedModel | None:
        """Return the one that is to follow, where there is one, else that in use."""
        with self._change:
            return self._next or self._coming or self._model

    def begin(self, model: LoadedModel) -> None:
        """Use a first model."""
        with self._change:
            self._model = model

    def end(self) -> None:
        """Close all that there is."""
        with self._change:
            ended, self._model, self._next = (self._model, self._next), None, None
        for model in ended:
            if model is not None:
                model.segmenter.close()

    def offer(self, model: LoadedModel) -> None:
        """Let a model follow the one in use, in place of another that was to."""
        with self._change:
            given_up, self._next = self._next, model
            others = (self._model, self._coming, model)
        close_unless_shared(given_up, *others)
        self.settle()

    def settle(self) -> None:
        """Let the next model take over now, unless frames are in the network."""
        if self._next is not None and self._busy.acquire(blocking=False):
            try:
                self._take_over()
            finally:
                self._busy.release()

    @contextlib.contextmanager
    def in_use(self) -> Iterator[LoadedModel]:
        """Give the model for some frames; it stays as it is while in the block."""
        with self._busy:
            self._take_over()
            assert self._model is not None
            yield self._model

    def _take_over(self) -> None:
        with self._change:
            old, new = self._model, self._next
            if old is None or new is None:
                return
            self._coming, self._next = new, None
        try:
            self._adopt(old, new)
            kept, given_up = new, old
        except Exception as error:  # of ROS, when topics come or go
            kept, given_up = old, new
            self._failed(new, error)
        with self._change:
            self._model, self._coming = kept, None
            others = (kept, self._next)
        close_unless_shared(given_up, *others)
