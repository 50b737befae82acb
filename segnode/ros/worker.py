# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The thread that turns the newest frame into masks."""

from __future__ import annotations

from collections.abc import Callable
import threading
import time
from typing import Any

from rclpy.impl.rcutils_logger import RcutilsLogger
from sensor_msgs.msg import CompressedImage

from segnode.ros.camera_info import CameraInfoRelay
from segnode.ros.frame_mailbox import Mailbox
from segnode.ros.health import FAILED, Health, RATE_LIMIT, REPLACED, UNDECODABLE, UNWANTED
from segnode.ros.image_codec import decode_compressed, decode_image, DecodeError
from segnode.ros.inputs import Frame
from segnode.ros.log_bridge import throttled
from segnode.ros.outputs import Outputs, Result
from segnode.ros.rate_limit import RateLimit
from segnode.segmenter import Segmenter

# Seconds between two warnings of one kind.
THROTTLE = 5.0


class Worker:
    """Takes frames from a mailbox and publishes masks, one at a time, until stopped."""

    def __init__(self, segmenter: Segmenter, outputs: Outputs, camera_info: CameraInfoRelay,
                 health: Health, logger: RcutilsLogger,
                 settings: Callable[[], dict[str, Any]]) -> None:
        """Start the thread.

        Args:
            segmenter: the network.
            outputs: where the masks go.
            camera_info: what goes beside them.
            health: is told of everything that happens.
            logger: of the node.
            settings: gives the parameters as they stand; asked once per frame.
        """
        self._segmenter = segmenter
        self._outputs = outputs
        self._camera_info = camera_info
        self._health = health
        self._logger = logger
        self._settings = settings
        self._mailbox: Mailbox[Frame] = Mailbox()
        self._rate_limit = RateLimit()
        self._thread = threading.Thread(target=self._loop, name='worker', daemon=True)
        self._thread.start()

    def offer(self, frame: Frame) -> None:
        """Leave a frame to work on; one that still waits is given up for it."""
        self._health.image_received(frame.transport_ms)
        if self._mailbox.put(frame):
            self._health.dropped(REPLACED)

    def stop(self, timeout: float) -> bool:
        """Take no more frames; return True once the thread ended, False after `timeout` s."""
        self._mailbox.close()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _loop(self) -> None:
        while not self._mailbox.closed:
            frame = self._mailbox.take()
            if frame is None:
                continue
            try:
                self._work(frame)
            except DecodeError as error:
                self._health.dropped(UNDECODABLE, str(error))
                self._logger.warning(f'an image was skipped: {error}', **throttled(THROTTLE))
            # Whatever one frame does to the network or to a library, the next may be fine; and a
            # SystemExit of a library would end this thread without a word.
            except BaseException as error:
                if self._mailbox.closed:
                    return  # the node is being taken down around this frame
                said = f'{type(error).__name__}: {error}'
                self._health.dropped(FAILED, said)
                self._logger.error(
                    f'an image could not be segmented and was skipped: {said}',
                    **throttled(THROTTLE))

    def _work(self, frame: Frame) -> None:
        begun = time.monotonic()
        settings = self._settings()
        if not self._rate_limit.passes(frame.received, settings['max_rate']):
            self._health.dropped(RATE_LIMIT)
            return
        wanted = self._outputs.wanted(settings)
        if not wanted:
            self._health.dropped(UNWANTED)
            return
        self._health.frame_started()
        compressed = isinstance(frame.msg, CompressedImage)
        decode = decode_compressed if compressed else decode_image
        image = decode(frame.msg, settings['image_bits'])
        decoded = time.monotonic()
        found = self._segmenter.segment(image)
        ran = time.monotonic()
        result = Result(
            image, found.labels, found.confidence, self._segmenter.label_set, settings,
            found.uncertainty)
        header = frame.msg.header
        served = self._outputs.publish(
            wanted, header, result, self._camera_info.beside(header, found.labels.shape))
        published = time.monotonic()
        stages = {
            'wait': 1e3 * (begun - frame.received),
            'decode': 1e3 * (decoded - begun),
            'run': 1e3 * (ran - decoded),
            'publish': 1e3 * (published - ran),
            'total': 1e3 * (published - frame.received),
        }
        if frame.transport_ms is not None:
            stages['transport'] = frame.transport_ms
        self._health.frame_published(stages, served)
        self._outputs.publish_latency(wanted, stages)
