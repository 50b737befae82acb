# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Keeps the segment node's model what its parameters ask for, while it serves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
import traceback
from typing import Any

from rclpy.node import Node
from rclpy.parameter import Parameter

from segnode.errors import SegnodeError
from segnode.ros import node_parameters
from segnode.ros.background_loader import BackgroundLoader, Loaded
from segnode.ros.loaded_model import check_change, LoadedModel, Values
from segnode.ros.model_maker import make, needs_making
from segnode.ros.serving import Adopt, Serving
from segnode.runtimes import progress


class LiveModel:
    """The model in use, one that is being loaded to follow it, and what became of that.

    Parameters change at once, models do not: a change is checked as far as that is quick, the
    model is loaded in the background, and takes over between two frames. Where it cannot be
    loaded, the one in use stays, and the parameters go back to what that was made with.
    """

    def __init__(self, node: Node, adopt: Adopt, wake: Callable[[], None]) -> None:
        """Have no model yet.

        Args:
            node: whose parameters are followed.
            adopt: as of `Serving`.
            wake: called by any thread to have follow() called soon, in the executor's.
        """
        self.serving = Serving(adopt, self._not_adopted)
        self.rejected = ''  # why the last change was not taken
        self._node = node
        self._wake = wake
        self._loader = BackgroundLoader(self._load_aside, wake)
        self._child_is_busy_with = ''
        self._refused: list[tuple[Values, BaseException]] = []
        self._failed: Values | None = None  # the last that were
        self._going_back = False

    @property
    def building(self) -> str:
        """Return in words what is being loaded beside the model in use; '' where nothing is."""
        wanted, seconds = self._loader.wanted, self._loader.seconds
        if wanted is None:
            return ''
        return (progress.current() or self._child_is_busy_with
                or f'loading model {wanted["model"]}, {seconds:.0f} s')

    def load(self) -> LoadedModel:
        """Return a model of the parameters as they stand; nothing else is done with it.

        Raises:
            SegnodeError: there can be none.
        """
        return LoadedModel.load(node_parameters.model_values(self._node), self._cameras)

    def end(self) -> None:
        """Close all models and take an interest in none that is being loaded."""
        self._loader.cancel()
        self._refused.clear()
        self._failed = None
        self.rejected = ''
        self.serving.end()

    def join(self, timeout: float) -> bool:
        """Take an interest in nothing; return False when a library loads on after `timeout` s."""
        return self._loader.join(timeout)

    def refusal(self, changes: Mapping[str, Any]) -> str | None:
        """Say why parameters cannot be changed so, as far as that is quick to tell."""
        if self._going_back:
            return None
        values = node_parameters.model_values(self._node)
        changed = {name: tuple(value) if isinstance(value, list) else value
                   for name, value in changes.items() if name in values}
        if not changed:
            return None
        try:
            check_change({**values, **changed}, list(changed), self.serving.latest)
        except SegnodeError as error:
            return str(error)
        except Exception as error:  # or rclpy leaves the client without an answer
            return f'{type(error).__name__}: {error}'
        self._wake()
        return None

    def follow(self) -> None:
        """Do what is to be done now; in the executor's thread, and in no transition."""
        while self._refused:
            # What was loaded since may run on the network that was closed with the refused model.
            self._loader.cancel()
            self._go_back(*self._refused.pop(0))
        loaded = self._loader.take()
        if loaded is not None:
            self._arrived(loaded)
        self.serving.settle()
        wanted, latest = node_parameters.model_values(self._node), self.serving.latest
        if latest is None or wanted in (self._loader.wanted, self._failed):
            return
        self._failed = None
        if latest.serves(wanted):
            self._loader.cancel()
            if wanted != latest.values:
                self.serving.offer(replace(latest, values=wanted))
            return
        self.rejected = ''
        self._node.get_logger().info(
            f'{_changes(wanted, latest.values)}: loaded while {latest.segmenter.model.name} '
            'goes on')
        self._loader.request(wanted, latest)

    @property
    def _cameras(self) -> list[str]:
        return list(self._node.get_parameter('cameras').value)

    def _load_aside(self, values: Values, base: LoadedModel, wanted: Callable[[], bool]
                    ) -> LoadedModel:
        """Load a model while `base` serves; the heavy part in a process of its own."""
        def tell(text: str) -> None:
            self._child_is_busy_with = text

        if not base.lends_runtime_to(values) and needs_making(values):
            try:
                make(values, self._cameras, wanted, tell)
            finally:
                tell('')
            if not wanted():  # or what was not made would be made here, for nobody
                raise SegnodeError('no longer wanted')
        return LoadedModel.load(values, self._cameras, base)

    def _arrived(self, loaded: Loaded) -> None:
        if loaded.error is not None:
            self._go_back(loaded.values, loaded.error)
        elif loaded.model is not None:
            self._node.get_logger().info(
                f'model {loaded.model.segmenter.model.name} takes over on '
                f'{loaded.model.segmenter.runtime.name}, ready after {loaded.seconds:.1f} s')
            self.serving.offer(loaded.model)

    def _not_adopted(self, model: LoadedModel, error: Exception) -> None:
        """Leave the rest to follow(), for this may be the worker's thread."""
        self._refused.append((model.values, error))
        self._wake()

    def _go_back(self, values: Values, error: BaseException) -> None:
        """Say why a change was not taken, and undo it where it is still what is asked for."""
        running = self.serving.latest
        if running is None:
            return
        self._failed = values
        sentence = str(error)
        if not isinstance(error, SegnodeError):
            self._node.get_logger().error(
                ''.join(traceback.format_exception(type(error), error, error.__traceback__)))
            sentence = f'{type(error).__name__}: {error}'
        self.rejected = (f'{_changes(values, running.values)} not taken: {sentence}; '
                         f'{running.segmenter.model.name} goes on')
        self._node.get_logger().error(self.rejected)
        now = node_parameters.model_values(self._node)
        back = [
            Parameter(name, value=list(value) if isinstance(value, tuple) else value)
            for name, value in running.values.items()
            if values[name] != value and now[name] == values[name]]
        self._going_back = True
        try:
            if back:
                self._node.set_parameters_atomically(back)
        finally:
            self._going_back = False


def _changes(values: Values, old: Values) -> str:
    """Return the values that differ as they are written on a command line."""
    return ', '.join(
        f'{name}:={list(value) if isinstance(value, tuple) else value}'
        for name, value in values.items() if value != old[name])
