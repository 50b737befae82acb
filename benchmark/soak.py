# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Whether the node can be left alone: its memory, files and threads over hours of a busy life.

The node runs in its own process over real DDS. This process is its camera, its listeners and its
operator: images of several sizes and encodings at a fixed rate, now and then one that is broken;
listeners that come and go; parameters that change; a camera that is replaced by one of another
reliability; and, more rarely, the lifecycle once down and up again, at times with a new model
loaded. A leak is what stays when nothing is loaded: the slope of a line through the samples taken
between unloading a model and loading the next one. Those taken at work go up and down with what
listeners and parameters ask for at the time, by 30 MB in minutes, so that a line through an hour
of them has a slope of 10 MB/h either way by chance.

    python benchmark/soak.py                            an hour
    python benchmark/soak.py --seconds 36000 --json soak.json
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
import contextlib
from dataclasses import asdict, dataclass, field
import json
import os
from pathlib import Path
import platform
import random
import signal
import subprocess
import sys
import tempfile
import time
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
PROFILE = ROOT / 'config' / 'fastdds.xml'
sys.path.insert(0, str(ROOT))

from benchmark.spinning import Spinner  # noqa: E402
from segnode.commands.arguments import output_file, STDOUT  # noqa: E402

SECONDS, RATE = 3600.0, 15.0
SIZES = ((360, 480), (240, 320), (720, 1280), (97, 131))
ENCODINGS = {'bgr8': 3, 'rgb8': 3, 'mono8': 1, 'bayer_rggb8': 1, 'yuyv': 2, 'mono16': 2}
BROKEN_EVERY = 40  # images
EVENT_EVERY = 3.0  # s
LIFECYCLE_EVERY = 20  # events; every third of them loads the model anew
RELOADS_BEFORE = 2  # of the model, before the run
SAMPLE_EVERY = 1.0  # s
WARM_UP = 0.1  # of the whole: allocators and caches settle meanwhile
START_TIMEOUT = 180.0  # s
LEAST_AT_REST = 8  # samples, below which their slope says nothing
REST_PARTS = 3  # of them: few, and by what was loaded last they differ by 15 MB
# The bar: slope of the memory at rest over a long run, and what else may grow in any.
LONG = 3000.0  # s
MOST_MB_PER_HOUR, MOST_MB, MOST_FILES, MOST_THREADS = 10.0, 15.0, 3, 3
# In a short run, whose allocators still settle.
MOST_MB_SHORT = 45.0
CONFIGURE, CLEANUP, ACTIVATE, DEACTIVATE = 1, 2, 3, 4  # lifecycle_msgs/msg/Transition


@dataclass
class Sample:
    """What the node's process holds at one moment."""

    seconds: float  # since the start of the run
    megabytes: float  # resident
    files: int
    threads: int
    cpu_seconds: float


@dataclass
class Run:
    """What one run gave."""

    seconds: float = 0.0
    images: int = 0
    broken: int = 0
    masks: int = 0
    events: Counter[str] = field(default_factory=Counter)
    frames: Counter[str] = field(default_factory=Counter)  # the node's own books
    samples: list[Sample] = field(default_factory=list)
    at_rest: list[Sample] = field(default_factory=list)  # no model loaded
    exit_code: int | None = None
    exit_seconds: float = 0.0
    tracebacks: int = 0
    first_traceback: str = ''


def sample(pid: int, begun: float) -> Sample:
    """Return what a process holds now (Linux)."""
    folder = Path(f'/proc/{pid}')
    fields = (folder / 'stat').read_text().rpartition(')')[2].split()
    resident = int((folder / 'statm').read_text().split()[1]) * os.sysconf('SC_PAGE_SIZE')
    return Sample(
        round(time.monotonic() - begun, 1), round(resident / 1e6, 2),
        len(list((folder / 'fd').iterdir())), int(fields[17]),
        (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK'))


def images() -> Iterator[tuple[str, int, int, bytes]]:
    """Give encoding, height, width and data of images, round and round."""
    noise = np.random.default_rng(0).integers(0, 256, 8 << 20, np.uint8).tobytes()
    while True:
        for height, width in SIZES:
            for encoding, channels in ENCODINGS.items():
                even = width // 2 * 2
                yield encoding, height, even, noise[:height * even * channels]


class Driver:
    """Camera, listeners and operator of the node."""

    def __init__(self, run: Run, rate: float, event_every: float) -> None:
        import rclpy
        rclpy.init()
        self.node = rclpy.create_node('soak')
        self._run, self._period, self._event_every = run, 1.0 / rate, event_every
        self._images = images()
        self._random = random.Random(0)
        self._reliable = True
        self._camera: Any = None
        self._listeners: dict[str, Any] = {}
        self._books: dict[str, int] = {}
        self._events = 0
        self._rest: Callable[[], None] = lambda: None
        self._replace_camera()
        self._spinner = Spinner(self.node)

    def start(self) -> None:
        """Subscribe to what stays, and begin to spin."""
        from diagnostic_msgs.msg import DiagnosticArray
        from sensor_msgs.msg import Image
        self.node.create_subscription(Image, 'segmentation/labels', self._mask, 10)
        self.node.create_subscription(DiagnosticArray, '/diagnostics', self._diagnostics, 10)
        self._spinner.start()
        deadline = time.monotonic() + START_TIMEOUT
        while not self._camera.get_subscription_count():
            if time.monotonic() > deadline:
                raise SystemExit('error: the node did not become active')
            time.sleep(0.1)

    def close(self) -> None:
        """End the thread and ROS."""
        import rclpy
        self._spinner.close()
        self.node.destroy_node()
        rclpy.try_shutdown()

    def load_anew(self) -> None:
        """Load the model anew, for the first times: the allocator keeps room for two then."""
        for _ in range(RELOADS_BEFORE):
            for step in (DEACTIVATE, CLEANUP, CONFIGURE, ACTIVATE):
                if not self._change(step):
                    raise SystemExit(f'error: transition {step} failed')

    def drive(self, pid: int, seconds: float) -> None:
        """Send images, and let things happen, for so long."""
        begun = time.monotonic()
        self._rest = lambda: self._run.at_rest.append(sample(pid, begun))
        next_image = next_event = next_sample = begun
        while (now := time.monotonic()) - begun < seconds:
            if now >= next_sample:
                self._run.samples.append(sample(pid, begun))
                next_sample += SAMPLE_EVERY
            if now >= next_event:
                self._let_something_happen()
                next_event = time.monotonic() + self._event_every
            self._send()
            next_image = max(next_image + self._period, now)
            time.sleep(max(0.0, next_image - time.monotonic()))
        self._run.seconds = time.monotonic() - begun

    def _mask(self, _: Any) -> None:
        self._run.masks += 1

    def _diagnostics(self, message: Any) -> None:
        """Add what the node's books have gained; they begin anew with each activation."""
        for status in message.status:
            for pair in status.values:
                if pair.key.startswith(('frames ', 'dropped: ')):
                    before, now = self._books.get(pair.key, 0), int(pair.value)
                    self._run.frames[pair.key] += now - before if now >= before else now
                    self._books[pair.key] = now

    def _send(self) -> None:
        from sensor_msgs.msg import Image
        encoding, height, width, data = next(self._images)
        step = width * ENCODINGS[encoding]
        self._run.images += 1
        if self._run.images % BROKEN_EVERY == 0:
            data, height = data[:self._random.randrange(len(data))], 2**32 - 1
            self._run.broken += 1
        message = Image(height=height, width=width, encoding=encoding, step=step, data=data)
        message.header.stamp = self.node.get_clock().now().to_msg()
        self._camera.publish(message)

    def _let_something_happen(self) -> None:
        self._events += 1
        if self._events % LIFECYCLE_EVERY == 0:
            anew = self._events // LIFECYCLE_EVERY % 3 == 0
            down, up = ((DEACTIVATE, CLEANUP), (CONFIGURE, ACTIVATE)) if anew else (
                (DEACTIVATE,), (ACTIVATE,))
            done = [self._change(step) for step in down]
            if anew and all(done):
                self._rest()
            done += [self._change(step) for step in up]
            if all(done):
                self._run.events['model loaded anew' if anew else 'down and up'] += 1
            return
        happening: Callable[[], object] = self._random.choice(
            (self._replace_camera, self._set_parameter, self._set_parameter,
             self._change_listeners, self._change_listeners))
        happening()
        self._run.events[happening.__name__.strip('_').replace('_', ' ')] += 1

    def _replace_camera(self) -> None:
        from rclpy.qos import QoSProfile, ReliabilityPolicy
        from sensor_msgs.msg import Image
        if self._camera is not None:
            self.node.destroy_publisher(self._camera)
            self._reliable = not self._reliable
        self._camera = self.node.create_publisher(Image, 'image', QoSProfile(
            depth=5, reliability=ReliabilityPolicy.RELIABLE if self._reliable
            else ReliabilityPolicy.BEST_EFFORT))

    def _change_listeners(self) -> None:
        from sensor_msgs.msg import CompressedImage, Image
        topic, kind = self._random.choice((
            ('segmentation/color', Image), ('segmentation/overlay', Image),
            ('segmentation/overlay/compressed', CompressedImage),
            ('segmentation/labels/compressed', CompressedImage)))
        listener = self._listeners.pop(topic, None)
        if listener is not None:
            self.node.destroy_subscription(listener)
        else:
            self._listeners[topic] = self.node.create_subscription(
                kind, topic, lambda _: None, 5)

    def _set_parameter(self) -> None:
        from rcl_interfaces.srv import SetParameters
        from rclpy.parameter import Parameter
        name, value = self._random.choice((
            ('overlay_alpha', self._random.random()), ('jpeg_quality', 50), ('png_level', 3),
            ('image_bits', 12), ('overlay_alpha', 7.0)))
        self._call(SetParameters, '/segment/set_parameters', SetParameters.Request(
            parameters=[Parameter(name, value=value).to_parameter_msg()]))

    def _change(self, transition: int) -> bool:
        from lifecycle_msgs.srv import ChangeState
        request = ChangeState.Request()
        request.transition.id = transition
        response = self._call(ChangeState, '/segment/change_state', request)
        return response is not None and bool(response.success)

    def _call(self, kind: type, name: str, request: Any) -> Any:
        """Return the response, None without one within START_TIMEOUT."""
        client = self.node.create_client(kind, name)
        try:
            if not client.wait_for_service(START_TIMEOUT):
                return None
            time.sleep(0.2)  # an answer before the server has seen this client would be lost
            future = client.call_async(request)
            deadline = time.monotonic() + START_TIMEOUT
            while not future.done() and time.monotonic() < deadline:
                time.sleep(0.01)
            return future.result() if future.done() else None
        finally:
            self.node.destroy_client(client)


@contextlib.contextmanager
def running_node(options: argparse.Namespace, output: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run the segment node; it is killed where it still runs at the end."""
    command = [sys.executable, '-m', 'segnode.ros.segment_node', '--ros-args']
    for name, value in (('model', options.model), ('runtime', options.runtime),
                        ('threads', options.threads)):
        command += ['-p', f'{name}:={value}']
    with open(output, 'wb') as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()


def soak(options: argparse.Namespace) -> Run:
    """Drive the node and end it; return what was seen."""
    run = Run()
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / 'node.log'
        with running_node(options, output) as process:
            driver = Driver(run, options.rate, options.event_every)
            driver.start()
            driver.load_anew()
            driver.drive(process.pid, options.seconds)
            begun = time.monotonic()
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                run.exit_code = process.wait(10)
            run.exit_seconds = round(time.monotonic() - begun, 2)
            driver.close()
        said = output.read_text(errors='replace')
        run.tracebacks = said.count('Traceback')
        if run.tracebacks:
            run.first_traceback = said[said.index('Traceback'):][:4000]
    return run


def slope_per_hour(samples: Sequence[Sample]) -> float:
    """Return the slope of the line through the memory of ``samples``, in MB per hour."""
    if len(samples) < 3:
        return 0.0
    return 3600 * float(np.polyfit(
        [s.seconds for s in samples], [s.megabytes for s in samples], 1)[0])


def growth(samples: Sequence[Sample], parts: int = 10) -> float:
    """Return by how many MB the last of so many parts of ``samples`` is above the first one."""
    if not samples:
        return 0.0
    memory, some = [s.megabytes for s in samples], max(1, len(samples) // parts)
    return float(np.median(memory[-some:]) - np.median(memory[:some]))


def report(run: Run, options: argparse.Namespace) -> dict[str, Any]:
    """Return the result, as JSON holds it."""
    settled, at_rest = (
        [s for s in samples if s.seconds >= WARM_UP * run.seconds]
        for samples in (run.samples, run.at_rest))
    memory = np.array([s.megabytes for s in settled])
    tenth = max(1, len(settled) // 10)
    judged = at_rest if len(at_rest) >= LEAST_AT_REST else settled
    slope, grown = slope_per_hour(judged), growth(judged, 10 if judged is settled else REST_PARTS)
    first, last = settled[0], settled[-1]
    passed = (
        run.exit_code == 0 and not run.tracebacks and run.masks > 0
        and (grown < MOST_MB and slope < MOST_MB_PER_HOUR if run.seconds >= LONG
             else grown < MOST_MB_SHORT)
        and last.files - first.files <= MOST_FILES
        and last.threads - first.threads <= MOST_THREADS)
    return {
        'benchmark': 'soak', 'model': options.model, 'rate': options.rate,
        'seconds': round(run.seconds, 1), 'images_sent': run.images,
        'broken_images_sent': run.broken, 'masks_received': run.masks,
        'node_frames': dict(run.frames), 'events': dict(run.events),
        'memory_mb': {
            'settled': round(float(np.median(memory[:tenth])), 2),
            'end': round(float(np.median(memory[-tenth:])), 2),
            'most': float(memory.max()), 'growth': round(growth(settled), 2),
            'slope_per_hour': round(slope_per_hour(settled), 2),
            'growth_at_rest': round(growth(at_rest, REST_PARTS), 2),
            'slope_per_hour_at_rest': round(slope_per_hour(at_rest), 2),
            'judged': 'at rest' if judged is at_rest else 'at work'},
        'files': {'settled': first.files, 'end': last.files,
                  'most': max(s.files for s in settled)},
        'threads': {'settled': first.threads, 'end': last.threads,
                    'most': max(s.threads for s in settled)},
        'cpu_share': round((last.cpu_seconds - first.cpu_seconds)
                           / max(1e-9, last.seconds - first.seconds), 3),
        'exit_code': run.exit_code, 'exit_seconds': run.exit_seconds,
        'tracebacks': run.tracebacks, 'first_traceback': run.first_traceback, 'passed': passed,
        'at_rest': [asdict(s) for s in run.at_rest],
        'samples': [asdict(s) for s in run.samples[::max(1, len(run.samples) // 200)]],
        'machine': {'platform': platform.platform(), 'cores': os.cpu_count(),
                    'python': platform.python_version()}}


def main(arguments: Sequence[str] | None = None) -> int:
    """Soak, print; exit code 1 when something grew or went wrong."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or '').split('\n', 1)[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument('--seconds', type=float, default=SECONDS)
    parser.add_argument('--rate', type=float, default=RATE, help='of the camera, in Hz')
    parser.add_argument('--event-every', type=float, default=EVENT_EVERY,
                        help='seconds between two things that happen')
    parser.add_argument('--model', default='fsffnet')
    parser.add_argument('--runtime', default='auto')
    parser.add_argument('--threads', type=int, default=1, help='of the runtime; 0 = its choice')
    parser.add_argument('--json', type=output_file, metavar='FILE',
                        help="write the result there; '-' = stdout")
    options = parser.parse_args(arguments)

    from segnode.ros.private_domain import claimed_domain, local_environment
    from segnode.ros.transport import recommended_environment
    with claimed_domain() as domain:
        os.environ.update(local_environment(domain))
        os.environ.update(recommended_environment(PROFILE))
        result = report(soak(options), options)
    told = sys.stderr if options.json == STDOUT else sys.stdout
    memory = result['memory_mb']
    print(f'{result["seconds"]:.0f} s, {result["images_sent"]} images sent '
          f'({result["broken_images_sent"]} broken), {result["masks_received"]} masks received',
          file=told)
    for key, count in {**result['node_frames'], **result['events']}.items():
        print(f'  {key:32} {count}', file=told)
    print(f'memory {memory["settled"]} -> {memory["end"]} MB (most {memory["most"]}), '
          f'{memory["slope_per_hour"]:+.2f} MB/h, '
          f'{memory["slope_per_hour_at_rest"]:+.2f} MB/h at rest '
          f'({len(result["at_rest"])} times; judged {memory["judged"]}); '
          f'files {result["files"]["settled"]} -> {result["files"]["end"]}; '
          f'threads {result["threads"]["settled"]} -> {result["threads"]["end"]}; '
          f'CPU {result["cpu_share"]:.2f}', file=told)
    print(f'exit code {result["exit_code"]} after {result["exit_seconds"]} s, '
          f'{result["tracebacks"]} tracebacks: {"passed" if result["passed"] else "FAILED"}',
          file=told)
    if options.json:
        text = json.dumps(result, indent=1)
        if options.json == STDOUT:
            print(text)
        else:
            options.json.write_text(text + '\n')
    return 0 if result['passed'] else 1


if __name__ == '__main__':
    sys.exit(main())
