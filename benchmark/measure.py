# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""What the benchmarks of the runtimes share: images, the yardstick, taking turns, the machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path
import platform
import statistics
import time
from typing import Any

import cv2
import numpy as np

from segnode.dependencies import require
from segnode.errors import SegnodeError
from segnode.fitting import fit_image
from segnode.image_files import is_image_name
from segnode.model import Model
from segnode.road_scene import RoadScene

IMAGES = 4  # images in turn

Run = Callable[[np.ndarray], np.ndarray]


@dataclass
class Times:
    """What each run of one candidate took, in ms: on the clock, and of all its threads."""

    clock: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)

    def summary(self) -> dict[str, float]:
        """Return median and best on the clock and the median of all threads, in ms."""
        return {
            'median_ms': round(statistics.median(self.clock), 2),
            'best_ms': round(min(self.clock), 2),
            'processor_ms': round(statistics.median(self.processor), 2),
        }


def take_turns(
    runs: dict[str, Run],
    images: list[np.ndarray],
    rounds: int,
    seconds: float = float('inf'),
    at_least: int = 3,
) -> dict[str, Times]:
    """Time each candidate once a round, so that other load on the machine falls on all alike.

    Args:
        runs: the candidates, each warm.
        images: taken one after the other, the same for all in a round.
        rounds: number of rounds.
        seconds: after this long no further round begins.
        at_least: but so many rounds are made (or ``rounds``, where that is fewer).
    """
    times = {name: Times() for name in runs}
    end = time.monotonic() + seconds
    for done, image in enumerate(islice(cycle(images), rounds)):
        if done >= at_least and time.monotonic() > end:
            break
        for name, run in runs.items():
            start, used = time.perf_counter(), time.process_time()
            run(image)
            times[name].clock.append(1e3 * (time.perf_counter() - start))
            times[name].processor.append(1e3 * (time.process_time() - used))
    return times


def eager(model: Model, threads: int) -> Run:
    """Return the deploy graph around the network as it was trained: float32, NCHW, no rewrites."""
    torch = require('torch', 'the benchmark')
    from segnode.runtimes.graph import DeployGraph

    torch.set_num_threads(threads)
    graph = DeployGraph(model.build_network(), model.record).eval()

    def run(images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return np.asarray(graph(torch.from_numpy(images)).numpy())

    return run


def labels(runtime: Any) -> Run:
    """Return what gives a runtime's labels."""
    return lambda images: np.asarray(runtime.run(images).labels)


def load_images(folder: Path | None, size: tuple[int, int]) -> list[np.ndarray]:
    """Return uint8 (1, H, W, 3) images, spread over the folder, or rendered.

    Raises:
        SegnodeError: there are no images, or one cannot be read.
    """
    if folder is None:
        scene = RoadScene(*size)
        return [scene.frame(25 * index)[0][None] for index in range(IMAGES)]
    paths = sorted(p for p in folder.rglob('*') if is_image_name(p))
    if not paths:
        raise SegnodeError(f'there are no images in {folder}')
    images = []
    for path in paths[:: max(1, len(paths) // IMAGES)][:IMAGES]:
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if image is None:
            raise SegnodeError(f'{path} cannot be read as an image')
        images.append(fit_image(np.asarray(image), size)[0][None])
    return images


def processor() -> str:
    """Return the processor's name."""
    for line in _lines('/proc/cpuinfo'):
        if line.startswith('model name'):
            return line.partition(':')[2].strip()
    return platform.machine()


def available_memory() -> int:
    """Return the bytes of memory that programs can still take; 0 where that is not known."""
    for line in _lines('/proc/meminfo'):
        if line.startswith('MemAvailable:'):
            return 1024 * int(line.split()[1])
    return 0


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:  # not Linux
        return []
