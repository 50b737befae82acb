# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""What the segment node has for each of its cameras: topics in and out, and its books."""

from __future__ import annotations

from collections.abc import Callable
import time
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.lifecycle import LifecycleNode

from segnode.ros import node_parameters
from segnode.ros.camera_info import CameraInfoRelay
from segnode.ros.diagnostics import Camera
from segnode.ros.health import Health
from segnode.ros.inputs import Frame, ImageInput
from segnode.ros.label_info import LabelInfoPublisher
from segnode.ros.loaded_model import LoadedModel
from segnode.ros.outputs import Outputs
from segnode.ros.qos_mismatch import QosMismatches
from segnode.ros.rate_limit import RateLimit

# Seconds between two equal warnings about a silent topic.
SILENCE_PERIOD = 30.0


class Channel:
    """One camera: its inputs exist as long as the node, its outputs while that is configured."""

    def __init__(self, node: LifecycleNode, name: str,
                 on_frame: Callable[[Channel, Frame], None], *, group: CallbackGroup,
                 mismatches: QosMismatches) -> None:
        """Declare the QoS parameters; nothing is received before start().

        Args:
            node: the owner; its parameters are declared.
            name: of the camera, with which all its topics begin; '' where there is but one.
            on_frame: called in the executor's thread with each image.
            group: callback group of the subscriptions; mutually exclusive.
            mismatches: learns of peers whose QoS does not fit.

        Raises:
            SegnodeError: a qos_overrides parameter has a value that there is not.
        """
        self.name = name
        self.health = Health()
        self.rate_limit = RateLimit()
        self.outputs: Outputs | None = None
        self._node = node
        self._prefix = f'{name}/' if name else ''
        self._mismatches = mismatches
        self._label_info: LabelInfoPublisher | None = None
        self._active = False
        self._silence = ('', 0.0)  # what was last said about a silent topic, and when
        self._input = ImageInput(
            node, f'{self._prefix}image', lambda frame: on_frame(self, frame),
            needed=self._needs_images, on_rest=self._rest,
            transport=self._value('input_transport'),
            reliability=self._value('image_reliability'), group=group, mismatches=mismatches)
        self.camera_info = CameraInfoRelay(
            node, group, f'{self._prefix}camera_info', f'{self._prefix}image')

    @property
    def route(self) -> str:
        """Return where images come from and where masks go to."""
        labels = self._node.resolve_topic_name(f'{self._prefix}segmentation/labels')
        return f'{self._input.topic} -> {labels}'

    def an_image(self) -> str:
        """Return what to call an image of this camera in a message."""
        return f'an image of {self.name}' if self.name else 'an image'

    def configure(self, model: LoadedModel) -> None:
        """Create the publishers of what the model gives; undone by free().

        Raises:
            SegnodeError: a qos_overrides parameter has a value that there is not.
        """
        self.outputs = Outputs(
            self._node, self._prefix, confidence=model.shows_confidence,
            uncertainty=model.shows_uncertainty, mismatches=self._mismatches)
        self._label_info = LabelInfoPublisher(self._node, self._prefix)

    def change(self, model: LoadedModel) -> None:
        """Publish what another model gives from now on.

        Raises:
            SegnodeError: as configure().
        """
        assert self.outputs is not None
        self.outputs.change(
            confidence=model.shows_confidence, uncertainty=model.shows_uncertainty,
            active=self._active)

    def free(self) -> None:
        """Take the publishers away."""
        if self.outputs is not None:
            self.outputs.destroy()
            self.outputs = None
        if self._label_info is not None:
            self._label_info.destroy()
            self._label_info = None

    def prepare(self) -> None:
        """Begin the books anew; nothing is received yet."""
        self._active = True
        self.health.restart()
        self.rate_limit = RateLimit()

    def say_labels(self, model: LoadedModel) -> None:
        """Publish the names of the classes."""
        if self._label_info is not None:
            self._label_info.publish(
                model.segmenter.label_set, float(model.values['min_confidence']))

    def start(self) -> None:
        """Receive; undone by stop().

        Raises:
            SegnodeError: there can be no such subscription.
        """
        self._input.start()  # has _rest() start the calibration where images are needed

    def stop(self) -> None:
        """Receive nothing more."""
        self._active = False
        self._input.stop()
        self.camera_info.stop()

    def watch(self, timeout: float) -> None:
        """Warn of a silent topic: at once, whenever the reason changes, every SILENCE_PERIOD.

        While nobody needs images there is no silence.

        Args:
            timeout: seconds without an image that are silence; 0 = none are.
        """
        seconds = 0.0 if self.health.resting else self.health.seconds_since_image
        if not 0 < timeout < seconds:
            self._silence = ('', 0.0)
            return
        reason = self._input.silence()
        said, when = self._silence
        now = time.monotonic()
        if reason != said or now - when > SILENCE_PERIOD:
            self._silence = (reason, now)
            whose = f' from camera {self.name}' if self.name else ''
            self._node.get_logger().warning(
                f'no image{whose} on {self._input.topic} for {seconds:.0f} s: {reason}')

    def report(self) -> Camera:
        """Return what the diagnostics say of this camera."""
        return Camera(self.name, self.health.snapshot(), self._input.trouble, (
            ('image topic', self._input.topic),
            ('image transport', self._input.transport or 'not subscribed'),
            ('image publishers', str(len(self._input.publishers()))),
            ('image reliability', self._input.reliability or 'not subscribed'),
            ('calibration', ('from ' if self.camera_info.known else 'none yet on ')
             + self.camera_info.topic)))

    def _rest(self, resting: bool) -> None:
        self.health.rest(resting)
        # A driver may go on for the subscribers of its calibration alone.
        if resting:
            self.camera_info.stop()
        else:
            self.camera_info.start()

    def _needs_images(self) -> bool:
        if not self._value('lazy'):
            return True
        outputs = self.outputs
        return outputs is not None and bool(
            outputs.wanted(node_parameters.live_values(self._node)))

    def _value(self, name: str) -> Any:
        return self._node.get_parameter(name).value
