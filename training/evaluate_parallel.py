# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""One evaluation by several processes: the result is, to the last bit, that of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from dataclasses import dataclass
import multiprocessing
import os
from pathlib import Path
from typing import Any

from tqdm import tqdm

from segnode.labels import LabelSet
from training.datasets.source import open_pool, Pool
from training.evaluate import evaluate, score_frames, Segments
from training.evaluation import Evaluation, FrameScore
from training.inference import Inference

GPUS = Path('/proc/driver/nvidia/gpus')  # the NVIDIA driver's list, one entry each


@dataclass(frozen=True)
class Task:
    """What is evaluated, as plain values that travel to other processes.

    Args:
        inference: the model.
        data: DATASET:SPLIT of each source.
        roots, label_maps: see ``open_pool``.
        save: folder for label pictures; None writes none.
    """

    inference: Inference
    data: tuple[str, ...]
    roots: Mapping[str, str]
    label_maps: tuple[str, ...] = ()
    save: Path | None = None

    def pool(self, labels: LabelSet) -> Pool:
        """Return the frames in the model's classes."""
        return open_pool(self.data, self.roots, labels, self.label_maps)


def evaluate_parallel(
    task: Task,
    loaded: Segments,
    pool: Pool,
    indices: Sequence[int],
    processes: int = 1,
    progress: bool = True,
) -> Evaluation:
    """Evaluate with some processes, this one among them.

    Process r of n takes frames r, r + n, r + 2n, ...: each frame is looked at once, none is
    repeated to even them out. Counts come back frame by frame and are summed in the frames'
    order, so that floating-point sums cannot differ either.

    Args:
        task: what the other processes load.
        loaded: the same, loaded here.
        pool: the task's.
        indices: of the frames.
        processes: how many; each of the others takes the next of this machine's GPUs.
        progress: show a bar.

    Raises:
        SegnodeError: see ``evaluate``; of another process, too.
    """
    processes = min(processes, len(indices))
    if processes <= 1:
        return evaluate(loaded, pool, indices=indices, save=task.save, progress=progress)
    context = multiprocessing.get_context('spawn')
    done, stop = context.Value('q', 0), context.Event()
    with ProcessPoolExecutor(
        processes - 1, mp_context=context, initializer=_share_progress, initargs=(done, stop)
    ) as others, tqdm(
        total=len(indices), desc='evaluate', unit='frame', leave=False,
        disable=None if progress else True,
    ) as bar:
        futures = [
            others.submit(_score_share, task, list(indices), rank, processes)
            for rank in range(1, processes)
        ]
        own = 0

        def go_on() -> bool:
            nonlocal own
            own += 1
            bar.update(own + done.value - bar.n)
            return not any(future.done() and future.exception() for future in futures)

        try:
            scores = score_frames(loaded, pool, indices[::processes], task.save, go_on)
            while True:
                state = wait(futures, timeout=0.2, return_when=FIRST_EXCEPTION)
                bar.update(own + done.value - bar.n)
                if not state.not_done or any(future.exception() for future in state.done):
                    break
            for future in sorted(futures, key=lambda future: not future.done()):
                scores += future.result()
        finally:
            stop.set()  # where one has failed, the others need not go on
    scores.sort(key=lambda score: score.index)
    return Evaluation(pool.label_set, tuple(scores), pool.names)


def gpu_of(rank: int, environment: Mapping[str, str], gpus: int) -> str:
    """Return the GPU of a process, as CUDA_VISIBLE_DEVICES names it; '' where there is none.

    Args:
        rank: of the process.
        environment: the user's; a list of GPUs in CUDA_VISIBLE_DEVICES is kept to.
        gpus: how many this machine has.
    """
    named = environment.get('CUDA_VISIBLE_DEVICES')
    choices = [str(i) for i in range(gpus)] if named is None else named.split(',')
    return choices[rank % len(choices)] if choices else ''


_progress: tuple[Any, Any] | None = None  # in another process: frames done, and the word to stop


def _share_progress(done: Any, stop: Any) -> None:
    """Begin one of the other processes."""
    global _progress
    _progress = done, stop


def _score_share(
    task: Task, indices: Sequence[int], rank: int, processes: int
) -> list[FrameScore]:
    """Score this process's frames; runs in another process."""
    assert _progress is not None
    done, stop = _progress
    # Before anything looks for a GPU.
    gpu = gpu_of(rank, os.environ, len(list(GPUS.iterdir())) if GPUS.is_dir() else 0)
    if gpu:
        os.environ['CUDA_VISIBLE_DEVICES'] = gpu
    loaded = task.inference.load()

    def go_on() -> bool:
        with done.get_lock():
            done.value += 1
        return not stop.is_set()

    try:
        pool = task.pool(loaded.label_set)
        return score_frames(loaded, pool, indices[rank::processes], task.save, go_on)
    finally:
        loaded.close()
