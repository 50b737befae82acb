# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The processes of a benchmark: each in its ROS environment, told what to do, never left behind.

A peer that takes commands reads one line of JSON for each from its standard input and writes one
for the answer; it ends where the input does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
import contextlib
import json
import os
from pathlib import Path
import queue
import signal
import subprocess
import sys
import threading
from typing import Any

from segnode.errors import SegnodeError
from segnode.ros import tied_process
from segnode.ros.private_domain import local_environment
from segnode.ros.transport import PROFILE_VARIABLES

ROOT = Path(__file__).resolve().parent.parent
PROFILE = ROOT / 'config' / 'fastdds.xml'

# What in the environment changes discovery or transports must not change a figure.
TRANSPORT_VARIABLES = (
    *PROFILE_VARIABLES.values(), 'ROS_LOCALHOST_ONLY', 'ROS_AUTOMATIC_DISCOVERY_RANGE',
    'FASTDDS_BUILTIN_TRANSPORTS', 'RMW_FASTRTPS_USE_QOS_FROM_XML',
    'RMW_FASTRTPS_PUBLICATION_MODE', 'ROS_DISCOVERY_SERVER', 'ROS_STATIC_PEERS')

END_PATIENCE = 5.0  # s between SIGINT and SIGKILL
PATIENCE = 60.0  # s for an answer


def environment(domain: int, profile: Path | None) -> dict[str, str]:
    """Return the variables of a peer: its own domain, localhost only, profile or none."""
    found = {name: value for name, value in os.environ.items()
             if name not in TRANSPORT_VARIABLES}
    found.update(local_environment(domain))
    found['RMW_IMPLEMENTATION'] = 'rmw_fastrtps_cpp'
    # Peers run from the source tree, wherever the benchmark was started.
    found['PYTHONPATH'] = os.pathsep.join(
        filter(None, (str(ROOT), os.environ.get('PYTHONPATH', ''))))
    if profile is not None:
        found.update({name: str(profile) for name in PROFILE_VARIABLES.values()})
    return found


def node_command(*arguments: str, module: str = 'segnode.ros.segment_node',
                 **parameters: object) -> list[str]:
    """Return the command line of the segment node, tied to this process.

    Args:
        arguments: of ROS.
        module: that runs the node.
        parameters: of the node.
    """
    command = [*tied_process.command(module), '--ros-args', *arguments]
    for name, value in parameters.items():
        command += ['-p', f'{name}:={value}']
    return command


@contextlib.contextmanager
def started(command: list[str], variables: Mapping[str, str],
            **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Start a process that is ended, by force where need be, on the way out.

    Args:
        command: program and arguments.
        variables: its whole environment.
        options: of subprocess.Popen.
    """
    process = subprocess.Popen(command, env=dict(variables), start_new_session=True, **options)
    try:
        yield process
    finally:
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            if process.stdin is not None:  # its end is the sign to end for those that read it
                process.stdin.close()
                process.wait(END_PATIENCE)
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(END_PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if process.stdout is not None:
            process.stdout.close()


class Peer:
    """The near end of a process that runs ``answer_commands``."""

    def __init__(self, name: str, process: subprocess.Popen[bytes]) -> None:
        """Begin to read its answers.

        Args:
            name: for errors.
            process: with pipes as standard input and output.
        """
        self.name = name
        self.process = process
        self._answers: queue.Queue[dict[str, Any] | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def ask(self, what: str, patience: float = PATIENCE, **arguments: Any) -> dict[str, Any]:
        """Give a command and return the answer.

        Raises:
            SegnodeError: the process ended, or did not answer within `patience` s.
        """
        assert self.process.stdin is not None
        reason = f'did not answer {what!r} within {patience:.0f} s'
        try:
            self.process.stdin.write(json.dumps({'do': what, **arguments}).encode() + b'\n')
            self.process.stdin.flush()
            answer = self._answers.get(timeout=patience)
        except queue.Empty:
            answer = None
        except OSError as error:
            answer, reason = None, str(error)
        if answer is None:
            code = self.process.poll()
            raise SegnodeError(f'the {self.name} of the benchmark ' + (
                reason if code is None else f'ended with code {code}; see its output above'))
        return answer

    def _read(self) -> None:
        assert self.process.stdout is not None
        with contextlib.suppress(ValueError):  # closed meanwhile
            for line in self.process.stdout:
                # Fast DDS writes its own errors to standard output too.
                if line.startswith(b'{'):
                    self._answers.put(json.loads(line))
        self._answers.put(None)


@contextlib.contextmanager
def peer(module: str, *arguments: object, variables: Mapping[str, str]) -> Iterator[Peer]:
    """Run a module as a peer that takes commands; it ends with this process, however that ends."""
    name = ' '.join([module.rpartition('.')[2], *map(str, arguments[:1])])
    command = [*tied_process.command(module), *map(str, arguments)]
    with started(command, variables, cwd=ROOT, stdin=subprocess.PIPE,
                 stdout=subprocess.PIPE) as process:
        yield Peer(name, process)


def answer_commands(handlers: Mapping[str, Callable[..., dict[str, Any]]]) -> None:
    """Call the handler of each command on standard input, until that ends; write its answers."""
    for line in sys.stdin:
        command = json.loads(line)
        answer = handlers[command.pop('do')](**command)
        print(json.dumps(answer), flush=True)
