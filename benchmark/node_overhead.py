# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""What the node costs on top of the network: message in to mask published, over bare Segmenter.

The node runs in its own process over real DDS. This process takes each frame twice, once through
`Segmenter.segment` and once through the node, in turns and never both at a time, so that both see
the same machine. The node reports its own time by monotonic stamps (topic
segmentation/latency/total: receipt of the message to the last mask published); the round trip adds
the transport of frame and mask, as a subscriber sees it.

    python benchmark/node_overhead.py
    python benchmark/node_overhead.py --model fsffnet --frames 100 --json result.json
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
import contextlib
import json
import os
from pathlib import Path
import platform
import statistics
import subprocess
import sys
import threading
import time
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmark.peers import node_command, PROFILE, started  # noqa: E402
from benchmark.spinning import Spinner  # noqa: E402
from segnode.commands.arguments import output_file, STDOUT  # noqa: E402

HEIGHT, WIDTH = 1024, 2048
BAR = 1.10  # most that the node may take, as a multiple of the bare call
WARM_UP = 5  # pairs before measuring
START_TIMEOUT = 180.0  # s for the node to be active; a graph may have to be exported first
FRAME_TIMEOUT = 30.0  # s for one mask


def frames(height: int, width: int, count: int) -> list[np.ndarray]:
    """Return rendered road scenes, uint8 (H, W, 3) BGR."""
    from segnode.road_scene import RoadScene
    scene = RoadScene(height, width)
    return [np.ascontiguousarray(scene.frame(index)[0]) for index in range(count)]


class Bench:
    """The camera and the listener of the node under test."""

    def __init__(self) -> None:
        import rclpy
        from rclpy.qos import QoSProfile
        from sensor_msgs.msg import Image
        from std_msgs.msg import Float32
        rclpy.init()
        self.node = rclpy.create_node('overhead_benchmark')
        self.publisher = self.node.create_publisher(Image, 'image', QoSProfile(depth=5))
        self._news = threading.Condition()
        self._mask_at: float | None = None
        self._total: float | None = None
        self.node.create_subscription(Image, 'segmentation/labels', self._mask, 5)
        self.node.create_subscription(Float32, 'segmentation/latency/total', self._latency, 5)
        self._spinner = Spinner(self.node)
        self._spinner.start()

    def _mask(self, _: Any) -> None:
        with self._news:
            self._mask_at = time.perf_counter()
            self._news.notify()

    def _latency(self, msg: Any) -> None:
        with self._news:
            self._total = msg.data
            self._news.notify()

    def wait_for_node(self, process: subprocess.Popen[bytes]) -> None:
        """Wait until the node has subscribed and its topics are matched."""
        deadline = time.monotonic() + START_TIMEOUT
        while not (self.publisher.get_subscription_count()
                   and self.node.count_publishers('segmentation/latency/total')):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit('error: the node did not become active; see its output above')
            time.sleep(0.1)
        time.sleep(1.0)

    def through_node(self, message: Any) -> tuple[float, float]:
        """Send a frame; return ms by the node's stamps and ms of the round trip."""
        with self._news:
            self._mask_at = self._total = None
        begun = time.perf_counter()
        self.publisher.publish(message)
        with self._news:
            done = self._news.wait_for(
                lambda: self._mask_at is not None and self._total is not None, FRAME_TIMEOUT)
        if not done or self._mask_at is None or self._total is None:
            raise SystemExit(f'error: no mask within {FRAME_TIMEOUT:.0f} s')
        return self._total, 1e3 * (self._mask_at - begun)

    def close(self) -> None:
        """End the thread and ROS."""
        import rclpy
        self._spinner.close()
        self.node.destroy_node()
        rclpy.try_shutdown()


def running_node(
    options: argparse.Namespace,
) -> contextlib.AbstractContextManager[subprocess.Popen[bytes]]:
    """Run the segment node with the same settings as the bare Segmenter."""
    command = node_command(
        model=options.model, runtime=options.runtime, threads=options.threads,
        input_size=f'[{options.input_size[0]},{options.input_size[1]}]',
        allow_random_weights=str(options.allow_random_weights).lower())
    return started(command, os.environ, cwd=ROOT, stdout=sys.stderr)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Return times in ms and the ratios of their medians."""
    from sensor_msgs.msg import Image

    from segnode.ros.image_codec import fill_image
    from segnode.segmenter import Segmenter
    height, width = options.size
    images = frames(height, width, 8)
    size = tuple(options.input_size)
    segmenter = Segmenter.load(
        options.model, runtime=options.runtime, threads=options.threads,
        input_size=None if size == (0, 0) else size,
        allow_random_weights=options.allow_random_weights)
    bare: list[float] = []
    inside: list[float] = []
    trip: list[float] = []
    with running_node(options) as process:
        bench = Bench()
        bench.wait_for_node(process)
        for index in range(WARM_UP + options.frames):
            image = images[index % len(images)]
            message = fill_image(Image(), image, 'bgr8')
            message.header.stamp = bench.node.get_clock().now().to_msg()
            # Either goes first in turn: what one leaves in the caches helps neither more often.
            for through_node in (False, True) if index % 2 else (True, False):
                if through_node:
                    own, whole = bench.through_node(message)
                    inside.append(own)
                    trip.append(whole)
                else:
                    bare.append(timed(segmenter, image))
        bench.close()
    runtime, network = segmenter.runtime.name, segmenter.input_size
    segmenter.close()
    bare, inside, trip = bare[WARM_UP:], inside[WARM_UP:], trip[WARM_UP:]
    median = statistics.median(bare)
    return {
        'benchmark': 'node_overhead', 'frame': list(options.size), 'network_input': list(network),
        'model': segmenter.model.name, 'runtime': runtime, 'threads': options.threads,
        'frames': options.frames, 'bare_ms': spread(bare), 'node_ms': spread(inside),
        'round_trip_ms': spread(trip),
        'ratio_node': statistics.median(inside) / median,
        'ratio_round_trip': statistics.median(trip) / median, 'bar': BAR,
        'machine': {'platform': platform.platform(), 'cores': os.cpu_count(),
                    'python': platform.python_version()}}


def timed(segmenter: Any, image: np.ndarray) -> float:
    """Return the ms of one bare call."""
    begun = time.perf_counter()
    segmenter.segment(image)
    return 1e3 * (time.perf_counter() - begun)


def spread(values: list[float]) -> dict[str, float]:
    """Return median, 5th and 95th percentile, in ms."""
    low, high = np.percentile(values, [5, 95])
    return {'median': round(statistics.median(values), 3), 'p5': round(float(low), 3),
            'p95': round(float(high), 3)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print; exit code 1 when the bar is missed."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or '').split('\n', 1)[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument('--model', default='fsffnet')
    parser.add_argument('--runtime', default='auto')
    parser.add_argument('--threads', type=int, default=0, help='of the runtime; 0 = its choice')
    parser.add_argument('--size', type=int, nargs=2, default=(HEIGHT, WIDTH),
                        metavar=('H', 'W'), help='of the camera frames')
    parser.add_argument('--input-size', type=int, nargs=2, default=(0, 0), metavar=('H', 'W'),
                        help="of the network; 0 0 = the model's own")
    parser.add_argument('--frames', type=int, default=60)
    parser.add_argument('--allow-random-weights', action='store_true')
    parser.add_argument('--json', type=output_file, metavar='FILE',
                        help="write the result there; '-' = stdout")
    options = parser.parse_args(arguments)

    from segnode.ros.private_domain import claimed_domain, local_environment
    from segnode.ros.transport import recommended_environment
    with claimed_domain() as domain:
        os.environ.update(local_environment(domain))
        os.environ.update(recommended_environment(PROFILE))
        result = measure(options)
    told = sys.stderr if options.json == STDOUT else sys.stdout
    for label, name in (('bare Segmenter', 'bare_ms'), ('node, receipt to published', 'node_ms'),
                        ('round trip to a subscriber', 'round_trip_ms')):
        row = result[name]
        print(f'{label:28} median {row["median"]:8.2f} ms  p5 {row["p5"]:8.2f}  '
              f'p95 {row["p95"]:8.2f}', file=told)
    passed = result['ratio_node'] <= BAR
    print(f'node / bare {result["ratio_node"]:.3f} (bar {BAR:.2f}: '
          f'{"met" if passed else "missed"}), round trip / bare '
          f'{result["ratio_round_trip"]:.3f}',
          file=told)
    if options.json:
        text = json.dumps(result, indent=2)
        if options.json == STDOUT:
            print(text)
        else:
            options.json.write_text(text + '\n')
    return 0 if passed else 1


if __name__ == '__main__':
    sys.exit(main())
