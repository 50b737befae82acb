# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Which samples a process sees: shuffled and padded to train, exact to evaluate."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler


class TrainSampler(Sampler[tuple[int, int]]):
    """Yields (epoch, index), shuffled by seed and epoch alone.

    The epoch travels with the index so that the augmentation of a sample depends on nothing
    but seed, epoch and index: a resumed run sees what an unbroken one would have seen, with
    any number of loader processes.
    """

    def __init__(self, length: int, seed: int, rank: int = 0, world: int = 1) -> None:
        self.length, self.seed, self.rank, self.world = length, seed, rank, world
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer before every epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-self.length // self.world)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        order = np.random.default_rng((self.seed, self.epoch)).permutation(self.length)
        order = np.resize(order, len(self) * self.world)
        return iter((self.epoch, int(i)) for i in order[self.rank::self.world])


class EvalSampler(Sampler[int]):
    """Every sample exactly once over all processes, nothing repeated to even them out."""

    def __init__(self, length: int, rank: int = 0, world: int = 1) -> None:
        self.indices = range(rank, length, world)

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[int]:
        return iter(self.indices)
