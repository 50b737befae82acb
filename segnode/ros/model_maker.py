# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Makes exports and engines in a process of its own, while the node's goes on with its images.

    python -m segnode.ros.model_maker

reads what to make as JSON, puts it into the cache and ends. In the node's process the export would
hold the interpreter, keep PyTorch in memory for good, and take the node along when memory ends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
import json
import os
import signal
import subprocess
import sys
import threading
from typing import Any

from segnode.errors import SegnodeError
from segnode.model import Model
from segnode.ros import tied_process
from segnode.ros.loaded_model import asks_for_more, LoadedModel, Values
from segnode.runtimes import progress
from segnode.runtimes.cache import abandon_drafts
from segnode.runtimes.session import nvidia_driver

# Seconds between two looks at whether it is still wanted, and between two words of the child.
PATIENCE = 0.1
PERIOD = 0.5
# Of the process: whatever else runs on the vehicle goes first.
NICENESS = 10
_BUILDERS = ('auto', 'tensorrt', 'torch2trt')


def needs_making(values: Values) -> bool:
    """Tell whether a model takes an export or an engine, which may or may not be kept already.

    Raises:
        SegnodeError: there is no such model.
    """
    if values['runtime'] in _BUILDERS and nvidia_driver():
        return True
    if values['runtime'] == 'pytorch':
        return False  # it keeps nothing
    model = Model.load(values['model'], allow_random_weights=values['allow_random_weights'])
    if model.custom is not None:
        return False  # its graph is only put together
    return model.onnx_path is None or asks_for_more(values, model.record)


def make(values: Values, cameras: Sequence[str], wanted: Callable[[], bool],
         tell: Callable[[str], None]) -> None:
    """Make what a model takes, in another process.

    Args:
        values: what it is made of.
        cameras: as of ``LoadedModel.load``.
        wanted: asked again and again; once it is not, the process is ended.
        tell: called with what it is busy with.

    Raises:
        SegnodeError: it could not be made.
    """
    child = subprocess.Popen(
        tied_process.command('segnode.ros.model_maker'), stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, text=True, errors='replace')
    assert child.stdin is not None and child.stdout is not None
    errors: list[str] = []

    def listen() -> None:
        assert child.stdout is not None
        for line in child.stdout:
            kind, _, text = line.rstrip('\n').partition(' ')
            if kind == 'busy':
                tell(text)
            elif kind == 'error':
                errors.append(text)

    reader = threading.Thread(target=listen, name='model maker', daemon=True)
    reader.start()
    try:
        with child.stdin as to_child:
            json.dump({'values': dict(values), 'cameras': list(cameras)}, to_child)
        while child.poll() is None:
            try:
                child.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                if not wanted():
                    child.terminate()
    except BrokenPipeError:  # it ended before it had read that
        child.wait()
    reader.join()
    child.stdout.close()
    if child.returncode and wanted():
        raise SegnodeError(errors[-1] if errors else
                           f'the process that made it ended with code {child.returncode}')


def main() -> int:
    """Make what standard input asks for; return the exit code."""
    signal.signal(signal.SIGTERM, _end)
    os.nice(NICENESS)
    given = json.load(sys.stdin)
    failures: list[str] = []
    # A library that is busy takes no notice of a signal; this thread does.
    thread = threading.Thread(target=_make, args=(given, failures), daemon=True)
    thread.start()
    said = ''
    while thread.is_alive():
        thread.join(PERIOD)
        if progress.current() != said:
            said = progress.current()
            print('busy', said, flush=True)
    for failure in failures:
        print('error', failure, flush=True)
    return int(bool(failures))


def _make(given: dict[str, Any], failures: list[str]) -> None:
    try:
        LoadedModel.load(given['values'], given['cameras']).segmenter.close()
    except Exception as error:  # a library may raise anything
        kind = '' if isinstance(error, SegnodeError) else f'{type(error).__name__}: '
        failures.append(' '.join(f'{kind}{error}'.split()))


def _end(*_: object) -> None:
    """Leave nothing half-made behind."""
    abandon_drafts()
    os._exit(128 + signal.SIGTERM)


if __name__ == '__main__':
    sys.exit(main())
