# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Which samples a process sees: shuffled and padded to train, exact to evaluate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from torch.utils.data import Sampler


class Pick(NamedTuple):
    """One frame of one epoch.

    Args:
        epoch: from 0.
        frame: its index.
        repeat: how often this epoch has shown the frame before.
        wanted: class that the crop is to be centred on; None leaves the crop to chance.
    """

    epoch: int
    frame: int
    repeat: int = 0
    wanted: int | None = None


def generator(seed: int, pick: Pick) -> np.random.Generator:
    """Return what the augmentation of a pick is drawn from.

    It depends on nothing but the run's seed and the pick: a resumed run sees what an unbroken
    one would have seen, with any number of loader processes.
    """
    again = (pick.repeat,) if pick.repeat else ()
    return np.random.default_rng((seed, pick.epoch, pick.frame, *again))


class TrainSampler(Sampler[Pick]):
    """Yields the picks of an epoch, shuffled by seed and epoch alone.

    Args:
        lengths: samples of each source; indices count through all of them.
        seed: of the run.
        rank, world: this process, and how many there are.
        weights: how often an epoch shows each sample of a source: 1 once, 0.5 a random half of
            them, 2.5 all twice and a random half once more. By default 1 for all.
        class_uniform: share of the picks, by chance, that are replaced: a class is drawn, all
            alike, then a frame that has it.
        classes: bool (samples, C), which classes may be drawn for each frame; for
            ``class_uniform``.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        seed: int,
        rank: int = 0,
        world: int = 1,
        weights: Sequence[float] = (),
        class_uniform: float = 0.0,
        classes: np.ndarray | None = None,
    ) -> None:
        self.lengths, self.weights = list(lengths), list(weights) or [1.0] * len(lengths)
        self.seed, self.rank, self.world = seed, rank, world
        self.length = sum(round(n * w) for n, w in zip(self.lengths, self.weights))
        self.epoch = 0
        self.class_uniform = class_uniform
        # Frames of each class that occurs at all.
        self.frames = {} if classes is None else {
            int(c): np.flatnonzero(classes[:, c]) for c in np.flatnonzero(classes.any(0))
        }

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer before every epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-self.length // self.world)

    def __iter__(self) -> Iterator[Pick]:
        rng = np.random.default_rng((self.seed, self.epoch))
        if all(weight == 1.0 for weight in self.weights):
            order = rng.permutation(self.length)
        else:
            order = rng.permutation(np.concatenate(self._chosen(rng)))
        picks = self._picks(order, rng)
        # Where the processes' shares are uneven, the first picks are shown once more.
        shares = np.resize(np.arange(len(picks)), len(self) * self.world)
        return iter([picks[i] for i in shares[self.rank::self.world]])

    def _chosen(self, rng: np.random.Generator) -> list[np.ndarray]:
        chosen, first = [], 0
        for length, weight in zip(self.lengths, self.weights):
            whole, rest = divmod(round(length * weight), length)
            chosen += [np.arange(length) + first] * whole
            chosen.append(rng.permutation(length)[:rest] + first)
            first += length
        return chosen

    def _picks(self, order: np.ndarray, rng: np.random.Generator) -> list[Pick]:
        wanted: dict[int, int] = {}
        if self.class_uniform and self.frames:
            known = list(self.frames)
            for position in np.flatnonzero(rng.random(len(order)) < self.class_uniform).tolist():
                wanted[position] = known[int(rng.integers(len(known)))]
                frames = self.frames[wanted[position]]
                order[position] = frames[rng.integers(len(frames))]
        shown: dict[int, int] = {}
        picks = []
        for position, index in enumerate(order.tolist()):
            repeat = shown.get(index, 0)
            shown[index] = repeat + 1
            picks.append(Pick(self.epoch, index, repeat, wanted.get(position)))
        return picks


class EvalSampler(Sampler[int]):
    """Every sample exactly once over all processes, nothing repeated to even them out."""

    def __init__(self, length: int, rank: int = 0, world: int = 1) -> None:
        self.indices = range(rank, length, world)

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[int]:
        return iter(self.indices)
