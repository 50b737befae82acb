# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Many bags: one after the other with all cores, or spread over a Ray cluster, one bag a task."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
import functools
import logging
from pathlib import Path
import time
from typing import Any

from segnode.dependencies import require
from segnode.errors import SegnodeError
from segnode.ros.bags.cameras import NoImages
from segnode.ros.bags.engine import Engine
from segnode.ros.bags.job import Job, Progress, Stopped
from segnode.ros.bags.options import BagOptions

_LOG = logging.getLogger('segnode')
Pairs = list[tuple[Path, Path]]
RAY_RETRIES = 3  # of a bag whose worker was lost
_LOOK = 0.5  # seconds between two looks at the cluster


def one(
    source: Path, out: Path, options: BagOptions, engine: Engine, **arguments: Any
) -> dict[str, Any]:
    """Segment one bag; an error that the user can mend becomes a report with 'error'."""
    try:
        return Job(source, out, options, **arguments).run(engine)
    except NoImages as error:
        return {'status': 'no images', 'bag': str(source), 'out': str(out), 'error': str(error)}
    except SegnodeError as error:
        return {'status': 'failed', 'bag': str(source), 'out': str(out), 'error': str(error)}


def here(
    pairs: Pairs, options: BagOptions, engine: Engine, *, force: bool,
    stopped: Callable[[], bool], progress: Progress, on_report: Callable[[dict[str, Any]], None],
) -> None:
    """Segment bags on this machine; what is complete is passed over.

    Args:
        pairs: each bag and its output.
        options, engine: how.
        force: make complete ones again.
        stopped: tells whether the run is to end.
        progress: where the progress of each bag is shown.
        on_report: is given each bag's report.

    Raises:
        Stopped: the run was told to end.
    """
    for source, out in pairs:
        on_report(one(source, out, options, engine, resume=not force, force=force,
                      stopped=stopped, progress=progress))


def on_ray(
    pairs: Pairs, options: BagOptions, address: str | None, *, gpus: float, force: bool,
    stopped: Callable[[], bool], on_report: Callable[[dict[str, Any]], None],
) -> None:
    """Segment bags on a Ray cluster, one bag a task.

    A task whose worker or machine is lost is started again, and goes on from the journal of the
    one before it (with ``force`` it begins anew).

    Args:
        pairs: each bag and its output, on a file system that every machine sees.
        options: how; a task takes as many cores as it has workers and threads.
        address: of the cluster; None takes the one of this machine, or starts one here.
        gpus: share of a GPU that a task takes.
        force: make complete ones again.
        stopped: tells whether the run is to end.
        on_report: is given each bag's report.

    Raises:
        SegnodeError: Ray is not installed, or there is no such cluster.
        Stopped: the run was told to end.
    """
    ray = require('ray', '--ray')
    try:
        ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False)
    except Exception as error:
        reason = ' '.join(str(error).split())[:300]
        raise SegnodeError(f'there is no Ray cluster at {address or "hand"}: {reason}') from error
    options = anywhere(options)
    cores = max(1, options.workers) * max(1, options.threads)
    task = ray.remote(num_cpus=cores, num_gpus=gpus, max_retries=RAY_RETRIES)(_task)
    waiting: dict[Any, tuple[Path, Path]] = {}
    try:
        have = ray.cluster_resources()
        if have.get('CPU', 0) < cores or have.get('GPU', 0) < gpus:
            raise SegnodeError(
                f'no machine of the cluster can have {cores} cores and {gpus:g} GPUs for a bag')
        for source, out in pairs:
            reference = task.remote(str(source.absolute()), str(out.absolute()), options, force)
            waiting[reference] = (source, out)
        while waiting:
            if stopped():
                raise Stopped
            done, _ = ray.wait(list(waiting), num_returns=1, timeout=_LOOK)
            for reference in done:
                source, out = waiting.pop(reference)
                on_report(_result(ray, reference, source, out))
    finally:
        for reference in waiting:
            ray.cancel(reference, force=True)
        ray.shutdown()


def anywhere(options: BagOptions) -> BagOptions:
    """Return options whose files are found from any folder: the workers stand in others."""
    model = Path(options.model)
    if model.exists() or model.suffix:
        options = replace(options, model=str(model.absolute()))
    if options.ego_mask:
        options = replace(options, ego_mask=str(Path(options.ego_mask).absolute()))
    options = replace(options, views=tuple(
        replace(view, ego_mask=str(Path(view.ego_mask).absolute())) if view.ego_mask else view
        for view in options.views))
    if Path(options.label_grouping).suffix:  # else it is a built-in one
        options = replace(options, label_grouping=str(Path(options.label_grouping).absolute()))
    return options


def _result(ray: Any, reference: Any, source: Path, out: Path) -> dict[str, Any]:
    """Return what a task reported; of one that was lost for good, that."""
    try:
        report: dict[str, Any] = ray.get(reference)
        return report
    except Exception as error:  # a lost worker, no memory, an error of ours
        reason = ' '.join(str(error).split())[:300]
        return {'status': 'failed', 'bag': str(source), 'out': str(out),
                'error': f'its task was lost {1 + RAY_RETRIES} times, or failed: {reason}'}


def _task(source: str, out: str, options: BagOptions, force: bool) -> dict[str, Any]:
    """Segment one bag in a worker of Ray."""
    return one(Path(source), Path(out), options, _engine(options), resume=not force, force=force)


@functools.lru_cache(maxsize=1)
def _engine(options: BagOptions) -> Engine:
    """Return the engine of this worker process, kept from bag to bag."""
    return Engine(options)


class Tally:
    """Adds up the reports of many bags."""

    def __init__(self) -> None:
        self.reports: list[dict[str, Any]] = []
        self._began = time.monotonic()

    def add(self, report: dict[str, Any]) -> None:
        """Count a report."""
        self.reports.append(report)

    def summary(self) -> dict[str, Any]:
        """Return counts by status, frames, and the speed of what was written in this run."""
        status = Counter(report['status'] for report in self.reports)
        written = [report for report in self.reports if report['status'] == 'written']
        seconds = max(time.monotonic() - self._began, 1e-9)
        recorded = sum(report['recorded_seconds'] for report in written)
        frames = sum(report['frames'] for report in written)
        return {
            'written': status['written'], 'complete': status['complete'],
            'no_images': status['no images'], 'failed': status['failed'],
            'frames': frames, 'skipped': sum(report['skipped'] for report in written),
            'seconds': round(seconds, 3), 'frames_per_second': round(frames / seconds, 2),
            'times_real_time': round(recorded / seconds, 2),
            'bags': sorted(self.reports, key=lambda report: report['bag']),
        }
