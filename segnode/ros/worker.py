# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The thread that turns the newest frames into masks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
import contextlib
from dataclasses import dataclass
import threading
import time
from typing import Any

import numpy as np
from rclpy.impl.rcutils_logger import RcutilsLogger
from sensor_msgs.msg import CompressedImage

from segnode.ros.channel import Channel
from segnode.ros.frame_mailbox import Mailbox
from segnode.ros.health import FAILED, RATE_LIMIT, REPLACED, UNDECODABLE, UNWANTED
from segnode.ros.image_codec import decode_compressed, decode_image, DecodeError
from segnode.ros.inputs import Frame
from segnode.ros.loaded_model import LoadedModel
from segnode.ros.log_bridge import throttled
from segnode.ros.outputs import Outputs, Result
from segnode.ros.serving import Serving
from segnode.segmenter import Fitted, Segmentation, Segmenter

# Seconds between two warnings of one kind.
THROTTLE = 5.0


@dataclass(frozen=True)
class _Job:
    """A frame that is worked on."""

    channel: Channel
    outputs: Outputs
    frame: Frame
    wanted: tuple[str, ...]
    image: np.ndarray
    fitted: Fitted
    wait_ms: float
    decode_ms: float


class Worker:
    """Takes the newest frame of each camera that has one, all together, until stopped.

    None is waited for: a camera that is slow or gone costs the others nothing.
    """

    def __init__(self, serving: Serving, logger: RcutilsLogger,
                 settings: Callable[[], dict[str, Any]]) -> None:
        """Start the thread.

        Args:
            serving: gives the model that the images go through.
            logger: of the node.
            settings: gives the parameters that act on the next images; asked before each run.
        """
        self.runs = 0  # of the network
        self.images = 0  # that went through it
        self._serving = serving
        self._logger = logger
        self._settings = settings
        self._mailbox: Mailbox[Channel, Frame] = Mailbox()
        self._thread = threading.Thread(target=self._loop, name='worker', daemon=True)
        self._thread.start()

    def offer(self, channel: Channel, frame: Frame) -> None:
        """Leave a frame to work on; one of this camera that still waits is given up for it."""
        channel.health.image_received(frame.transport_ms)
        if self._mailbox.put(channel, frame):
            channel.health.dropped(REPLACED)

    def stop(self, timeout: float) -> bool:
        """Take no more frames; return True once the thread ended, False after `timeout` s."""
        self._mailbox.close()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _loop(self) -> None:
        while not self._mailbox.closed:
            frames = self._mailbox.take()
            if frames:
                with self._serving.in_use() as model:
                    self._work(model, frames)

    def _work(self, model: LoadedModel, frames: dict[Channel, Frame]) -> None:
        begun = time.monotonic()
        # The model's own values are those that it was made with, whatever is asked for by now.
        settings = {**self._settings(), **model.values}
        jobs = []
        for channel, frame in frames.items():
            with self._surviving(channel):
                job = self._prepared(model, channel, frame, settings, begun)
                if job is not None:
                    jobs.append(job)
        for job, found, run_ms in self._segmented(model.segmenter, jobs):
            with self._surviving(job.channel):
                self._publish(model, job, found, run_ms, settings)

    @contextlib.contextmanager
    def _surviving(self, *channels: Channel) -> Iterator[None]:
        """Count and tell what goes wrong with frames of these cameras, and go on.

        Whatever one frame does to the network or to a library, the next may be fine; and a
        SystemExit of a library would end this thread without a word.
        """
        try:
            yield
        except DecodeError as error:
            for channel in channels:
                channel.health.dropped(UNDECODABLE, str(error))
                self._logger.warning(
                    f'{channel.an_image()} was skipped: {error}', **throttled(THROTTLE))
        except BaseException as error:
            if self._mailbox.closed:
                return  # the node is being taken down around these frames
            said = f'{type(error).__name__}: {error}'
            for channel in channels:
                channel.health.dropped(FAILED, said)
                self._logger.error(
                    f'{channel.an_image()} could not be segmented and was skipped: {said}',
                    **throttled(THROTTLE))

    @staticmethod
    def _prepared(model: LoadedModel, channel: Channel, frame: Frame, settings: dict[str, Any],
                  begun: float) -> _Job | None:
        """Decode a frame and fit it to the network; None, and it is counted, of no use."""
        outputs = channel.outputs
        assert outputs is not None
        if not channel.rate_limit.passes(frame.received, settings['max_rate']):
            channel.health.dropped(RATE_LIMIT)
            return None
        wanted = outputs.wanted(settings)
        if not wanted:
            channel.health.dropped(UNWANTED)
            return None
        channel.health.frame_started()
        started = time.monotonic()
        compressed = isinstance(frame.msg, CompressedImage)
        decode = decode_compressed if compressed else decode_image
        image = decode(frame.msg, settings['image_bits'])
        decoded = time.monotonic()
        fitted = model.segmenter.fitted(image, model.views[channel.name])
        return _Job(channel, outputs, frame, wanted, image, fitted,
                    1e3 * (begun - frame.received), 1e3 * (decoded - started))

    def _segmented(self, segmenter: Segmenter, jobs: list[_Job]
                   ) -> list[tuple[_Job, Segmentation, float]]:
        """Return with each job what was found, and the milliseconds of the run that it was in."""
        if not jobs:
            return []
        started = time.monotonic()
        try:
            found = segmenter.run([job.fitted for job in jobs])
        except BaseException:
            if len(jobs) > 1 and not self._mailbox.closed:
                # One image may be the reason, and which one nobody says: each for itself.
                return [one for job in jobs for one in self._segmented(segmenter, [job])]
            with self._surviving(*(job.channel for job in jobs)):
                raise
            return []
        milliseconds = 1e3 * (time.monotonic() - started)
        self.runs += 1
        self.images += len(jobs)
        return [(job, one, milliseconds) for job, one in zip(jobs, found)]

    @staticmethod
    def _publish(model: LoadedModel, job: _Job, found: Segmentation, run_ms: float,
                 settings: dict[str, Any]) -> None:
        started = time.monotonic()
        labels = found.labels_above(settings['min_confidence'])
        result = Result(
            job.image, labels, found.confidence, model.segmenter.label_set, settings,
            found.uncertainty)
        header, channel = job.frame.msg.header, job.channel
        served = job.outputs.publish(
            job.wanted, header, result, channel.camera_info.beside(header, labels.shape))
        published = time.monotonic()
        stages = {
            'wait': job.wait_ms,
            'decode': job.decode_ms,
            'run': job.fitted.milliseconds + run_ms,
            'publish': 1e3 * (published - started),
            'total': 1e3 * (published - job.frame.received),
        }
        if job.frame.transport_ms is not None:
            stages['transport'] = job.frame.transport_ms
        channel.health.frame_published(stages, served)
        job.outputs.publish_latency(job.wanted, stages)
