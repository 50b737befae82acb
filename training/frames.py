# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Decoded frames of a pool, kept where they fit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.datasets.source import Pool
from training.parallel import in_order

SAMPLED = 8  # frames that are decoded to estimate what all of them take
SHARE = 4  # decoded frames may take a quarter of the memory that is free
MANY_SIZES = 4  # sizes among those frames; more make no batches worth mentioning on a device


class Frames:
    """The frames of a pool, decoded when they are asked for.

    Args:
        pool: where they come from.
        keep: decode each only once.
    """

    def __init__(self, pool: Pool, keep: bool) -> None:
        self.pool, self.keep = pool, keep
        self._kept: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def __len__(self) -> int:
        return len(self.pool)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Image uint8 (h, w, 3) BGR and label uint8 (h, w)."""
        if not self.keep:
            return self.pool.load(index)
        if index not in self._kept:
            self._kept[index] = self.pool.load(index)
        return self._kept[index]

    def decode_all(self, progress: bool) -> None:
        """Decode all that are to be kept, so that processes forked from this one share them."""
        if self.keep:
            missing = [index for index in range(len(self)) if index not in self._kept]
            decoded = in_order(self.pool.load, missing, 'decoding', progress=progress,
                               threads=self.pool.threads)
            self._kept.update(zip(missing, decoded))


@dataclass(frozen=True)
class Plan:
    """Where frames are kept and augmented.

    Args:
        on_device: the training frames lie on the device and are augmented there.
        keep_train, keep_val: they stay decoded in the machine's memory.
        reason: all of it in one sentence.
    """

    on_device: bool
    keep_train: bool
    keep_val: bool
    reason: str


def sampled_size(pool: Pool) -> tuple[int, int]:
    """Estimate from a few frames: bytes of all when decoded, and how many sizes are among them."""
    chosen = np.unique(np.linspace(0, len(pool) - 1, min(SAMPLED, len(pool))).astype(int))
    shapes = []
    for index in chosen.tolist():
        image, label = pool.load(index)
        shapes.append((image.nbytes + label.nbytes, label.shape))
    mean = sum(size for size, _ in shapes) / len(shapes)
    return round(mean * len(pool)), len({shape for _, shape in shapes})


def plan(
    train: tuple[int, int],
    val: tuple[int, int],
    memory: int,
    *,
    cache: str = 'auto',
    augment_on: str = 'auto',
    device: str = 'cpu',
    device_memory: int = 0,
) -> Plan:
    """Decide what is kept where.

    Args:
        train, val: see ``sampled_size``.
        memory: bytes that are free for this process.
        cache: auto, memory or none.
        augment_on: auto, loader or device.
        device: type of the device that is trained on.
        device_memory: bytes that are free there; for a device that is not the CPU.
    """
    room = memory / SHARE
    if device == 'cpu':
        device_memory = memory
    on_device = augment_on == 'device' or (
        augment_on == 'auto' and device != 'cpu' and cache != 'none'
        and train[0] <= device_memory / SHARE and train[1] <= MANY_SIZES
    )
    keep_train = not on_device and (cache == 'memory' or cache == 'auto' and train[0] <= room)
    if keep_train or (on_device and device == 'cpu'):
        room -= train[0]
    keep_val = cache == 'memory' or cache == 'auto' and val[0] <= room

    def kept(yes: bool) -> str:
        return 'kept decoded' if yes else 'read each time'

    where = f'kept and augmented on {device}' if on_device else (
        f'{kept(keep_train)} and augmented by the loader'
    )
    elsewhere = f', {_amount(device_memory)} on {device}' if device != 'cpu' else ''
    return Plan(on_device, keep_train, keep_val, (
        f'The frames to train on ({_amount(train[0])} decoded) are {where}, those to validate on '
        f'({_amount(val[0])}) are {kept(keep_val)}; {_amount(memory)} are free{elsewhere} '
        f'(data.cache {cache}, data.augment_on {augment_on}).'
    ))


def _amount(size: float) -> str:
    return f'{size / 1e9:.1f} GB' if size >= 1e9 else f'{size / 1e6:.0f} MB'
