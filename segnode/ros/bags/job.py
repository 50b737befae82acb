# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""One bag: its images are segmented into a journal, then the output is put together and named.

Until it is complete an output lies in the work folder beside its place, together with the journal.
A run that is told to stop, or killed, leaves that folder, and the next one goes on from the end of
the journal; putting the output together always begins anew.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
import contextlib
import json
import logging
from pathlib import Path
import shutil
import sqlite3
import time
from typing import Any, Protocol

import segnode
from segnode.errors import SegnodeError
from segnode.ros.bags.assembly import check_replaceable, publish, put_together, REPORT
from segnode.ros.bags.calibrations import Calibrations
from segnode.ros.bags.cameras import Camera, choose
from segnode.ros.bags.convert import prepared
from segnode.ros.bags.discovery import check_places
from segnode.ros.bags.engine import Engine
from segnode.ros.bags.journal import Journal, Part
from segnode.ros.bags.masks import MaskMaker, Picked, Task
from segnode.ros.bags.mcap_file import read_summary
from segnode.ros.bags.options import BagOptions
from segnode.ros.bags.recording import RawMessage, Recording, Survey, Topic
from segnode.ros.bags.work_folder import changed, WorkFolder

_LOG = logging.getLogger('segnode')
# A task is what a worker does at a stretch, one batch at least; so much of the input is held for
# each of them.
TASK_FRAMES = 8
TASK_BYTES = 16 << 20
_TASKS_AHEAD = 2  # beyond one for each worker
_NAMED_SKIPS = 100  # skipped messages that the report names; all are counted
_WARNED_SKIPS = 5  # of a topic, in the log
_NS = 1_000_000_000


class Stopped(Exception):
    """The run was told to end."""


class Progress(Protocol):
    """Where a bag's progress is shown."""

    def begin(self, name: str, total: int, done: int) -> None:
        """Begin a bag of about ``total`` images, some of them done by an earlier run."""
        ...

    def advance(self, frames: int) -> None:
        """Count images that are done with."""
        ...


class Job:
    """One bag.

    Args:
        source: a bag's folder, or a lone storage file.
        out: folder to make.
        options: what was asked for.
        resume: go on where an earlier run stopped, and take a complete output as it is.
        force: begin anew, and replace an output that is there.
        stopped: tells whether the run is to end.
        progress: where progress is shown.
    """

    def __init__(
        self, source: Path, out: Path, options: BagOptions, *, resume: bool = False,
        force: bool = False, stopped: Callable[[], bool] = lambda: False,
        progress: Progress | None = None,
    ) -> None:
        self._source = source
        self._out = out
        self._options = options
        self._resume = resume
        self._force = force
        self._stopped = stopped
        self._progress = progress

    def run(self, engine: Engine) -> dict[str, Any]:
        """Segment the bag; return the report, which the output holds as segment_bag.json.

        Raises:
            SegnodeError: it cannot be done; NoImages where there is nothing to segment.
            Stopped: it was told to end; what is done so far stays for the next run.
        """
        check_places(self._source, self._out)
        wanted = self._wanted(engine)
        if self._out.exists():
            report = self._there(wanted)
            if report is not None:
                return report
        work = WorkFolder(self._out)
        keep = False
        try:
            with _disk_errors(self._out):
                report = self._in(work, engine, wanted)
        except BaseException:
            shutil.rmtree(work.path / 'draft', ignore_errors=True)  # it may be what fills the disk
            keep = work.worth_keeping
            raise
        finally:
            work.close(discard=not keep)
        return report

    def _pause(self) -> None:
        if self._stopped():
            raise Stopped

    def _wanted(self, engine: Engine) -> dict[str, Any]:
        """Return what decides on the output, as JSON has it."""
        files = sorted(self._source.iterdir()) if self._source.is_dir() else [self._source]
        return {
            'segnode': segnode.__version__,
            'input': {path.name: path.stat().st_size for path in files if path.is_file()},
            'options': self._options.content(),
            **engine.content(),
        }

    def _there(self, wanted: dict[str, Any]) -> dict[str, Any] | None:
        """Return the report of a complete output; None where what is there may be replaced.

        Raises:
            SegnodeError: something else is there.
        """
        if self._out.is_dir() and not any(self._out.iterdir()):
            return None
        if self._force:
            check_replaceable(self._out)
            return None
        try:
            report = json.loads((self._out / REPORT).read_text())
        except (OSError, ValueError):
            report = None
        if self._resume and isinstance(report, dict) and report.get('made_from') == wanted:
            return {**report, 'status': 'complete', 'out': str(self._out)}
        if self._resume and isinstance(report, dict):
            raise SegnodeError(
                f'{self._out} was made with another '
                f'{changed(wanted, report.get("made_from"))}: --force makes it again')
        raise SegnodeError(f'{self._out} exists: --force replaces it')

    def _in(self, work: WorkFolder, engine: Engine, wanted: dict[str, Any]) -> dict[str, Any]:
        """Do the job in its folder."""
        began, cpu = time.monotonic(), time.process_time()
        resumed = work.begin(wanted, resume=self._resume, force=self._force)
        try:
            self._check_space()
            recording = prepared(self._source, self._options.storage, work.path, self._pause)
            surveys = recording.surveys()
            cameras = choose(_all_topics(surveys), self._options, _free_channel(recording))
        except SegnodeError:
            if not resumed and not (work.path / 'masks').exists():
                work.forget()
            raise
        with contextlib.closing(Journal(work.path / 'masks')) as journal:
            earlier = sum(part.frames for part in journal.parts)
            self._segment(recording, surveys, cameras, journal, engine, earlier)
            report = self._report(recording, surveys, cameras, journal, engine)
            report['made_from'] = wanted
            report['frames_of_earlier_runs'] = earlier
            draft = put_together(
                work.path / 'draft', self._out.name, recording, surveys, cameras, journal,
                self._options, engine, self._pause)
        now = time.monotonic()
        seconds = max(now - began, 1e-9)
        share = (report['frames'] + report['skipped'] - earlier) / max(
            1, report['frames'] + report['skipped'])
        report.update(
            seconds=round(seconds, 3),
            frames_per_second=round((report['frames'] + report['skipped'] - earlier) / seconds, 2),
            times_real_time=round(report['recorded_seconds'] * share / seconds, 2),
            cores=round((time.process_time() - cpu) / seconds, 2))
        (draft / REPORT).write_text(json.dumps(report, indent=1) + '\n')
        publish(draft, self._out, work.path / 'replaced', force=self._force)
        return report

    def _check_space(self) -> None:
        """Refuse at once what cannot fit."""
        needed = sum(path.stat().st_size for path in (
            self._source.iterdir() if self._source.is_dir() else [self._source])
            if path.is_file())
        free = shutil.disk_usage(self._out.parent).free
        if free < needed:
            raise SegnodeError(
                f'{self._out.parent} has {free / 1e9:.3g} GB left, and the copy of the recording '
                f'alone needs {needed / 1e9:.3g} GB')

    def _segment(
        self, recording: Recording, surveys: list[Survey], cameras: list[Camera],
        journal: Journal, engine: Engine, earlier: int,
    ) -> None:
        """Segment what is not in the journal yet."""
        if self._progress is not None:
            total = _expected(surveys, cameras, self._options)
            self._progress.begin(self._source.name, total, earlier)
        maker = MaskMaker(
            cameras, self._options, recording.compression == 'message', self._pause)
        warned: Counter[str] = Counter()
        under_way: deque[Future[list[tuple[Part, bytes]]]] = deque()

        def collect() -> None:
            for part, body in under_way.popleft().result():
                journal.append(part, body)
                _warn(part, warned)
                if self._progress is not None:
                    self._progress.advance(part.frames)

        try:
            for task in self._tasks(
                recording, surveys, cameras, journal.parts[:], engine.batch
            ):
                self._pause()
                while len(under_way) >= engine.workers + _TASKS_AHEAD:
                    collect()
                under_way.append(engine.pool.submit(maker.run, task, engine))
            while under_way:
                self._pause()
                collect()
        except BaseException:
            for future in under_way:
                future.cancel()
            raise

    def _tasks(
        self, recording: Recording, surveys: list[Survey], cameras: list[Camera],
        done: list[Part], batch: int,
    ) -> Iterator[Task]:
        """Yield the tasks that the journal does not hold yet, in order.

        Raises:
            SegnodeError: the journal is not of this bag.
        """
        chosen = self._chosen(recording, surveys, cameras)
        for part in done:
            last = None
            for _ in range(part.frames):
                last = next(chosen, None)
            if last is None or (last[0], last[1].message.time) != (part.file, part.last_time):
                raise SegnodeError(
                    f'the unfinished run for {self._out} is of another recording: begin anew '
                    'with --force')
        held: list[Picked] = []
        file = size = 0
        for of_file, picked in chosen:
            full = len(held) >= TASK_FRAMES or size >= TASK_BYTES
            if held and (of_file != file or (full and len(held) >= batch)):
                yield Task(file, held)
                held, size = [], 0
            file = of_file
            held.append(picked)
            size += len(picked.message.data)
        if held:
            yield Task(file, held)

    def _chosen(
        self, recording: Recording, surveys: list[Survey], cameras: list[Camera]
    ) -> Iterator[tuple[int, Picked]]:
        """Yield the image messages to segment, each with the index of its file.

        What is recorded behind the last of them is not read: its calibration may be an earlier
        one.
        """
        calibration_of = {camera.topic: camera.calibration for camera in cameras}
        calibrations = Calibrations(recording, {name for name in calibration_of.values() if name})
        # That of an image may be recorded a little behind it.
        ahead = 2 * len(cameras) if calibrations.topics else 0
        waiting: deque[tuple[int, int, RawMessage]] = deque()

        def first() -> tuple[int, Picked]:
            file, number, message = waiting.popleft()
            beside = calibrations.beside(calibration_of[message.topic], message)
            return file, Picked(number, message, beside)

        for found in self._images(recording, surveys, {*calibration_of}, calibrations):
            waiting.append(found)
            if len(waiting) > ahead:
                yield first()
        while waiting:
            yield first()

    def _images(
        self, recording: Recording, surveys: list[Survey], topics: set[str],
        calibrations: Calibrations,
    ) -> Iterator[tuple[int, int, RawMessage]]:
        """Yield the image messages to segment: index of the file, number in the topic, message.

        Calibrations between them are added to ``calibrations``.
        """
        start, stop = _window(surveys, self._options)
        numbers: Counter[str] = Counter()
        left = self._options.max_frames or None
        for file in range(len(recording.files)):
            if left == 0:
                return
            # From its beginning, for the numbers that a skipped message is named by.
            for message in recording.messages(file, topics | calibrations.topics, None, stop):
                if calibrations.add(message):
                    continue
                number = numbers[message.topic]
                numbers[message.topic] += 1
                if start is not None and message.time < start:
                    continue
                yield file, number, message
                if left is not None:
                    left -= 1
                    if not left:
                        break

    def _report(
        self, recording: Recording, surveys: list[Survey], cameras: list[Camera],
        journal: Journal, engine: Engine,
    ) -> dict[str, Any]:
        """Return what there is to say of the output."""
        made: Counter[int] = Counter()
        skipped: Counter[str] = Counter()
        named: list[dict[str, Any]] = []
        times: list[int] = []
        for part in journal.parts:
            for channel, entries in part.index.items():
                made[channel] += len(entries)
            for topic, number, stamp, reason in part.skipped:
                skipped[topic] += 1
                if len(named) < _NAMED_SKIPS:
                    named.append({'topic': topic, 'message': number, 'log_time': stamp,
                                  'reason': reason})
            times += [*part.times] if part.messages else []
        topics = {}
        for camera in cameras:
            first = next(iter(camera.masks.values()))
            topics[camera.topic] = {
                'frames': made[first.channel], 'skipped': skipped[camera.topic],
                'masks': camera.names}
        return {
            'status': 'written', 'bag': str(self._source), 'out': str(self._out),
            'storage': recording.storage,
            'messages': sum(survey.count for survey in surveys),
            'frames': sum(entry['frames'] for entry in topics.values()),
            'skipped': sum(skipped.values()), 'topics': topics, 'skipped_messages': named,
            'recorded_seconds': round((max(times) - min(times)) / _NS, 3) if times else 0.0,
            'model': engine.model.name, 'runtime': engine.runtime, 'details': engine.details,
            'workers': engine.workers,
        }


def _all_topics(surveys: list[Survey]) -> dict[str, Topic]:
    """Return the topics of all files together."""
    found: dict[str, Topic] = {}
    for survey in surveys:
        for name, topic in survey.topics.items():
            count = topic.count + (found[name].count if name in found else 0)
            found[name] = Topic(topic.msgtype, count)
    return found


def _free_channel(recording: Recording) -> int:
    """Return the first id above those of all channels."""
    if recording.storage != 'mcap':
        return 1
    return 1 + max((key for path in recording.files for key in read_summary(path).channels),
                   default=0)


def _window(surveys: list[Survey], options: BagOptions) -> tuple[int | None, int | None]:
    """Return the log times from and up to which images are segmented, ns; None for no limit."""
    begin = min((survey.start for survey in surveys if survey.count), default=0)
    start = begin + round(options.start * _NS)
    stop = None if options.duration is None else start + round(options.duration * _NS)
    return (start if options.start else None), stop


def _expected(surveys: list[Survey], cameras: list[Camera], options: BagOptions) -> int:
    """Return about how many images there are to segment."""
    topics = _all_topics(surveys)
    total = sum(topics[camera.topic].count for camera in cameras)
    start, stop = _window(surveys, options)
    if start is not None or stop is not None:
        begin = min((survey.start for survey in surveys if survey.count), default=0)
        end = max((survey.end for survey in surveys if survey.count), default=0)
        covered = min(end, stop or end) - max(begin, start or begin)
        total = round(total * max(0.0, min(1.0, covered / max(1, end - begin))))
    return min(total, options.max_frames) if options.max_frames else total


def _warn(part: Part, warned: Counter[str]) -> None:
    """Name skipped messages in the log, the first few of each topic."""
    for topic, number, _, reason in part.skipped:
        warned[topic] += 1
        if warned[topic] <= _WARNED_SKIPS:
            _LOG.warning('message %d of %s is skipped: %s', number, topic, reason)
        elif warned[topic] == _WARNED_SKIPS + 1:
            _LOG.warning('more messages of %s are skipped; the summary counts them', topic)


@contextlib.contextmanager
def _disk_errors(out: Path) -> Iterator[None]:
    """Turn what the system says into one sentence; what is done so far can be gone on with."""
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        reason = getattr(error, 'strerror', None) or error
        raise SegnodeError(
            f'{out} cannot be made: {reason}; once there is room, --resume goes on') from error
