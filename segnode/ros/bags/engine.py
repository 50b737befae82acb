# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The segmenters of a run: one for each worker thread, made when it is first needed.

Threads, not processes: the network, decoding and encoding run outside the interpreter's lock, no
picture is copied between processes, and a kill leaves no orphan.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
import contextlib
import dataclasses
import hashlib
import json
import logging
import os
import queue
import threading
from typing import Any

import cv2

from segnode.commands.arguments import runtime_options
from segnode.model import Model
from segnode.ros.bags.options import BagOptions
from segnode.runtimes import load_runtime
from segnode.runtimes.base import LABELS_AT
from segnode.segmenter import Segmenter
from segnode.view import View

_LOG = logging.getLogger('segnode')
_THREADS = 'bag-worker'
_GPU_WORKERS = 4  # they decode and encode while one of them runs the network
_GPU_BATCH = 8


@dataclasses.dataclass(frozen=True)
class Lent:
    """A segmenter that one thread has for itself, and the views of topics that have their own."""

    segmenter: Segmenter
    views: dict[str, View]

    def view(self, topic: str) -> View:
        """Return what of the images of a topic it is to see."""
        return self.views.get(topic, self.segmenter.view)


class Engine:
    """Worker threads and their segmenters.

    Args:
        options: which model and runtime, how many workers.

    Raises:
        SegnodeError: see Segmenter.load.
    """

    def __init__(self, options: BagOptions) -> None:
        self._options = options
        self._threads = options.threads or 1
        self._given = _given(options, self._threads)
        first = Segmenter.load(
            options.model, runtime=options.runtime, fit=options.fit, labels_at=options.labels_at,
            roi=options.roi, rotation=options.rotation, ego_mask=options.ego_mask or None,
            label_grouping=options.label_grouping or None,
            allow_random_weights=options.allow_random_weights, **self._given)
        self._first = first
        self._views = {view.topic: View.of(view.roi, view.rotation, view.ego_mask or None)
                       for view in options.views}
        self.model: Model = first.model
        self.label_set = first.label_set
        self.runtime = first.runtime.name
        self.details = first.runtime.details
        on_cpu = ', CPU' in first.runtime.details
        cores = usable_cores()
        self.workers = options.workers or (
            max(1, cores // self._threads) if on_cpu else min(_GPU_WORKERS, cores))
        # None: any number of images in one run. On the CPU a batch gains nothing: every image
        # keeps a core busy by itself, and a batch needs more cache than there is.
        self.fixed_batch = first.runtime.batch
        self.batch = self.fixed_batch or options.batch or (1 if on_cpu else _GPU_BATCH)
        self._free: queue.SimpleQueue[Lent] = queue.SimpleQueue()
        self._free.put(Lent(first, self._views))
        self._all = [first]
        self._making = threading.Lock()
        # The workers are what keeps the cores busy; threads of OpenCV's would only be in the way.
        self._cv2_threads = cv2.getNumThreads()
        cv2.setNumThreads(1)
        self.pool = ThreadPoolExecutor(self.workers, thread_name_prefix=_THREADS)
        _LOG.addFilter(_not_again)

    @contextlib.contextmanager
    def segmenter(self) -> Iterator[Lent]:
        """Lend a segmenter that no other thread has."""
        try:
            lent = self._free.get_nowait()
        except queue.Empty:
            lent = self._another()
        try:
            yield lent
        finally:
            self._free.put(lent)

    def _another(self) -> Lent:
        options = self._options
        runtime = load_runtime(
            self.model, self.runtime, label_stride=LABELS_AT[options.labels_at], **self._given)
        # A view keeps what it has resized, and is not for two threads at once.
        made = Segmenter(
            self.model, runtime, options.fit, options.labels_at,
            view=dataclasses.replace(self._first.view), grouping=self._first.grouping)
        with self._making:
            self._all.append(made)
        return Lent(made, {topic: dataclasses.replace(view)
                           for topic, view in self._views.items()})

    def content(self) -> dict[str, str]:
        """Return what decides on the content of an output beside the options, as JSON has it.

        Of files that is what is in them, not what they are called.
        """
        ego, grouping = self._first.view.ego, self._first.grouping
        told = {'weights': self.model.weights_sha256, 'ego_mask': '', 'label_grouping': ''}
        if ego is not None:
            told['ego_mask'] = _digest(f'{ego.shape}', ego.tobytes())
        for topic, view in self._views.items():
            if view.ego is not None:
                told[f'ego_mask of {topic}'] = _digest(f'{view.ego.shape}', view.ego.tobytes())
        if grouping is not None:
            told['label_grouping'] = _digest(
                json.dumps(grouping.groups.to_dict()), grouping.table.tobytes())
        return told

    def close(self) -> None:
        """End the threads and give the segmenters back."""
        self.pool.shutdown(cancel_futures=True)
        _LOG.removeFilter(_not_again)
        cv2.setNumThreads(self._cv2_threads)
        for segmenter in self._all:
            segmenter.close()


def _given(options: BagOptions, threads: int) -> dict[str, Any]:
    """Return what every runtime of a run is loaded with."""
    given: dict[str, Any] = {
        'input_size': options.input_size, 'threads': threads, 'at_once': max(1, options.batch),
        'confidence': options.confidence or options.min_confidence > 0.0,
        'samples': 0 if options.uncertainty == 'none' else options.samples,
    }
    given.update(runtime_options(argparse.Namespace(**vars(options))))
    return given


def _digest(text: str, data: bytes) -> str:
    return hashlib.sha256(text.encode() + b'\0' + data).hexdigest()


def usable_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, 'sched_getaffinity'):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _not_again(record: logging.LogRecord) -> bool:
    """Pass what is said once; each worker's segmenter would say it anew."""
    return record.levelno > logging.INFO or not (record.threadName or '').startswith(_THREADS)
