# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Candidates side by side: each in a process of its own, taking turns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
import contextlib
import json
import os
from pathlib import Path
import subprocess
import sys
import tempfile
from typing import Any

import numpy as np

from segnode.benchmarking.candidate import Candidate, EAGER
from segnode.benchmarking.machine import gpu_memory, load, machine
from segnode.benchmarking.timing import Times

ROOT = Path(__file__).resolve().parent.parent.parent

Row = dict[str, Any]


def measure(
    candidates: Iterable[Candidate], runs: int, tell: Callable[[str], None] = lambda text: None
) -> dict[str, Any]:
    """Measure all candidates; those of one model, size and batch take turns.

    Args:
        candidates: in the order of the result's rows.
        runs: that are counted, of each.
        tell: takes a line about each candidate that is ready.

    Returns:
        'machine', 'runs', and 'rows', see ``_row``; what could not be measured has a reason.
    """
    facts = machine()
    rows: list[Row] = []
    for group in _groups(candidates):
        rows += _group(group, runs, tell)
    return {'machine': facts, 'load_after': load(), 'runs': runs, 'rows': rows}


def _groups(candidates: Iterable[Candidate]) -> Iterator[list[Candidate]]:
    """Give those that are compared with one another, in order."""
    found: dict[tuple[Any, ...], list[Candidate]] = {}
    for one in candidates:
        found.setdefault((one.model, one.input_size, one.batch), []).append(one)
    yield from found.values()


def _group(group: Sequence[Candidate], runs: int, tell: Callable[[str], None]) -> list[Row]:
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        workers = []
        for number, candidate in enumerate(group):
            worker = stack.enter_context(_Worker(candidate, folder / f'{number}.npy'))
            workers.append(worker)
            ready = worker.reason or worker.facts['details']
            tell(f'{candidate.model} {candidate.runtime} {candidate.precision}'.rstrip()
                 + f': {ready}')
        for _ in range(runs):
            for worker in workers:
                worker.run()
        rows = [worker.row() for worker in workers]
        labels = [worker.labels() for worker in workers]
    _compare(rows, labels)
    return rows


def _compare(rows: list[Row], labels: list[np.ndarray | None]) -> None:
    """Add what each has in common with eager, or without it with the first."""
    measured = [i for i, row in enumerate(rows) if not row['reason']]
    if not measured:
        return
    first = next((i for i in measured if rows[i]['runtime'] == EAGER), measured[0])
    reference = labels[first]
    for index in measured:
        found = labels[index]
        if reference is not None and found is not None and found.shape == reference.shape:
            rows[index]['same_labels'] = round(float(np.mean(found == reference)), 6)
            rows[index]['same_labels_as'] = rows[first]['runtime']
        if rows[first]['runtime'] == EAGER:
            rows[index]['times_as_fast_as_eager'] = round(
                rows[first]['median_ms'] / rows[index]['median_ms'], 2)


class _Worker:
    """The other end of ``segnode.benchmarking.worker``."""

    def __init__(self, candidate: Candidate, labels_file: Path) -> None:
        self.candidate, self.labels_file = candidate, labels_file
        self.times = Times()
        self.facts: dict[str, Any] = {}
        self.last: dict[str, Any] = {}
        self.gpu: int | None = None
        self.reason = ''
        self.process: subprocess.Popen[str] | None = None

    def __enter__(self) -> _Worker:
        # A graph or an engine that has to be made first would count as memory of the runtime.
        if self.candidate.runtime not in (EAGER, 'pytorch'):
            self._start('')
            self.close()
        if not self.reason:
            self._start(str(self.labels_file))
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self, labels_file: str) -> None:
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get('PYTHONPATH')])])
        self.process = subprocess.Popen(
            [sys.executable, '-m', 'segnode.benchmarking.worker'], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env={**os.environ, 'PYTHONPATH': path},
        )
        self.facts = self._ask(f'{self.candidate.to_json()}\n{labels_file}')

    def _ask(self, line: str) -> dict[str, Any]:
        """Send a line and return the answer; where there is none, note the reason."""
        assert self.process is not None
        assert self.process.stdin is not None and self.process.stdout is not None
        answer = ''
        with contextlib.suppress(OSError):
            self.process.stdin.write(line + '\n')
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
        if not answer:
            status = self.process.wait()
            self.reason = f'its process ended with status {status}'
            if status < 0:
                self.reason = f'its process was ended by signal {-status}' + (
                    ', most probably for lack of memory' if status == -9 else '')
            return {}
        facts: dict[str, Any] = json.loads(answer)
        self.reason = facts.get('error', '')
        return facts

    def run(self) -> None:
        """Run once more, unless it has failed."""
        if self.reason:
            return
        answer = self._ask('run')
        if answer and not self.reason:
            self.last = answer
            self.times.clock.append(answer['clock'])
            self.times.processor.append(answer['processor'])

    def row(self) -> Row:
        """Return what is known of the candidate, see ``_row``."""
        if not self.reason and self.process is not None:
            self.gpu = gpu_memory(self.process.pid) or self.last.get('gpu_memory')
        return _row(self.candidate, self.facts, self.times, self.last, self.gpu, self.reason)

    def labels(self) -> np.ndarray | None:
        """Return uint8 (N, H, W) of all its images; None where it has failed."""
        return None if self.reason else np.asarray(np.load(self.labels_file))

    def close(self) -> None:
        """End the process."""
        if self.process is None:
            return
        assert self.process.stdin is not None and self.process.stdout is not None
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.process = None


def _row(
    candidate: Candidate, facts: dict[str, Any], times: Times, last: dict[str, Any],
    gpu: int | None, reason: str,
) -> Row:
    """Return one row of the result.

    Times are of one run of ``batch`` images, uint8 in and labels out, on the host at both ends.
    Images per second are ``batch`` / the mean of them. Memory is the process's peak and what it
    has on the GPU, in bytes; None where it is not known. A candidate that could not be measured
    has None and the reason.
    """
    size = facts.get('input_size') or candidate.input_size
    done = not reason and times.clock
    summary = times.summary() if done else dict.fromkeys(
        ('median_ms', 'best_ms', 'mean_ms', 'p95_ms', 'processor_ms'))
    mean = summary['mean_ms']
    return {
        'model': facts.get('name', candidate.model),
        'network': facts.get('network'),
        'network_args': facts.get('network_args', {}),
        'classes': facts.get('classes'),
        'random_weights': facts.get('random_weights'),
        'runtime': facts.get('runtime', candidate.runtime),
        'precision': facts.get('precision', candidate.precision),
        'input_size': list(size) if size else None,
        'batch': candidate.batch,
        'details': facts.get('details', ''),
        'load_seconds': facts.get('load_seconds'),
        'runs': len(times.clock),
        **summary,
        'images_per_second': round(1e3 * candidate.batch / mean, 2) if mean else None,
        'peak_memory': last.get('peak_memory'),
        'gpu_memory': gpu,
        'same_labels': None,
        'same_labels_as': None,
        'times_as_fast_as_eager': None,
        'reason': reason,
    }
