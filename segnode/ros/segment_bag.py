# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""``segment_bag``: recorded bags in, the same bags with segmentation masks out. Needs no rclpy.

``ros2 run segnode segment_bag drive --out drive_segmented``, or, without a ROS installation,
``python -m segnode.ros.segment_bag recordings --out segmented``.
"""

from __future__ import annotations

import argparse
import contextlib
from dataclasses import fields
import json
import logging
from pathlib import Path
import signal
import sys
import time
from typing import Any, TYPE_CHECKING

from segnode.dependencies import require
from segnode.errors import SegnodeError

if TYPE_CHECKING:
    from segnode.ros.bags.options import BagOptions, TopicView

_LINE_SECONDS = 10.0  # between two lines of progress where there is no terminal


class Signals:
    """SIGINT and SIGTERM, as a flag: a signal never becomes an exception amid the work.

    The second one does, for a user who will not wait. Outputs are safe from that, too.
    """

    def __init__(self) -> None:
        self.number = 0

    def __enter__(self) -> Signals:
        self._before = {number: signal.signal(number, self._told)
                        for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: Any) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _told(self, number: int, _: Any) -> None:
        if self.number:
            raise KeyboardInterrupt
        self.number = number

    def told(self) -> bool:
        """Tell whether a signal came."""
        return bool(self.number)


class Bar:
    """The progress of a bag on stderr: tqdm's bar on a terminal, a line now and then elsewhere.

    Args:
        prefix: a text to show before the bag's name.
    """

    def __init__(self, prefix: str = '') -> None:
        self.prefix = prefix
        self._bar: Any = None
        self._name, self._total, self._done, self._shown = '', 0, 0, time.monotonic()

    def begin(self, name: str, total: int, done: int) -> None:
        """Begin a bag of about ``total`` images."""
        self.end()
        self._name, self._total, self._done = f'{self.prefix}{name}', total, done
        if sys.stderr.isatty():
            with contextlib.suppress(ImportError):
                from tqdm import tqdm

                self._bar = tqdm(total=total, initial=done, desc=self._name, unit='frame',
                                 dynamic_ncols=True, leave=False)

    def advance(self, frames: int) -> None:
        """Count images that are done with."""
        self._done += frames
        if self._bar is not None:
            self._bar.update(frames)
        elif time.monotonic() - self._shown >= _LINE_SECONDS:
            self._shown = time.monotonic()
            print(f'{self._name}: {self._done} of {self._total} frames', file=sys.stderr,
                  flush=True)

    def end(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    from segnode.commands.arguments import add_runtime_options, add_segmenter
    from segnode.ros.bags.cameras import NAMING
    from segnode.ros.bags.options import OUTPUTS, STORAGES
    from segnode.uncertainty import DEFAULT_SAMPLES, MEASURES

    made = argparse.ArgumentParser(
        prog='segment_bag',
        description='Segment every frame of the image topics of a bag, and write a bag that has '
        'all that was recorded, byte for byte, and the masks at the log times and header stamps '
        'of their images. A folder of bags becomes a folder of such bags; complete ones are '
        'passed over.',
        epilog=f'Topics: {NAMING} A run that was stopped or killed leaves nothing under the name '
        'of the output; its work so far is in .NAME.segment_bag beside it.',
    )
    made.add_argument('bag', type=Path, metavar='IN',
                      help='a bag: its folder, or a .mcap, .db3 or (ROS 1) .bag file; or a '
                           'folder of bags')
    made.add_argument('--out', type=Path, required=True, metavar='OUT',
                      help='folder of the output; of a folder of bags, the folder of theirs')
    made.add_argument('--topics', nargs='+', default=(), metavar='TOPIC',
                      help='image topics (default: every sensor_msgs/Image and CompressedImage '
                           'topic but masks)')
    made.add_argument('--outputs', type=_outputs, default=('labels',), metavar='LIST',
                      help=f'any of {",".join(OUTPUTS)} (default: labels)')
    made.add_argument('--compressed-labels', action='store_true',
                      help='labels as lossless PNG (CompressedImage) in place of mono8')
    made.add_argument('--name', default='segmentation',
                      help='last part of the namespace of the masks (default: %(default)s)')
    made.add_argument('--format', default='', choices=STORAGES, dest='storage',
                      help='storage format of the output (default: that of the input)')
    made.add_argument('--alpha', type=_fraction, default=0.5,
                      help='share of the colours in the overlay (default: %(default)s)')
    made.add_argument('--start', type=_seconds, default=0.0, metavar='SECONDS',
                      help='segment from so long after the beginning on; all else is copied still')
    made.add_argument('--duration', type=_seconds, metavar='SECONDS',
                      help='segment so long')
    made.add_argument('--max-frames', type=_count, default=0, metavar='N',
                      help='segment at most N images, of all topics together')
    made.add_argument('--confidence', action='store_true',
                      help='the confidence of the labels too, mono8, 0 to 255')
    made.add_argument('--min-confidence', type=_fraction, default=0.0, metavar='SHARE',
                      help='softmax of a label, 0 to 1, below which it is 255 in all masks '
                           '(default: %(default)s)')
    made.add_argument('--uncertainty', default='none', choices=('none', *MEASURES),
                      help='this measure too, mono8, from Monte Carlo dropout of a network that '
                           'offers it (default: none)')
    made.add_argument('--samples', type=_count, default=DEFAULT_SAMPLES, metavar='N',
                      help='passes of Monte Carlo dropout for each image (default: %(default)s)')
    made.add_argument('--image-bits', type=int, default=16, choices=range(8, 17), metavar='N',
                      help='bits in use of 16-bit images, 8 to 16 (default: %(default)s)')
    add_segmenter(made)
    made.add_argument('--view', nargs='+', action='append', default=[], dest='views',
                      metavar=('TOPIC', 'KEY=VALUE'),
                      help='roi, rotation and ego_mask of one topic in place of the common ones, '
                           'as in --view /left/image_raw rotation=180 ego_mask=left.png; once for '
                           'each topic that has its own')
    add_runtime_options(made)
    made.add_argument('--workers', type=_count, default=0, metavar='N',
                      help='threads that decode, segment and encode (default: one for each usable '
                           'core, 4 beside a GPU; with --ray 1)')
    made.add_argument('--threads', type=_count, default=0, metavar='N',
                      help='of the runtime in each worker, on the CPU (default: 1)')
    made.add_argument('--batch', type=_count, default=0, metavar='N',
                      help='images in one run of the network (default: 1 on the CPU, else 8)')
    made.add_argument('--resume', action='store_true',
                      help='go on where a run was stopped or killed; a folder of bags always does')
    made.add_argument('--force', action='store_true',
                      help='begin anew, and replace what is complete')
    made.add_argument('--ray', nargs='?', const='', metavar='ADDRESS',
                      help='spread a folder of bags over a Ray cluster (pip install ray), one bag '
                           'a task; without ADDRESS the cluster of this machine, started if need '
                           'be. Every machine must see IN and OUT and have segnode installed')
    made.add_argument('--ray-gpus', type=float, default=0.0, metavar='SHARE',
                      help='share of a GPU that each task takes (default: %(default)s)')
    made.add_argument('--json', action='store_true', help='answer in JSON, for programs')
    return made


def main(argv: list[str] | None = None) -> int:
    """Segment a bag or a folder of bags.

    Returns:
        0; 1 after an error of the user's or with bags that failed; 2 for a wrong command line;
        130 or 143 when stopped by SIGINT or SIGTERM.
    """
    with Signals() as signals:
        try:
            require('cv2', 'segment_bag')
            given = parser().parse_args(argv)
            logging.basicConfig(level=logging.INFO, format='%(message)s')
            return _run(given, signals)
        except SegnodeError as error:
            print(f'error: {error}', file=sys.stderr)
            return 1
        except BrokenPipeError:  # the reader, such as head, has seen enough
            sys.stderr.close()
            return 0
        except KeyboardInterrupt:
            return 128 + (signals.number or signal.SIGINT)


def _run(given: argparse.Namespace, signals: Signals) -> int:
    from segnode.ros.bags.discovery import check_places, is_bag
    from segnode.ros.bags.job import Stopped

    source, out = given.bag.expanduser(), given.out.expanduser()
    options = _options(given)
    check_places(source, out)
    if source.is_file() or is_bag(source):
        if given.ray is not None:
            raise SegnodeError(f'--ray is for a folder of bags, and {source} is one bag')
        run = _one_bag
    else:
        run = _folder
    try:
        return run(source, out, options, given, signals)
    except Stopped:
        print(f'stopped; {"the same command" if run is _folder else "--resume"} goes on from here',
              file=sys.stderr)
        return 128 + signals.number


def _options(given: argparse.Namespace) -> BagOptions:
    from segnode.ros.bags.options import BagOptions
    from segnode.view import WHOLE

    named = {field.name: getattr(given, field.name) for field in fields(BagOptions)}
    return BagOptions(**{
        **named, 'topics': tuple(given.topics), 'views': _views(given), 'roi': given.roi or WHOLE,
        'ego_mask': str(given.ego_mask or ''), 'label_grouping': given.label_grouping or '',
        'workers': given.workers or int(given.ray is not None)})


def _views(given: argparse.Namespace) -> tuple[TopicView, ...]:
    """Return what single topics have of their own.

    Raises:
        SegnodeError: it is not written so, or there can be no such view.
    """
    from segnode.ros.bags.options import TopicView
    from segnode.view import checked_roi, ROTATIONS, WHOLE

    views: dict[str, TopicView] = {}
    for topic, *pairs in given.views:
        own: dict[str, Any] = {
            'roi': given.roi or WHOLE, 'rotation': given.rotation,
            'ego_mask': str(given.ego_mask or '')}
        for pair in pairs:
            key, _, value = pair.partition('=')
            if key == 'roi':
                own[key] = checked_roi(value.split(','))
            elif key == 'rotation' and value in map(str, ROTATIONS):
                own[key] = int(value)
            elif key == 'ego_mask' and value:
                own[key] = value
            else:
                raise SegnodeError(
                    f'--view {topic}: {pair!r} is none of roi=TOP,LEFT,HEIGHT,WIDTH, '
                    f'rotation={"|".join(map(str, ROTATIONS))}, ego_mask=PICTURE')
        if not pairs or topic in views:
            raise SegnodeError(f'--view {topic}: it takes a topic and what that has of its own, '
                               'as in rotation=180, and each topic once')
        views[topic] = TopicView(topic, **own)
    return tuple(views.values())


def _one_bag(
    source: Path, out: Path, options: BagOptions, given: argparse.Namespace, signals: Signals
) -> int:
    """Segment one bag and say how it went."""
    from segnode.ros.bags.engine import Engine
    from segnode.ros.bags.job import Job

    bar = Bar()
    with contextlib.closing(Engine(options)) as engine, _log_above(bar):
        report = Job(source, out, options, resume=given.resume, force=given.force,
                     stopped=signals.told, progress=bar).run(engine)
    if given.json:
        print(json.dumps(report, indent=2))
    else:
        print(_sentence(report))
    return 0


def _folder(
    source: Path, out: Path, options: BagOptions, given: argparse.Namespace, signals: Signals
) -> int:
    """Segment a folder of bags and say how it went."""
    from segnode.ros.bags import fleet
    from segnode.ros.bags.discovery import find_bags
    from segnode.ros.bags.engine import Engine

    pairs = find_bags(source, out)
    tally = fleet.Tally()
    bar = Bar()

    def on_report(report: dict[str, Any]) -> None:
        tally.add(report)
        bar.end()
        bar.prefix = f'{len(tally.reports) + 1}/{len(pairs)} '
        if not given.json:
            print(f'{len(tally.reports)}/{len(pairs)} {_sentence(report)}', flush=True)

    bar.prefix = f'1/{len(pairs)} '
    if given.ray is None:
        with contextlib.closing(Engine(options)) as engine, _log_above(bar):
            fleet.here(pairs, options, engine, force=given.force, stopped=signals.told,
                       progress=bar, on_report=on_report)
    else:
        fleet.on_ray(pairs, options, given.ray or None, gpus=given.ray_gpus, force=given.force,
                     stopped=signals.told, on_report=on_report)
    summary = tally.summary()
    if given.json:
        print(json.dumps(summary, indent=2))
    else:
        print(f'{summary["written"]} bags written, {summary["complete"]} complete already, '
              f'{summary["no_images"]} without images, {summary["failed"]} failed; '
              f'{summary["frames"]} frames in {summary["seconds"]:.1f} s: '
              f'{summary["frames_per_second"]:.1f} frames/s, '
              f'{summary["times_real_time"]:.1f} x real time')
    return int(summary['failed'] > 0)


@contextlib.contextmanager
def _log_above(bar: Bar) -> Any:
    """Let the log's lines appear above the bar, and take the bar away in the end."""
    with contextlib.ExitStack() as stack:
        stack.callback(bar.end)
        with contextlib.suppress(ImportError):
            from tqdm.contrib.logging import logging_redirect_tqdm

            stack.enter_context(logging_redirect_tqdm())
        yield


def _sentence(report: dict[str, Any]) -> str:
    """Return how a bag went."""
    status = report['status']
    if status == 'failed':
        return f'{report["bag"]} failed: {report["error"]}'
    if status == 'no images':
        return f'{report["bag"]}: {report["error"]}'
    if status == 'complete':
        return f'{report["out"]} is complete already: {report["frames"]} frames'
    masks = ', '.join(topic for entry in report['topics'].values()
                      for topic in entry['masks'].values())
    skipped = f', {report["skipped"]} skipped' * bool(report['skipped'])
    earlier = f' ({report["frames_of_earlier_runs"]} by an earlier run)' * bool(
        report['frames_of_earlier_runs'])
    return (f'{report["out"]}: {report["messages"]} messages kept, {report["frames"]} frames '
            f'segmented{earlier}{skipped} in {report["seconds"]:.1f} s: '
            f'{report["frames_per_second"]:.1f} frames/s, '
            f'{report["times_real_time"]:.1f} x real time, {report["cores"]:.1f} cores; {masks}')


def _outputs(text: str) -> tuple[str, ...]:
    """Read a list such as labels,color."""
    from segnode.ros.bags.options import OUTPUTS

    wanted = [part.strip() for part in text.split(',') if part.strip()]
    wrong = [part for part in wanted if part not in OUTPUTS]
    if wrong or not wanted:
        raise argparse.ArgumentTypeError(f'{text!r} is not a list of {", ".join(OUTPUTS)}')
    return tuple(output for output in OUTPUTS if output in wanted)


def _fraction(text: str) -> float:
    from segnode.commands.arguments import fraction

    return fraction(text)


def _seconds(text: str) -> float:
    """Read a time of 0 or more."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.0 <= value < 1e9:
        raise argparse.ArgumentTypeError(f'{text!r} is not a number of seconds')
    return value


def _count(text: str) -> int:
    """Read a whole number of 0 or more."""
    if not text.isdecimal() or len(text) > 9:
        raise argparse.ArgumentTypeError(f'{text!r} is not a whole number of 0 or more')
    return int(text)


if __name__ == '__main__':
    sys.exit(main())
