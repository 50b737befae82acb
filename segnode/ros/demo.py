# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The demo: player, segment node and recorder as three processes over DDS, on this machine only.

Imports nothing but the standard library before its arguments are read, so that ``--help`` works
before anything is installed.
"""

from __future__ import annotations

import argparse
from collections import deque
from collections.abc import Callable, Sequence
import contextlib
import json
import os
from pathlib import Path
import signal
import subprocess
import sys
import threading
import time

from segnode.errors import SegnodeError
from segnode.ros import tied_process

BUILT_IN_HZ = 10.0  # two laptop cores keep up with this
START_SECONDS = 120.0  # for a model to load, or an engine to be built, before the demo gives up
SILENCE_SECONDS = 60.0  # without any progress while running
STOP_SECONDS = 8.0  # for the processes to end by themselves
LOG_FORMAT = '[{severity}] [{time}] [{name}]: {message}'  # rcutils' own, whatever the user has set
SHOWN_WARNINGS = 5  # of the player; all of them are in its log
PROFILE = 'config/fastdds.xml'


class Child:
    """One process of the demo; its output goes to a file and, line by line, to a function."""

    def __init__(self, name: str, command: list[str], environment: dict[str, str], log: Path,
                 on_line: Callable[[str], None]) -> None:
        self.name = name
        self._on_line = on_line
        self.last: deque[str] = deque(maxlen=12)
        self._log = open(log, 'w')
        # Its own session: Ctrl-C reaches the demo alone, which then ends its children in order.
        self._popen = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE,
                                       stderr=subprocess.STDOUT, text=True, errors='replace',
                                       start_new_session=True)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self._popen.stdout is not None
        for line in self._popen.stdout:
            self._log.write(line)
            self._log.flush()
            self.last.append(line.rstrip())
            self._on_line(line.rstrip())

    @property
    def exit_code(self) -> int | None:
        """Its exit code, None while it runs."""
        return self._popen.poll()

    def ask_to_end(self) -> None:
        """Send SIGINT, unless it has ended."""
        self._popen.send_signal(signal.SIGINT)

    def end(self, deadline: float) -> None:
        """Wait for its end until the deadline (monotonic s), then make it end."""
        try:
            self._popen.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
        self._thread.join(2.0)
        self._log.close()


class Progress:
    """One line that is written over on a terminal, a line now and then elsewhere."""

    def __init__(self) -> None:
        self._terminal = sys.stdout.isatty()
        self._last = 0.0
        self._open = False

    def show(self, text: str, *, always: bool = False) -> None:
        """Show how far things are."""
        now = time.monotonic()
        with contextlib.suppress(OSError):  # the terminal was closed
            if self._terminal:
                print(f'\r\033[K{text}', end='', flush=True)
                self._open = True
            elif always or now - self._last >= 2.0:
                print(text, flush=True)
                self._last = now

    def end(self) -> None:
        """Let what follows begin on a line of its own."""
        if self._open:
            with contextlib.suppress(OSError):
                print(flush=True)
            self._open = False


class Demo:
    """One run.

    Args:
        options: the parsed command line.
        environment: of all three processes.
    """

    def __init__(self, options: argparse.Namespace, environment: dict[str, str]) -> None:
        self._options = options
        self._environment = environment
        self._out = Path(options.out).expanduser().resolve()
        self._progress = Progress()
        self._children: list[Child] = []
        self._recorded = 0
        self._news = time.monotonic()
        self._failure = ''
        self._warnings: dict[str, None] = {}  # in order, each once
        self._interrupted = False

    def run(self) -> None:
        """Start all, watch until the recorder has ended, stop all.

        From here on a signal only raises a flag: an exception could come between a process and
        the note that it was started, and a second one while the processes are being ended.

        Raises:
            SegnodeError: something ended too early, or nothing came.
            KeyboardInterrupt: SIGINT, SIGTERM or SIGHUP came.
        """
        handle_signals(self._interrupt)
        options = self._options
        begun = time.time()
        try:
            (self._out / 'log').mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SegnodeError(f'cannot write to {self._out}: {error}') from error
        rate = options.rate or (0.0 if options.source else BUILT_IN_HZ)
        try:
            recorder = self._start('recorder', 'recorder_node', self._recorder_line,
                                   {'out': str(self._out), 'progress': True},
                                   {'image': 'image_raw'})
            segment = self._start('segment', 'segment_node', self._segment_line,
                                  {'model': options.model, 'runtime': options.runtime},
                                  {'image': 'image_raw'})
            player = self._start('player', 'player_node', self._player_line,
                                 {'source': options.source, 'topic': options.topic,
                                  'rate': rate, 'frames': options.frames,
                                  'wait_for_subscribers': 2})
            self._progress.show(f'starting: {options.model} on {options.runtime}', always=True)
            self._watch(recorder, segment, player)
        finally:
            self._stop()
            self._progress.end()
        self._report(begun)

    def _interrupt(self, *_: object) -> None:
        self._interrupted = True

    def _stop(self) -> None:
        """End all processes at once; they have the same few seconds."""
        # The consumers last, so that nothing warns about a lost peer.
        for child in reversed(self._children):
            child.ask_to_end()
        deadline = time.monotonic() + STOP_SECONDS
        for child in reversed(self._children):
            child.end(deadline)

    def _start(self, name: str, module: str, on_line: Callable[[str], None],
               parameters: dict[str, object], remaps: dict[str, str] | None = None) -> Child:
        command = [*tied_process.command(f'segnode.ros.{module}'), '--ros-args']
        for key, value in parameters.items():
            # JSON is YAML: quotes keep a string a string ('' and '1.5' too).
            command += ['-p', f'{key}:={json.dumps(value, ensure_ascii=False)}']
        for old, new in (remaps or {}).items():
            command += ['-r', f'{old}:={new}']
        child = Child(name, command, self._environment, self._out / 'log' / f'{name}.txt', on_line)
        self._children.append(child)
        return child

    def _watch(self, recorder: Child, segment: Child, player: Child) -> None:
        while recorder.exit_code is None:
            time.sleep(0.05)
            if self._interrupted:
                raise KeyboardInterrupt
            if self._failure:
                raise SegnodeError(self._failure)
            for child in (segment, player):
                code = child.exit_code
                if code or (code == 0 and child is segment):
                    raise SegnodeError(self._ended(child, code))
            limit = SILENCE_SECONDS if self._recorded else START_SECONDS
            if time.monotonic() - self._news > limit:
                raise SegnodeError(f'nothing happened for {limit:.0f} s: the output of the three '
                                   f'processes is in {self._out / "log"}')
        if recorder.exit_code != 0:
            raise SegnodeError(self._ended(recorder, recorder.exit_code))

    def _ended(self, child: Child, code: int | None) -> str:
        time.sleep(0.3)  # its last lines
        said = next((line for line in reversed(child.last) if line.startswith('error: ')), '')
        if said:
            return said[len('error: '):]
        tail = '\n  '.join(child.last)
        return f'{child.name} ended with exit code {code}; its last lines:\n  {tail}'

    def _any_line(self, line: str) -> None:
        self._news = time.monotonic()

    def _player_line(self, line: str) -> None:
        self._any_line(line)
        if line.startswith('[WARN]'):
            self._warnings[line.partition(']: ')[2] or line] = None

    def _segment_line(self, line: str) -> None:
        self._any_line(line)
        marker = 'not configured: '
        if marker in line:
            self._failure = line.split(marker, 1)[1]

    def _recorder_line(self, line: str) -> None:
        self._any_line(line)
        if line.startswith('recorded '):
            self._recorded = int(line.split()[1])
            total = f' of {self._options.frames}' if self._options.frames else ''
            self._progress.show(f'{self._recorded}{total} frames')

    def _report(self, begun: float) -> None:
        numbers = json.loads((self._out / 'run.json').read_text())
        print((self._out / 'table.txt').read_text())
        for warning in [*self._warnings][:SHOWN_WARNINGS]:
            print(f'warning: {warning}')
        if not numbers['frames_out']:
            raise SegnodeError('no mask came out: the output of the three processes is in '
                               f'{self._out / "log"}')
        print(f'first mask {numbers["first_mask_time"] - begun:.1f} s after the start')
        for name, what in (('segmentation.mp4', 'video'), ('segmentation.png', 'pictures')):
            if (self._out / name).exists():
                print(f'{what + ":":<10}{self._out / name}')


def transport_environment(root: Path) -> dict[str, str]:
    """Variables for a Fast DDS profile with room for large images; none where it is missing."""
    from segnode.ros.transport import check_shared_memory, recommended_environment
    profile = root / PROFILE
    if not profile.is_file():
        return {}
    warning = check_shared_memory(profile)
    if warning:
        print(f'warning: {warning}', file=sys.stderr)
    return recommended_environment(profile)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    result = argparse.ArgumentParser(
        prog='scripts/demo',
        description='Plays camera images to the segment node over ROS 2 on this machine, records '
                    'what comes out, and says where the pictures are.')
    result.add_argument('--source', default='', metavar='PATH',
                        help='folder of images, video file, or ROS 2 bag (folder, .mcap or .db3); '
                             'a rendered road scene without it')
    result.add_argument('--topic', default='', help='image topic of the bag, where it has several')
    result.add_argument('--model', default='fsffnet',
                        help='released model by name, or path of a .safetensors, .onnx or .yaml '
                             'file (default: %(default)s)')
    result.add_argument('--runtime', default='auto', help="auto (default) or any of the node's")
    result.add_argument('--rate', type=_not_negative(float), default=0.0, metavar='HZ',
                        help='frames per second; 0 (default): that of the bag or video, 5 for a '
                             'folder, 10 for the rendered scene')
    result.add_argument('--frames', type=_not_negative(int), default=0, metavar='N',
                        help='stop after N frames; 0 (default): all')
    result.add_argument('--out', default='demo_out', metavar='FOLDER',
                        help='folder for pictures, table and logs (default: %(default)s)')
    return result


def _not_negative(kind: type) -> Callable[[str], float]:
    def convert(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = -1
        if not 0 <= value < float('inf'):
            raise argparse.ArgumentTypeError(
                f'{text!r} is not a {"whole " if kind is int else ""}number of 0 or more')
        return value
    return convert


def handle_signals(handler: Callable[..., object]) -> None:
    """Handle SIGINT, SIGTERM and SIGHUP (a closed terminal) alike; under nohup not SIGHUP."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, handler)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; return the exit code."""
    options = parser().parse_args(arguments)
    handle_signals(signal.default_int_handler)
    try:
        from segnode.ros.frame_sources import open_source
        from segnode.ros.private_domain import claimed_domain, local_environment
        open_source(options.source, options.topic)  # a wrong path is told before anything starts
        root = Path(__file__).resolve().parent.parent.parent
        with claimed_domain() as domain_id:
            environment = {**os.environ, **local_environment(domain_id),
                           **transport_environment(root), 'PYTHONUNBUFFERED': '1',
                           'RCUTILS_COLORIZED_OUTPUT': '0',
                           'RCUTILS_CONSOLE_OUTPUT_FORMAT': LOG_FORMAT}
            Demo(options, environment).run()
    except SegnodeError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        with contextlib.suppress(OSError):  # the terminal was closed
            print('\nstopped', file=sys.stderr, flush=True)
        return 130
    return 0


if __name__ == '__main__':
    sys.exit(main())
