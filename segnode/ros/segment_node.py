# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The segment node: camera images in, masks out, as a managed lifecycle node."""

from __future__ import annotations

from dataclasses import fields
import threading
import time
import traceback
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup, ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import (
    LifecycleNode,
    LifecycleNodeMixin,
    LifecycleState,
    TransitionCallbackReturn,
)
from rclpy.node import Node
from rclpy.qos import QoSProfile

from segnode.errors import SegnodeError
from segnode.ros import diagnostics, log_bridge, node_parameters, process, transport
from segnode.ros.channel import Channel
from segnode.ros.inputs import Frame
from segnode.ros.live_model import LiveModel
from segnode.ros.loaded_model import LoadedModel
from segnode.ros.qos_mismatch import QosMismatches
from segnode.ros.resources import cache_state, resident_memory
from segnode.ros.transitions import told, Transitions
from segnode.ros.worker import Worker
from segnode.runtimes import progress

SUCCESS = TransitionCallbackReturn.SUCCESS
FAILURE = TransitionCallbackReturn.FAILURE
# Seconds between two diagnostics.
REPORT_PERIOD = 1.0
# Of them without a time by use_sim_time before the log says so: a bag may only be about to start.
TIMELESS_REPORTS = 10
# Seconds that a model which is loaded in the background gets to be given up.
LOADER_PATIENCE = 0.3


class SegmentNode(LifecycleNode):
    """Segments the newest image of its camera, or of each of its cameras, again and again.

    unconfigured --configure: load the model, create the publishers--> inactive
    inactive --activate: subscribe, start the worker--> active; each way back undoes its step.
    In the latter two a change of the parameters that a model is made of has another one loaded
    in the background, which takes over between two frames.

    Three callback groups: lifecycle services (each in its own thread, see TransitionExecutor),
    images, and the default one with parameters and diagnostics, so that these answer while a model
    loads.
    """

    def __init__(self, **kwargs: Any) -> None:
        """Declare everything; nothing runs before an executor spins the node.

        Raises:
            SegnodeError: a parameter given at start cannot be used.
        """
        # LifecycleNode.__init__ is these two, but has no argument for the callback group.
        Node.__init__(self, 'segment', **kwargs)
        self.transition_group = ReentrantCallbackGroup()
        LifecycleNodeMixin.__init__(self, callback_group=self.transition_group)
        self._stopping = threading.Event()
        # Of the default group, so that parameters that change together have changed by then.
        self._changed = self.create_guard_condition(self._follow_parameters)
        self._live = LiveModel(self, self._adopt, self._changed.trigger)
        node_parameters.declare(self, self._live.refusal)
        self._activity: tuple[str, float] | None = None  # what, and since when (monotonic s)
        self._failure = ''
        self._worker: Worker | None = None
        self._cache_state = ''  # as the last configuration left it
        self._timeless = 0  # reports in a row
        self._mismatches = QosMismatches(self)
        image_group = MutuallyExclusiveCallbackGroup()
        self._channels = [
            Channel(self, camera, self._receive, group=image_group, mismatches=self._mismatches)
            for camera in self._value('cameras')]
        self._diagnostics = self.create_publisher(
            DiagnosticArray, '/diagnostics', QoSProfile(depth=10))
        self._log_handler = log_bridge.attach(self.get_logger())
        self.create_timer(
            REPORT_PERIOD, self._report, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._transitions = Transitions(self)
        self._start = self.create_guard_condition(
            self._transitions.start_up, callback_group=self.transition_group)
        if self._value('autostart'):
            self._start.trigger()  # acted upon once an executor spins

    @told
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the model, try it once, create the publishers; failure leaves nothing behind."""
        self._failure = ''
        self._activity = (f'loading model {self._value("model")}', time.monotonic())
        try:
            self._warn_of_small_shared_memory()
            model = self._live.load()
            if self._stopping.is_set():
                model.segmenter.close()
                return FAILURE
            self._live.serving.begin(model)
            for channel in self._channels:
                channel.configure(model)
            seconds = time.monotonic() - self._activity[1]
            self.get_logger().info(
                f'model {model.segmenter.model.name} runs on {model.segmenter.runtime.name}, '
                f'ready after {seconds:.1f} s')
            return super().on_configure(state)
        except Exception as error:  # a library may raise anything; the node stays
            self._free()
            return self._failed('not configured', error)
        finally:
            self._cache_state = cache_state()
            self._activity = None

    @told
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Enable the publishers, start the worker, subscribe; failure undoes all of it."""
        self._failure = ''
        try:
            done = super().on_activate(state)
            if done == SUCCESS:
                self._start_work()
            return done
        except Exception as error:  # rclpy would take it for ERROR, without a word
            self._stop_work()
            super().on_deactivate(state)
            return self._failed('not activated', error)

    @told
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Undo on_activate: unsubscribe, let the worker finish its frame, silence the topics."""
        self._stop_work()
        return super().on_deactivate(state)

    @told
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Undo on_configure: take the publishers away, free the model."""
        self._failure = ''
        self._free()
        return super().on_cleanup(state)

    @told
    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Undo everything, from whatever state."""
        self._stop_work()
        self._free()
        return super().on_shutdown(state)

    @told
    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Undo everything; success leads back to unconfigured, where another try is possible."""
        self._stop_work()
        self._free()
        return super().on_error(state)

    def request_stop(self) -> None:
        """Say that the process ends: nothing waits for long work any more. Any thread."""
        self._stopping.set()

    def take_down(self, timeout: float) -> bool:
        """Stop all work before the node is destroyed; False when some outlasts `timeout` s."""
        self.request_stop()
        done = self._stop_work(timeout)
        done = self._live.join(LOADER_PATIENCE) and done
        log_bridge.detach(self._log_handler)
        healths = [channel.health.snapshot() for channel in self._channels]
        self.get_logger().info(
            f'stopped: {sum(health.received for health in healths)} images in, '
            f'{sum(health.published for health in healths)} masks out')
        return done

    def _failed(self, what: str, error: Exception) -> TransitionCallbackReturn:
        """Say why a transition failed: in the log, and in the diagnostics until the next try."""
        if self._stopping.is_set():
            return FAILURE
        sentence = str(error)
        if not isinstance(error, SegnodeError):
            self.get_logger().error(
                ''.join(traceback.format_exception(type(error), error, error.__traceback__)))
            sentence = f'{type(error).__name__}: {error}'
        self._failure = sentence
        self.get_logger().error(f'{what}: {sentence}')
        return FAILURE

    def _start_work(self) -> None:
        """Do on_activate's own part."""
        model = self._live.serving.model
        assert model is not None
        for channel in self._channels:
            channel.prepare()
            channel.say_labels(model)
        self._worker = Worker(
            self._live.serving, self.get_logger(), lambda: node_parameters.live_values(self))
        for channel in self._channels:
            channel.start()
        routes = ', '.join(channel.route for channel in self._channels)
        self.get_logger().info(f'active: {routes}')

    def _stop_work(self, timeout: float | None = None) -> bool:
        """Undo on_activate's own part; wait for the frame under way, at most `timeout` s."""
        for channel in self._channels:
            channel.stop()
        worker, self._worker = self._worker, None
        if worker is None:
            return True
        begun = time.monotonic()
        while not worker.stop(0.1):
            waited = time.monotonic() - begun
            if timeout is not None and waited > timeout or self._stopping.is_set() and waited > 1:
                return False
        return True

    def _free(self) -> None:
        """Undo on_configure."""
        self._live.end()
        for channel in self._channels:
            channel.free()

    def _follow_parameters(self) -> None:
        """Have the model follow the parameters, where there is one."""
        with self._transitions.unless_under_way() as still:
            if still and self._live.serving.model is not None:
                self._live.follow()

    def _adopt(self, old: LoadedModel, new: LoadedModel) -> None:
        """Let the topics follow the model, between two frames."""
        try:
            for channel in self._channels:
                channel.change(new)
            for channel in self._channels:
                channel.say_labels(new)
        except Exception:
            for channel in self._channels:
                channel.change(old)
            for channel in self._channels:
                channel.say_labels(old)
            raise

    def _receive(self, channel: Channel, frame: Frame) -> None:
        worker = self._worker
        if worker is not None:
            worker.offer(channel, frame)

    def _report(self) -> None:
        """Publish diagnostics, and warn about silent image topics."""
        self._follow_parameters()  # what could not be done when it was asked for
        situation = self._situation()
        for news in self._mismatches.news(situation.mismatches):
            self.get_logger().warning(f'QoS does not fit: {news}')
        self._timeless = self._timeless + 1 if situation.timeless else 0
        if self._timeless == TIMELESS_REPORTS:
            self.get_logger().warning(diagnostics.TIMELESS)
        for channel in self._channels:
            channel.watch(situation.limits.image_timeout if situation.state == 'active' else 0.0)
        self._diagnostics.publish(diagnostics.message(
            self.get_fully_qualified_name(), self.get_clock().now(), situation,
            [channel.report() for channel in self._channels]))

    def _situation(self) -> diagnostics.Situation:
        activity, model, worker = self._activity, self._live.serving.model, self._worker
        facts = [('model', self._value('model')), ('runtime', self._value('runtime'))]
        if model is not None:
            facts = model.facts()
        if self._cache_state:
            facts.append(('cache', self._cache_state))
        memory = resident_memory()
        if memory is not None:
            facts.append(('memory (MB)', f'{memory / 1e6:.1f}'))
        return diagnostics.Situation(
            state=self._state(),
            activity='' if activity is None else progress.current()
            or f'{activity[0]}, {time.monotonic() - activity[1]:.0f} s',
            failure=self._failure, building=self._live.building, rejected=self._live.rejected,
            untrained=model is not None and model.segmenter.model.record.random,
            timeless=self._value('use_sim_time') and not self.get_clock().now().nanoseconds,
            degraded='' if model is None else model.segmenter.warning,
            mismatches=tuple(self._mismatches.sentences()),
            limits=diagnostics.Limits(**{
                limit.name: self._value(limit.name) for limit in fields(diagnostics.Limits)}),
            facts=tuple(facts), runs=(0, 0) if worker is None else (worker.runs, worker.images))

    def _state(self) -> str:
        # rclpy has no public way to ask a lifecycle node for its own state.
        return str(self._state_machine.current_state[1])

    def _value(self, name: str) -> Any:
        return self.get_parameter(name).value

    def _warn_of_small_shared_memory(self) -> None:
        profile = transport.loaded_profile()
        if profile is not None:
            warning = transport.check_shared_memory(profile)
            if warning:
                self.get_logger().warning(warning)


def main(args: list[str] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM; return the exit code."""
    return process.run(SegmentNode, args)


if __name__ == '__main__':
    raise SystemExit(main())
