# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""What a model gets right on a split: the very call that a user and the node make, scored."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from tqdm import tqdm

from segnode.errors import SegnodeError
from segnode.fitting import at_size
from segnode.labels import LabelSet
from segnode.segmenter import Segmentation
from training.datasets.source import Pool
from training.evaluation import Evaluation, FrameScore
from training.instance_metrics import InstanceStats
from training.metrics import confusion_matrix

READERS = 4  # threads that decode ahead
AHEAD = 8  # frames that wait decoded, at most


class Segments(Protocol):
    """What is evaluated: a Segmenter, or a MultiViewSegmenter."""

    @property
    def label_set(self) -> LabelSet:
        """Return its classes."""

    def segment(self, bgr: np.ndarray) -> Segmentation:
        """Segment one image."""


def evaluate(
    segmenter: Segments,
    pool: Pool,
    *,
    indices: Sequence[int] | None = None,
    save: Path | None = None,
    progress: bool = True,
) -> Evaluation:
    """Compare what ``segmenter.segment`` says with the untouched truth at the image's size.

    Args:
        segmenter: what says it.
        pool: the frames, in the segmenter's classes.
        indices: of the frames to look at, by default all.
        save: folder for the label pictures, ``DATASET/KEY.png`` (train ids).
        progress: show a bar.

    Raises:
        SegnodeError: the model's classes are not those of the data, a file is unreadable, or a
            picture cannot be written.
    """
    indices = range(len(pool)) if indices is None else indices
    with tqdm(total=len(indices), desc='evaluate', unit='frame', leave=False,
              disable=None if progress else True) as bar:
        scores = score_frames(segmenter, pool, indices, save, lambda: bar.update() or True)
    return Evaluation(pool.label_set, tuple(scores), pool.names)


def score_frames(
    segmenter: Segments,
    pool: Pool,
    indices: Sequence[int],
    save: Path | None = None,
    go_on: Callable[[], bool] = lambda: True,
) -> list[FrameScore]:
    """Score some frames, in the order of ``indices``.

    Args:
        segmenter, pool, indices, save: see ``evaluate``.
        go_on: called after every frame; the rest is left out where it says no.

    Raises:
        SegnodeError: see ``evaluate``.
    """
    labels = pool.label_set
    if segmenter.label_set.names != labels.names:
        raise SegnodeError(
            f'The model knows the classes of "{segmenter.label_set.name}", but the data is '
            f'labelled with "{labels.name}".'
        )
    scores = []
    for index, image, truth, instances in _loaded(pool, indices):
        # Labels of another size (``labels_at``) are enlarged as whoever looks at them would.
        predicted = at_size(segmenter.segment(image).labels, truth.shape)
        scores.append(_score(index, pool, predicted, truth, instances))
        if save is not None:
            save_labels(save / f'{pool.key(index)}.png', predicted)
        if not go_on():
            break
    return scores


def evenly(length: int, limit: int | None = None) -> list[int]:
    """Return the indices of at most ``limit`` of so many frames, evenly taken from all."""
    shown = min(limit or length, length)
    return [int(i) for i in np.linspace(0, length - 1, shown).round()]


def save_labels(path: Path, labels: np.ndarray) -> None:
    """Write uint8 (H, W) as a PNG of one channel, whole or not at all.

    Raises:
        SegnodeError: the file cannot be written.
    """
    from segnode.files import write_bytes

    done, content = cv2.imencode('.png', labels)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, content.tobytes())
    except OSError as error:
        raise SegnodeError(f'{path} cannot be written: {error.strerror or error}') from error


def _score(
    index: int, pool: Pool, predicted: np.ndarray, truth: np.ndarray,
    instances: np.ndarray | None,
) -> FrameScore:
    labels = pool.label_set
    counts = None
    if instances is not None:
        if instances.shape != truth.shape:
            raise SegnodeError(
                f'{pool.key(index)} is {truth.shape[0]}x{truth.shape[1]}, but its instances are '
                f'{instances.shape[0]}x{instances.shape[1]}.'
            )
        stats = InstanceStats(labels)
        stats.add(instances, predicted)
        counts = stats.counts
    matrix = confusion_matrix(truth, predicted, labels.num_classes)
    return FrameScore(index, pool.key(index), matrix, counts)


def _loaded(pool: Pool, indices: Sequence[int]) -> Iterator[tuple[Any, ...]]:
    """Yield (index, image, truth, instances) in order; some are decoded ahead of their turn."""
    # What is drawn and not read is drawn by one thread: the painter is not for several.
    drawn = any(source.dataset.read_pair is not None for source in pool.sources)
    waiting: deque[Future[tuple[Any, ...]]] = deque()

    def load(index: int) -> tuple[Any, ...]:
        image, truth = pool.load(index)
        return index, image, truth, pool.load_instances(index)

    with ThreadPoolExecutor(1 if drawn else READERS) as readers:
        try:
            for index in indices:
                waiting.append(readers.submit(load, index))
                if len(waiting) > AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
