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
from segnode.ros import diagnostics, log_bridge, parameters, process, transport
from segnode.ros.camera_info import CameraInfoRelay
from segnode.ros.health import Health
from segnode.ros.inputs import Frame, ImageInput
from segnode.ros.label_info import LabelInfoPublisher
from segnode.ros.outputs import Outputs
from segnode.ros.qos_mismatch import QosMismatches
from segnode.ros.resources import cache_state, resident_memory
from segnode.ros.transitions import told, Transitions
from segnode.ros.worker import Worker
from segnode.runtimes import progress
from segnode.segmenter import Segmenter

SUCCESS = TransitionCallbackReturn.SUCCESS
FAILURE = TransitionCallbackReturn.FAILURE
# Seconds between two diagnostics, and between two equal warnings about a silent topic.
REPORT_PERIOD = 1.0
SILENCE_PERIOD = 30.0


class SegmentNode(LifecycleNode):
    """Segments the newest camera image, again and again.

    unconfigured --configure: load the model, create the publishers--> inactive
    inactive --activate: subscribe, start the worker--> active; each way back undoes its step.

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
        parameters.declare(self)
        self._stopping = threading.Event()
        self._health = Health()
        self._activity: tuple[str, float] | None = None  # what, and since when (monotonic s)
        self._failure = ''
        self._silence = ('', 0.0)  # what was last said about a silent topic, and when
        self._segmenter: Segmenter | None = None
        self._outputs: Outputs | None = None
        self._label_info: LabelInfoPublisher | None = None
        self._worker: Worker | None = None
        self._cache_state = ''  # as the last configuration left it
        self._mismatches = QosMismatches(self)
        image_group = MutuallyExclusiveCallbackGroup()
        self._input = ImageInput(
            self, self._receive, transport=self._value('input_transport'),
            reliability=self._value('image_reliability'), group=image_group,
            mismatches=self._mismatches)
        self._camera_info = CameraInfoRelay(self, image_group)
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
        model = self._value('model')
        self._failure = ''
        self._activity = (f'loading model {model}', time.monotonic())
        try:
            self._warn_of_small_shared_memory()
            segmenter = self._load()
            if self._stopping.is_set():
                segmenter.close()
                return FAILURE
            self._segmenter = segmenter
            self._outputs = Outputs(
                self, confidence=self._value('confidence'), uncertainty=bool(self._samples()),
                mismatches=self._mismatches)
            self._label_info = LabelInfoPublisher(self)
            seconds = time.monotonic() - self._activity[1]
            self.get_logger().info(
                f'model {segmenter.model.name} runs on {segmenter.runtime.name}, '
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
        log_bridge.detach(self._log_handler)
        health = self._health.snapshot()
        self.get_logger().info(
            f'stopped: {health.received} images in, {health.published} masks out')
        return done

    def _load(self) -> Segmenter:
        size = tuple(self._value('input_size'))
        # Options that not every runtime has: a runtime refuses those that it lacks.
        unset = {'device': 'auto', 'precision': 'auto', 'dla_core': -1, 'workspace': 0}
        options = {name: self._value(name) for name, default in unset.items()
                   if self._value(name) != default}
        segmenter = Segmenter.load(
            self._value('model'), runtime=self._value('runtime'),
            input_size=None if size == (0, 0) else (int(size[0]), int(size[1])),
            fit=self._value('fit'), labels_at=self._value('labels_at'),
            confidence=self._value('confidence'),
            samples=self._samples(), roi=self._value('roi'), rotation=self._value('rotation'),
            ego_mask=self._value('ego_mask') or None,
            label_grouping=self._value('label_grouping') or None, threads=self._value('threads'),
            allow_random_weights=self._value('allow_random_weights'), **options)
        # The first run allocates and chooses kernels; a camera image should not pay for it.
        segmenter.warm_up()
        return segmenter

    def _samples(self) -> int:
        """Return the passes of Monte Carlo dropout per image, 0 where none are asked for."""
        return 0 if self._value('uncertainty') == 'none' else int(self._value('samples'))

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
        assert self._segmenter is not None and self._outputs is not None
        self._health.restart()
        self._worker = Worker(self._segmenter, self._outputs, self._camera_info, self._health,
                              self.get_logger(), lambda: parameters.values(self))
        if self._label_info is not None:
            self._label_info.publish(self._segmenter.label_set)
        self._camera_info.start()
        self._input.start()
        self.get_logger().info(
            f'active: {self._input.topic} -> {self.resolve_topic_name("segmentation/labels")}')

    def _stop_work(self, timeout: float | None = None) -> bool:
        """Undo on_activate's own part; wait for the frame under way, at most `timeout` s."""
        self._input.stop()
        self._camera_info.stop()
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
        if self._outputs is not None:
            self._outputs.destroy()
            self._outputs = None
        if self._label_info is not None:
            self._label_info.destroy()
            self._label_info = None
        if self._segmenter is not None:
            self._segmenter.close()
            self._segmenter = None

    def _receive(self, frame: Frame) -> None:
        worker = self._worker
        if worker is not None:
            worker.offer(frame)

    def _report(self) -> None:
        """Publish diagnostics, and warn about a silent image topic."""
        health = self._health.snapshot()
        situation = self._situation()
        for news in self._mismatches.news(situation.mismatches):
            self.get_logger().warning(f'QoS does not fit: {news}')
        if situation.state == 'active' and 0 < situation.limits.image_timeout < \
                health.seconds_since_image:
            self._warn_of_silence(health.seconds_since_image)
        else:
            self._silence = ('', 0.0)
        self._diagnostics.publish(diagnostics.message(
            self.get_fully_qualified_name(), self.get_clock().now(), situation, health))

    def _warn_of_silence(self, seconds: float) -> None:
        """Warn at once, whenever the reason changes, and every SILENCE_PERIOD."""
        reason = self._input.silence()
        said, when = self._silence
        now = time.monotonic()
        if reason != said or now - when > SILENCE_PERIOD:
            self._silence = (reason, now)
            self.get_logger().warning(
                f'no image on {self._input.topic} for {seconds:.0f} s: {reason}')

    def _situation(self) -> diagnostics.Situation:
        activity, segmenter = self._activity, self._segmenter
        facts = [('model', self._value('model')), ('runtime', self._value('runtime'))]
        untrained = False
        if segmenter is not None:
            height, width = segmenter.input_size
            untrained = segmenter.model.record.random
            facts = [('model', segmenter.model.name), ('runtime', segmenter.runtime.name),
                     ('runtime details', segmenter.runtime.details),
                     ('network input', f'{width} x {height}'),
                     ('labels at', segmenter.labels_at),
                     ('label set', segmenter.label_set.name)]
            if segmenter.grouping is not None:
                facts.append(('grouped from', segmenter.grouping.source.name))
            if self._samples():
                facts.append(('samples per image', str(self._samples())))
        if self._cache_state:
            facts.append(('cache', self._cache_state))
        memory = resident_memory()
        if memory is not None:
            facts.append(('memory (MB)', f'{memory / 1e6:.1f}'))
        facts += [('image topic', self._input.topic),
                  ('image transport', self._input.transport or 'not subscribed'),
                  ('image publishers', str(len(self._input.publishers()))),
                  ('image reliability', self._input.reliability or 'not subscribed')]
        return diagnostics.Situation(
            state=self._state(),
            activity='' if activity is None else progress.current()
            or f'{activity[0]}, {time.monotonic() - activity[1]:.0f} s',
            failure=self._failure or self._input.trouble, untrained=untrained,
            degraded='' if segmenter is None else segmenter.warning,
            mismatches=tuple(self._mismatches.sentences()),
            limits=diagnostics.Limits(**{
                limit.name: self._value(limit.name) for limit in fields(diagnostics.Limits)}),
            facts=tuple(facts))

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
