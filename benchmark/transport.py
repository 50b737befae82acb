# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""
How many camera frames survive the way from one process to another.

One process publishes 1024x2048 bgr8 images at 15 Hz, another one receives them, and nothing
else happens: what is lost or late here is lost or late in the transport. All of it stays on this
machine, in a ROS domain that no other run has. The rows tell where the Fast DDS profile of
config/fastdds.xml is loaded (neither process, one of them, both) and the reliability of both
ends; a camera driver that was started without config/transport.sh is a `subscriber` row,
whatever the receiving node does.

    python benchmark/transport.py
    python benchmark/transport.py --profile both --reliability best_effort --repeat 5 --json -
"""

import argparse
import array
from collections.abc import Sequence
import contextlib
import json
import math
import os
from pathlib import Path
import platform
import statistics
import subprocess
import sys
import time
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmark.peers import environment, PROFILE, started  # noqa: E402
from segnode.commands.arguments import output_file, STDOUT  # noqa: E402
from segnode.ros.private_domain import claimed_domain  # noqa: E402

PROFILE_SIDES = ('neither', 'publisher', 'subscriber', 'both')
RELIABILITIES = ('best_effort', 'reliable')
TOPIC = 'segnode_transport_benchmark'

MATCH_TIMEOUT = 20.0  # s to discover the other side
SETTLE = 0.5          # s between discovery and the first frame, for the other side to match too
DRAIN = 2.0           # s after the last frame for reliable repairs to arrive


# --------------------------------------------------------------------------- one row, two ends

def _qos(reliability: str, depth: int) -> Any:
    from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
    policy = {'reliable': ReliabilityPolicy.RELIABLE,
              'best_effort': ReliabilityPolicy.BEST_EFFORT}[reliability]
    return QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=depth, reliability=policy)


def _wait(condition: Any, node: Any, timeout: float) -> bool:
    """Spin until the condition holds; False when it never did."""
    import rclpy
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        rclpy.spin_once(node, timeout_sec=0.05)
    return True


def publish(options: argparse.Namespace) -> int:
    """Publish the frames at the rate; print how long each publish call took, as JSON."""
    import rclpy
    from sensor_msgs.msg import Image
    rclpy.init()
    node = rclpy.create_node('transport_benchmark_publisher')
    publisher = node.create_publisher(
        Image, TOPIC, _qos(options.reliability, options.publisher_depth))
    message = Image()
    message.height, message.width = options.height, options.width
    message.encoding, message.step = 'bgr8', options.width * 3
    pixels = array.array('B')
    pixels.frombytes(os.urandom(message.step) * options.height)
    message.data = pixels
    durations: list[float] = []
    matched = _wait(lambda: publisher.get_subscription_count() > 0, node, MATCH_TIMEOUT)
    if matched:
        time.sleep(SETTLE)
        start = time.monotonic()
        for index in range(options.frames):
            time.sleep(max(0.0, start + index / options.rate - time.monotonic()))
            # CLOCK_MONOTONIC is one clock for all processes of the machine and never jumps.
            now = time.monotonic_ns()
            message.header.stamp.sec, message.header.stamp.nanosec = divmod(now, 1_000_000_000)
            message.header.frame_id = str(index)
            publisher.publish(message)
            durations.append((time.monotonic_ns() - now) / 1e6)
        time.sleep(DRAIN)
    print(json.dumps({'matched': matched, 'publish_ms': durations}), flush=True)
    node.destroy_node()
    rclpy.shutdown()
    return 0


def subscribe(options: argparse.Namespace) -> int:
    """Receive until standard input closes; print index and latency of each frame, as JSON."""
    import rclpy
    from sensor_msgs.msg import Image
    rclpy.init()
    node = rclpy.create_node('transport_benchmark_subscriber')
    frames: list[int] = []
    latencies: list[float] = []
    damaged = 0

    def received(message: Any) -> None:
        nonlocal damaged
        now = time.monotonic_ns()
        stamp = message.header.stamp
        latencies.append((now - stamp.sec * 1_000_000_000 - stamp.nanosec) / 1e6)
        frames.append(int(message.header.frame_id))
        if len(message.data) != message.step * message.height:
            damaged += 1

    node.create_subscription(
        Image, TOPIC, received, _qos(options.reliability, options.subscriber_depth))
    os.set_blocking(sys.stdin.fileno(), False)
    while sys.stdin.buffer.read(1) != b'':  # None: still open; b'': the parent is done (or dead)
        rclpy.spin_once(node, timeout_sec=0.1)
    print(json.dumps({'frames': frames, 'latency_ms': latencies, 'damaged': damaged}), flush=True)
    node.destroy_node()
    rclpy.shutdown()
    return 0


# ------------------------------------------------------------------------------- all the rows

def _end(role: str, options: argparse.Namespace, row: dict[str, Any], domain: int,
         profile: Path | None) -> 'contextlib.AbstractContextManager[subprocess.Popen[bytes]]':
    """Start one end as a process of its own and never leave it behind."""
    command = [
        sys.executable, str(Path(__file__).resolve()), '--role', role,
        '--reliability', row['reliability'], '--frames', str(options.frames),
        '--rate', str(options.rate), '--height', str(options.height),
        '--width', str(options.width),
        '--publisher-depth', str(options.publisher_depth),
        '--subscriber-depth', str(options.subscriber_depth)]
    return started(command, environment(domain, profile),
                   stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def _percentile(values: Sequence[float], fraction: float) -> float:
    """Return the nearest-rank percentile."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(fraction * len(ordered)) - 1)]


def measure(options: argparse.Namespace, row: dict[str, Any], domain: int) -> dict[str, Any]:
    """
    Run one row and return it with its numbers.

    Keys added: received (distinct whole frames), frames, median_ms and p95_ms (from before
    `publish` to the callback; None when nothing arrived), publish_ms (median), error or None.
    """
    profile = options.profile_file.resolve()
    sides = row['profile']
    limit = MATCH_TIMEOUT + SETTLE + DRAIN + options.frames / options.rate * 3 + 20.0
    result = dict(row, frames=options.frames, received=0, median_ms=None, p95_ms=None,
                  publish_ms=None, error=None)
    with _end('subscriber', options, row, domain,
              profile if sides in ('subscriber', 'both') else None) as subscriber, \
            _end('publisher', options, row, domain,
                 profile if sides in ('publisher', 'both') else None) as publisher:
        try:
            sent, _ = publisher.communicate(timeout=limit)
            got, _ = subscriber.communicate(timeout=20.0)
            # The last line is ours; Fast DDS writes its own errors to standard output too.
            sent, got = (json.loads(text.splitlines()[-1]) for text in (sent, got))
        except (subprocess.TimeoutExpired, ValueError, IndexError) as error:
            return dict(result, error=f'a process did not answer: {type(error).__name__}')
    if not sent['matched']:
        return dict(result, error='the two processes did not discover each other')
    if sent['publish_ms']:
        result['publish_ms'] = round(statistics.median(sent['publish_ms']), 1)
    if got['latency_ms']:
        result['median_ms'] = round(statistics.median(got['latency_ms']), 1)
        result['p95_ms'] = round(_percentile(got['latency_ms'], 0.95), 1)
    return dict(result, received=len(set(got['frames'])) - got['damaged'])


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return the rows as a table in Markdown."""
    lines = ['| profile loaded by | reliability | frames received | median ms | p95 ms |',
             '|---|---|---|---|---|']
    for row in rows:
        median, p95 = ('-' if row[name] is None else f'{row[name]:.1f}'
                       for name in ('median_ms', 'p95_ms'))
        note = f' ({row["error"]})' if row['error'] else ''
        lines.append(f'| {row["profile"]} | {row["reliability"].replace("_", " ")} '
                     f'| {row["received"]} of {row["frames"]}{note} | {median} | {p95} |')
    return '\n'.join(lines)


def argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description='Frames received and latency of camera images between two processes, with '
                    'and without the Fast DDS profile.')
    parser.add_argument('--frames', type=int, default=60, help='frames per row (60)')
    parser.add_argument('--rate', type=float, default=15.0, help='frames per second (15)')
    parser.add_argument('--height', type=int, default=1024, help='image height (1024)')
    parser.add_argument('--width', type=int, default=2048, help='image width (2048)')
    parser.add_argument('--publisher-depth', type=int, default=10,
                        help='history depth of the publisher (10, what most publishers have)')
    parser.add_argument('--subscriber-depth', type=int, default=10,
                        help='history depth of the subscriber (10)')
    parser.add_argument('--profile', nargs='+', choices=PROFILE_SIDES, default=PROFILE_SIDES,
                        help='which processes load the profile: these rows only')
    parser.add_argument('--reliability', nargs='+', choices=RELIABILITIES, default=RELIABILITIES,
                        help='these rows only')
    parser.add_argument('--repeat', type=int, default=1, help='run all rows this many times (1)')
    parser.add_argument('--profile-file', type=Path, default=PROFILE, help='the Fast DDS profile')
    parser.add_argument('--json', type=output_file, metavar='FILE',
                        help="write the rows as JSON ('-': instead of the table)")
    parser.add_argument('--role', choices=('publisher', 'subscriber'), help=argparse.SUPPRESS)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one end (--role) or all rows."""
    options = argument_parser().parse_args(arguments)
    if options.role:
        options.reliability = options.reliability[0]
        return {'publisher': publish, 'subscriber': subscribe}[options.role](options)
    if not options.profile_file.is_file():
        print(f'error: no such profile: {options.profile_file}', file=sys.stderr)
        return 1
    wanted = [{'profile': profile, 'reliability': reliability}
              for profile in options.profile for reliability in options.reliability]
    rows = []
    with claimed_domain() as domain:
        for row in wanted * options.repeat:
            rows.append(measure(options, row, domain))
            print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    record = {
        'what': f'{options.width}x{options.height} bgr8 at {options.rate:g} Hz, two processes, '
                f'localhost, depth {options.publisher_depth} and {options.subscriber_depth}',
        'machine': f'{platform.machine()}, {os.cpu_count()} cores, {platform.system()} '
                   f'{platform.release()}',
        'load_average': os.getloadavg()[0],
        'rows': rows,
    }
    if options.json == STDOUT:
        print(json.dumps(record, indent=2))
        return 0
    print(f'{record["what"]}\n\n{table(rows)}')
    if options.json:
        options.json.write_text(json.dumps(record, indent=2) + '\n', encoding='utf-8')
    return 0


if __name__ == '__main__':
    sys.exit(main())
