# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Loaders for training and validation."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, Dataset

from segnode.errors import SegnodeError
from training.augment import Augment
from training.config import FitConfig
from training.datasets.base import Sample
from training.datasets.registry import dataset, dataset_root
from training.sampling import EvalSampler, TrainSampler


class _Decoded:
    """Samples of one split, decoded once and kept in memory."""

    def __init__(self, reader: ModuleType, samples: list[Sample]) -> None:
        self.reader, self.samples = reader, samples
        self._kept: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        if index not in self._kept:
            self._kept[index] = self.reader.load(self.samples[index])
        return self._kept[index]


class TrainSet(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Augmented crops: image uint8 (H, W, 3) BGR and label uint8 (H, W)."""

    def __init__(self, decoded: _Decoded, augment: Augment, seed: int) -> None:
        self.decoded, self.augment, self.seed = decoded, augment, seed

    def __len__(self) -> int:
        return len(self.decoded)

    def __getitem__(self, key: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
        epoch, index = key
        rng = np.random.default_rng((self.seed, epoch, index))
        image, label = self.augment(*self.decoded[index], rng)
        return torch.from_numpy(image), torch.from_numpy(label)


class EvalSet(Dataset[tuple[np.ndarray, np.ndarray]]):
    """Whole frames as they are on disk."""

    def __init__(self, decoded: _Decoded) -> None:
        self.decoded = decoded

    def __len__(self) -> int:
        return len(self.decoded)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        return self.decoded[index]


class SegmentationData(pl.LightningDataModule):
    """Training and validation loaders of one run.

    Raises:
        SegnodeError: missing data, or a frame that is in both splits.
    """

    def __init__(self, config: FitConfig) -> None:
        super().__init__()
        self.config = config
        self.reader = dataset(config.data.dataset)
        root: Path = dataset_root(config.data.dataset, config.data.root, '--data.root')
        train = self.reader.find_samples(root, config.data.train)
        val = self.reader.find_samples(root, config.data.val)
        shared = sorted({s.key for s in train} & {s.key for s in val})
        if shared:
            raise SegnodeError(
                f'{len(shared)} frames are in both {config.data.train} and {config.data.val}, '
                f'first: {shared[0]}.'
            )
        if not train:
            raise SegnodeError(f'The split {config.data.train} of {config.data.dataset} is empty.')
        self.train, self.val = _Decoded(self.reader, train), _Decoded(self.reader, val)

    def class_pixels(self, num_classes: int) -> np.ndarray:
        """Labelled pixels per class over the training split, int64 (num_classes,)."""
        counts = np.zeros(256, np.int64)
        for sample in self.train.samples:
            counts += np.bincount(self.reader.load_label(sample.label).ravel(), minlength=256)
        return counts[:num_classes]

    def train_dataloader(self) -> DataLoader[Any]:
        config, data = self.config, self.config.data
        rank, world = self._place()
        augment = Augment(data.input_size, data.scale, data.flip, data.jitter)
        return DataLoader(
            TrainSet(self.train, augment, config.seed),
            batch_size=config.batch_size,
            sampler=TrainSampler(len(self.train), config.seed, rank, world),
            num_workers=data.workers,
            persistent_workers=data.workers > 0,
            drop_last=len(self.train) >= config.batch_size * world,
            pin_memory=torch.cuda.is_available(),
        )

    def val_dataloader(self) -> DataLoader[Any]:
        rank, world = self._place()
        return DataLoader(
            EvalSet(self.val),
            batch_size=None,
            sampler=EvalSampler(len(self.val), rank, world),
            collate_fn=lambda sample: sample,
        )

    def _place(self) -> tuple[int, int]:
        trainer = self.trainer
        return (trainer.global_rank, trainer.world_size) if trainer else (0, 1)
