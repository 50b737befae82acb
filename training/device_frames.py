# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""A small dataset, decoded once, on the device that trains on it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from training.augment import Augment, mean_color
from training.batch_augment import batch_views
from training.datasets.source import Pool
from training.parallel import in_order
from training.sampling import generator, Pick

Batch = tuple[Tensor, Tensor, tuple[str, ...]]


class DeviceFrames:
    """All frames of a pool as one tensor for each size; makes batches of augmented crops.

    Args:
        pool: the frames. Every process holds all of them.
        augment: draws what is done to each.
        seed: of the run.
        device: where they lie and are augmented.
        look: whether drawing looks into the labels, which then stay with the CPU as well.
        progress: show a bar while they are decoded.

    Raises:
        SegnodeError: a file is unreadable.
    """

    def __init__(
        self,
        pool: Pool,
        augment: Augment,
        seed: int,
        device: torch.device,
        *,
        look: bool = True,
        progress: bool = True,
    ) -> None:
        self.augment, self.seed, self.device = augment, seed, device
        self.keys = pool.keys()
        decoded: dict[tuple[int, ...], list[tuple[Tensor, Tensor, np.ndarray]]] = {}
        self._labels: list[np.ndarray] = []
        self._place: list[tuple[tuple[int, ...], int]] = []
        loaded = in_order(pool.load, range(len(pool)), 'decoding', progress=progress,
                          threads=pool.threads)
        for image, label in loaded:
            group = decoded.setdefault(label.shape, [])
            self._place.append((label.shape, len(group)))
            color = np.zeros(3, np.uint8) if augment.black else mean_color(image)
            planes = np.ascontiguousarray(image.transpose(2, 0, 1))
            group.append((
                torch.from_numpy(planes).to(device),
                torch.from_numpy(np.require(label, None, 'W')).to(device), color,
            ))
            # Of what is only measured, an array that takes no memory has the shape, too.
            self._labels.append(label if look else np.broadcast_to(np.uint8(0), label.shape))
        self._groups = {}
        for shape in list(decoded):
            images, labels, colors = zip(*decoded.pop(shape))
            self._groups[shape] = (
                torch.stack(images), torch.stack(labels),
                torch.from_numpy(np.stack(colors)).to(device),
            )

    @property
    def nbytes(self) -> int:
        """Bytes that the frames take on the device."""
        return sum(tensor.nbytes for group in self._groups.values() for tensor in group)

    @torch.no_grad()
    def batch(self, picks: Sequence[Pick]) -> Batch:
        """Images uint8 (N, H, W, 3) BGR, labels uint8 (N, H, W) and names of the frames."""
        views = [
            self.augment.draw(self._labels[p.frame], generator(self.seed, p), p.wanted)
            for p in picks
        ]
        by_shape: dict[tuple[int, ...], list[int]] = {}
        for position, pick in enumerate(picks):
            by_shape.setdefault(self._place[pick.frame][0], []).append(position)
        parts = [
            batch_views(
                *self._groups[shape], [self._place[picks[i].frame][1] for i in chosen],
                [views[i] for i in chosen], self.augment.size, self.augment.black,
            )
            for shape, chosen in by_shape.items()
        ]
        images, labels = (torch.cat(tensors) for tensors in zip(*parts))
        if len(parts) > 1:
            back = torch.tensor(np.argsort(sum(by_shape.values(), []))).to(self.device)
            images, labels = images[back], labels[back]
        return images, labels, tuple(self.keys[pick.frame] for pick in picks)
