# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Events for TensorBoard: losses and rate, IoUs, predictions of a few frames, the confusions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
import torch

from segnode.dependencies import installed
from segnode.labels import LabelSet
from segnode.pictures import color_picture, side_by_side
from training.config import LogConfig
from training.logs.confusion_picture import confusion_picture

WIDTH = 480  # pixels of one picture of a strip


def available() -> bool:
    """Whether TensorBoard is installed."""
    return installed('tensorboard')


class TensorBoard(Callback):
    """Writes to ``FOLDER``; a resumed run goes on where its checkpoint was.

    The tags are ``lr`` and ``loss/step`` every so many steps, ``loss/epoch`` and ``loss/PART``
    every epoch, and at each validation ``val/miou``, ``val/accuracy``, ``iou/CLASS``,
    ``frames/INDEX`` (image, truth and prediction side by side) and ``confusion``.

    Args:
        folder: of the events.
        label_set: of the run.
        config: how much is written.
    """

    def __init__(self, folder: Path, label_set: LabelSet, config: LogConfig) -> None:
        self.folder, self.label_set, self.config = folder, label_set, config
        self._writer: Any = None
        self._shown: dict[int, np.ndarray] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        if trainer.is_global_zero:
            from torch.utils.tensorboard import SummaryWriter

            # What a sitting wrote after its last checkpoint is done again, and so not shown.
            first = trainer.global_step
            self._writer = SummaryWriter(self.folder, purge_step=first + 1 if first else None)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        step, accumulate = trainer.global_step, pl_module.config.accumulate
        if self._writer is None or step % self.config.every or (batch_idx + 1) % accumulate:
            return
        # The trainer has divided the loss for the sum of the accumulated gradients.
        loss = float(outputs['loss']) * accumulate
        self._writer.add_scalar('loss/step', loss, step)
        self._writer.add_scalar('lr', trainer.optimizers[0].param_groups[0]['lr'], step)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        if self._writer is None:
            return
        for name, value in trainer.callback_metrics.items():
            if name.partition('/')[0] == 'loss':
                tag = 'loss/epoch' if name == 'loss' else name
                self._writer.add_scalar(tag, float(value), trainer.global_step)
        self._writer.flush()

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        # This process' share of the frames, from all over it: always the same ones.
        frames = sum(map(int, trainer.num_val_batches))
        count = min(self.config.pictures, frames)
        self._wanted = set(np.linspace(0, frames - 1, count).astype(int).tolist())
        self._shown = {}

    def on_validation_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if self._writer is not None and batch_idx in self._wanted:
            image, truth = batch[:2]
            self._shown[batch_idx * trainer.world_size] = strip(
                image, truth, outputs['labels'], self.label_set)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        if self._writer is None or not pl_module.history:
            return
        step = trainer.global_step
        for name, value in pl_module.history[-1].items():
            tag = f'val/{name[4:]}' if name.startswith('val_') else name
            if '/' in tag and not np.isnan(value):
                self._writer.add_scalar(tag, value, step)
        for index, picture in self._shown.items():
            self._add(f'frames/{index:05}', picture, step)
        self._add('confusion', confusion_picture(pl_module.matrix, self.label_set), step)
        self._writer.flush()

    def _add(self, tag: str, bgr: np.ndarray, step: int) -> None:
        rgb = np.ascontiguousarray(bgr[..., ::-1])
        self._writer.add_image(tag, torch.from_numpy(rgb), step, dataformats='HWC')

    def on_train_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self._close()

    def on_exception(self, trainer: pl.Trainer, pl_module: Any, exception: BaseException) -> None:
        self._close()

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def strip(
    image: np.ndarray, truth: np.ndarray, predicted: np.ndarray, label_set: LabelSet
) -> np.ndarray:
    """Image, truth and prediction side by side, each ``WIDTH`` wide, uint8 (h, 3 w, 3) BGR.

    Args:
        image: uint8 (H, W, 3) BGR.
        truth: uint8 (H, W) train ids, black where unlabelled.
        predicted: the same.
        label_set: gives the colours.
    """
    height, width = truth.shape
    size = WIDTH, max(1, round(height * WIDTH / width))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    labels = [cv2.resize(a, size, interpolation=cv2.INTER_NEAREST) for a in (truth, predicted)]
    return side_by_side(small, *(color_picture(a, label_set) for a in labels))
