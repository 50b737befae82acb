# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Taking turns and taking times."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import cycle, islice
import statistics
import time
from typing import Any

import numpy as np

from segnode.dependencies import require
from segnode.model import Model

Run = Callable[[np.ndarray], np.ndarray]


@dataclass
class Times:
    """What each run of one candidate took, in ms: on the clock, and of all its threads."""

    clock: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)

    def summary(self) -> dict[str, float]:
        """Return median, best, mean and 95th percentile on the clock, and of all threads.

        The percentile is interpolated between the two runs beside it; of few runs it says little.
        """
        return {
            'median_ms': round(statistics.median(self.clock), 2),
            'best_ms': round(min(self.clock), 2),
            'mean_ms': round(statistics.fmean(self.clock), 2),
            'p95_ms': round(float(np.percentile(self.clock, 95)), 2),
            'processor_ms': round(statistics.median(self.processor), 2),
        }


def timed(run: Callable[[], Any]) -> tuple[float, float]:
    """Return the ms that a call takes on the clock and of all threads of this process."""
    start, used = time.perf_counter(), time.process_time()
    run()
    return 1e3 * (time.perf_counter() - start), 1e3 * (time.process_time() - used)


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
            clock, processor = timed(lambda run=run, image=image: run(image))  # type: ignore[misc]
            times[name].clock.append(clock)
            times[name].processor.append(processor)
    return times


def eager(model: Model, threads: int, device: str = 'cpu') -> Run:
    """Return the deploy graph around the network as it was trained: float32, NCHW, no rewrites.

    Args:
        model: with its weights.
        threads: on the CPU.
        device: 'cpu' or 'cuda'.
    """
    torch = require('torch', 'the benchmark')
    from segnode.runtimes.graph import DeployGraph

    torch.set_num_threads(threads)
    graph = DeployGraph(model.build_network(), model.record).eval().to(device)

    def run(images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return np.asarray(graph(torch.from_numpy(images).to(device)).cpu().numpy())

    return run


def labels(runtime: Any) -> Run:
    """Return what gives a runtime's labels."""
    return lambda images: np.asarray(runtime.run(images).labels)
