# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Loaders for training and validation."""

from __future__ import annotations

from collections.abc import Sequence
import functools
import math
import sys
from typing import Any

import cv2
import numpy as np
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, Dataset

from segnode.available_memory import available_memory
from segnode.errors import SegnodeError
from segnode.labels import load_label_set
from training.augment import Augment
from training.check_data import check_sizes
from training.config import DataConfig, FitConfig
from training.datasets.source import open_pool, Pool, refuse_overlap
from training.device_frames import DeviceFrames
from training.frames import Frames, Plan, plan, sampled_size
from training.processes import rank
from training.sampling import EvalSampler, generator, Pick, TrainSampler


class TrainSet(Dataset[tuple[torch.Tensor, torch.Tensor, str]]):
    """Augmented crops: image uint8 (H, W, 3) BGR, label uint8 (H, W) and the frame's name."""

    def __init__(self, frames: Frames, augment: Augment, seed: int) -> None:
        self.frames, self.augment, self.seed = frames, augment, seed

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, pick: Pick) -> tuple[torch.Tensor, torch.Tensor, str]:
        image, label = self.augment(
            *self.frames[pick.frame], generator(self.seed, pick), pick.wanted
        )
        return torch.from_numpy(image), torch.from_numpy(label), self.frames.pool.key(pick.frame)


class PickSet(Dataset[Pick]):
    """The picks themselves, for frames that lie on the device."""

    def __init__(self, length: int) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, pick: Pick) -> Pick:
        return pick


class EvalSet(Dataset[tuple[np.ndarray, np.ndarray]]):
    """Whole frames as they are on disk."""

    def __init__(self, frames: Frames) -> None:
        self.frames = frames

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        return self.frames[index]


class SegmentationData(pl.LightningDataModule):
    """Training and validation loaders of one run.

    A training batch is uint8 images (N, H, W, 3) BGR, uint8 labels (N, H, W) and the frames'
    names (DATASET/KEY). Where the frames lie on the device, the loader gives picks alone, and
    ``on_after_batch_transfer`` makes the batch of them.

    Attributes:
        train: what is trained on.
        val: what is validated on, with the same classes.

    Raises:
        SegnodeError: missing data, an image and label that differ in size, a class that there
            is not, or a frame that is in both splits.
    """

    def __init__(self, config: FitConfig) -> None:
        super().__init__()
        self.config = config
        data = config.data
        label_set = load_label_set(data.label_set) if data.label_set else None
        self.train = open_pool(data.train, data.roots, label_set, data.label_maps)
        self.val = open_pool(data.val, data.roots, self.train.label_set, data.label_maps)
        refuse_overlap(self.train, self.val)
        self._drawn = _drawn_classes(data, self.train)
        if data.check and rank() == 0:
            for pool in (self.train, self.val):
                check_sizes(pool)
        self.augment = Augment(
            data.input_size, data.scale, data.flip, data.jitter, data.hue, data.scale_of, data.fit,
            whole=data.network_size, cat_max_ratio=data.cat_max_ratio,
            white_balance=data.white_balance, gamma=data.gamma,
        )

    @functools.cached_property
    def plan(self) -> Plan:
        """Where frames are kept and augmented; told in one line when it is first asked for."""
        data, device = self.config.data, self._device()
        free = 0
        if device.type == 'cuda':
            free = torch.cuda.mem_get_info(device)[0]
        chosen = plan(
            sampled_size(self.train), sampled_size(self.val),
            available_memory() // (self.trainer.num_devices if self.trainer else 1),
            cache=data.cache, augment_on=data.augment_on, device=device.type, device_memory=free,
        )
        if rank() == 0:
            print(chosen.reason, file=sys.stderr, flush=True)
        return chosen

    @functools.cached_property
    def device_frames(self) -> DeviceFrames:
        """The training frames on the device, where the plan has them there."""
        data = self.config.data
        return DeviceFrames(
            self.train, self.augment, self.config.seed, self._device(),
            look=data.class_uniform > 0 or data.cat_max_ratio < 1,
            progress=rank() == 0,
        )

    @functools.cached_property
    def _frames(self) -> tuple[Frames, Frames]:
        return Frames(self.train, self.plan.keep_train), Frames(self.val, self.plan.keep_val)

    def train_dataloader(self) -> DataLoader[Any]:
        config, data = self.config, self.config.data
        process, world = self._place()
        classes = None
        if data.class_uniform > 0:
            classes = (self.train.class_histograms() > 0) & self._drawn
        sampler = TrainSampler(
            [len(source) for source in self.train.sources], config.seed, process, world,
            data.weights, data.class_uniform, classes,
        )
        drop_last = len(self.train) >= config.batch_size * world
        if self.plan.on_device:
            _ = self.device_frames  # decoded before the first epoch, not within its first step
            return DataLoader(
                PickSet(len(self.train)), batch_size=config.batch_size, sampler=sampler,
                collate_fn=list, drop_last=drop_last,
            )
        frames = self._frames[0]
        workers = math.ceil(data.workers / (self.trainer.num_devices if self.trainer else 1))
        if workers:
            frames.decode_all(progress=rank() == 0)
        return DataLoader(
            TrainSet(frames, self.augment, config.seed),
            batch_size=config.batch_size,
            sampler=sampler,
            num_workers=workers,
            # Forked workers share what is decoded already.
            multiprocessing_context='fork' if workers else None,
            worker_init_fn=_one_thread,
            persistent_workers=workers > 0,
            drop_last=drop_last,
            pin_memory=torch.cuda.is_available(),
        )

    def val_dataloader(self) -> DataLoader[Any]:
        process, world = self._place()
        return DataLoader(
            EvalSet(self._frames[1]),
            batch_size=None,
            sampler=EvalSampler(len(self.val), process, world),
            collate_fn=lambda sample: sample,
        )

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        if isinstance(batch, list) and isinstance(batch[0], Pick):
            return self.device_frames.batch(batch)
        return batch

    def _place(self) -> tuple[int, int]:
        trainer = self.trainer
        return (trainer.global_rank, trainer.world_size) if trainer else (0, 1)

    def _device(self) -> torch.device:
        trainer = self.trainer
        return trainer.strategy.root_device if trainer else torch.device('cpu')


def _one_thread(worker: int) -> None:
    # OpenCV's threads do not survive a fork, and every worker would start its own.
    cv2.setNumThreads(0)


def _drawn_classes(data: DataConfig, pool: Pool) -> np.ndarray:
    """Bool (C,): the classes that class-uniform sampling draws.

    Raises:
        SegnodeError: one that is to be left out does not exist, or none is left.
    """
    names: Sequence[str] = pool.label_set.names
    unknown = [name for name in data.class_uniform_without if name not in names]
    if unknown:
        raise SegnodeError(
            f'data.class_uniform_without names {unknown[0]!r}, but the classes are '
            f'{", ".join(names)}.'
        )
    drawn = np.array([name not in data.class_uniform_without for name in names])
    if data.class_uniform > 0 and not drawn.any():
        raise SegnodeError('data.class_uniform_without leaves no class to draw.')
    return drawn
