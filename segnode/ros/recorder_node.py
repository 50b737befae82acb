# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Node `recorder`: writes image, colour mask and overlay side by side, and a table of the run."""

from __future__ import annotations

from functools import partial
import json
from pathlib import Path
import sys
import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import Float32, UInt32

from segnode.errors import SegnodeError
from segnode.files import check_writable, write_result
from segnode.ros.image_codec import decode_image, DecodeError
from segnode.ros.log_bridge import throttled
from segnode.ros.own_parameters import declare_all, RECORDER
from segnode.ros.own_process import run
from segnode.ros.pairing import Pairing
from segnode.ros.player_node import END_TOPIC
from segnode.ros.run_report import RunReport
from segnode.ros.side_by_side import Album
from segnode.ros.topics import LATENCY_STAGES

PICTURES = {'image': 'image', 'color': 'segmentation/color', 'overlay': 'segmentation/overlay'}
FACTS_SECONDS = 5.0  # for which the node's diagnostics, sent once a second, are believed
RELIABLE = QoSProfile(depth=50, reliability=ReliabilityPolicy.RELIABLE)
LATCHED = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE,
                     durability=DurabilityPolicy.TRANSIENT_LOCAL)


class RecorderNode(Node):
    """Pairs the pictures of a frame by their exact stamp; ends when the player has ended."""

    def __init__(self, **options: Any) -> None:
        super().__init__('recorder', **options)
        own = declare_all(self, RECORDER)
        self._folder = Path(own['out']).expanduser()
        try:
            self._album = Album(self._folder)
        except OSError as error:
            raise SegnodeError(f'cannot write to {self._folder}: {error}') from error
        self._table, self._numbers = self._folder / 'table.txt', self._folder / 'run.json'
        for file in (self._table, self._numbers):
            check_writable(file)
        self._settle = own['settle']
        self._progress = own['progress']
        self._pairing = Pairing(tuple(PICTURES))
        self._last_news = self._facts_at = time.monotonic()
        self._ended = False
        self.report = RunReport()
        self.finished = False
        self._made_of_images = [
            self.create_subscription(
                Image, topic, partial(self._picture, part), RELIABLE).topic_name
            for part, topic in PICTURES.items() if part != 'image'
        ]
        self.create_subscription(Image, 'segmentation/labels', self._labels, RELIABLE)
        for stage in LATENCY_STAGES:
            self.create_subscription(Float32, f'segmentation/latency/{stage}',
                                     partial(self._latency, stage), RELIABLE)
        self.create_subscription(DiagnosticArray, '/diagnostics', self._diagnostics, 10)
        self.create_subscription(UInt32, END_TOPIC, self._player_ended, LATCHED)
        # The steady clock: with use_sim_time and no /clock the recorder must still end.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(0.1, self._check_end, clock=steady)
        self._waiting = self.create_timer(0.05, self._wait_for_masks, clock=steady)
        self.get_logger().info(f'recording to {self._folder}')

    def _wait_for_masks(self) -> None:
        """Subscribe to the images once somebody publishes what is made of them.

        A player that waits for its subscribers begins then: of frames that come before node and
        recorder know each other no mask would be published.
        """
        if all(self.count_publishers(topic) for topic in self._made_of_images):
            self._waiting.cancel()
            self.create_subscription(
                Image, PICTURES['image'], partial(self._picture, 'image'), RELIABLE)

    def _picture(self, part: str, message: Image) -> None:
        self._last_news = time.monotonic()
        stamp = (message.header.stamp.sec, message.header.stamp.nanosec)
        if part == 'image':
            self.report.image_received(stamp[0] + stamp[1] * 1e-9)
        try:
            panels = self._pairing.add(stamp, part, decode_image(message))
        except DecodeError as error:
            self.get_logger().warning(f'{PICTURES.get(part, part)}: {error}', **throttled(5.0))
            return
        if panels is None:
            return
        self._album.add(stamp[0] + stamp[1] * 1e-9, **panels)
        self.report.frames_recorded += 1
        if self._progress:
            print(f'recorded {self.report.frames_recorded}', flush=True)

    def _labels(self, message: Image) -> None:
        self._last_news = time.monotonic()
        self.report.mask_received(message.width, message.height)

    def _latency(self, stage: str, message: Float32) -> None:
        self.report.latency[stage].append(message.data)

    def _diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name.endswith('segmentation'):
                self._facts_at = time.monotonic()
                self.report.facts = {pair.key: pair.value for pair in status.values}

    def _player_ended(self, message: UInt32) -> None:
        self._last_news = time.monotonic()
        self.report.frames_played = message.data
        self._ended = True

    def _check_end(self) -> None:
        if not self._ended:
            return
        idle = time.monotonic() - self._last_news
        believed = time.monotonic() - self._facts_at < FACTS_SECONDS
        self.finished = idle > self.report.patience(self._settle, believed)

    def close(self) -> None:
        """Write table and pictures; the table is printed, too, whatever can be written.

        Raises:
            SegnodeError: a file cannot be written, such as on a full disk.
        """
        print(f'\n{self.report.table()}', flush=True)
        written: list[Path] = []
        failure: SegnodeError | None = None
        for write in (self._album.close, self._write_table, self._write_numbers):
            try:
                written += write()
            except SegnodeError as error:  # what comes after it may still find room
                failure = failure or error
        if written:
            print('written: ' + ', '.join(map(str, written)), flush=True)
        if failure is not None:
            raise failure

    def _write_table(self) -> list[Path]:
        write_result(self._table, self.report.table())
        return [self._table]

    def _write_numbers(self) -> list[Path]:
        write_result(self._numbers, json.dumps(self.report.to_dict(), indent=2) + '\n')
        return [self._numbers]


def main(args: list[str] | None = None) -> int:
    """Record until the player's end, SIGINT or SIGTERM; return the exit code."""
    return run(RecorderNode, args, RECORDER)


if __name__ == '__main__':
    sys.exit(main())
