# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The training step, the exact validation, and the averaged weights."""

from __future__ import annotations

from dataclasses import asdict
import time
from typing import Any

import numpy as np
import pytorch_lightning as pl
from pytorch_lightning.callbacks import WeightAveraging
import torch
from torch import nn, Tensor
import torch.nn.functional as F

from segnode.errors import SegnodeError
from segnode.fitting import fit_image
from training.config import FitConfig
from training.depthwise import repair_dilated_depthwise
from training.losses import cross_entropy, fold_labels, lovasz_softmax
from training.metrics import class_iou, confusion_matrix, mean_iou, pixel_accuracy


class SegmentationModule(pl.LightningModule):
    """A network of the zoo with its loss, optimiser and validation.

    Args:
        network: logits at 1 / ``output_stride``; states ``upsampling``.
        config: the run.
        class_names: in the order of the logits.
        class_weights: float (C,) or None.
    """

    mean: Tensor
    std: Tensor
    class_weights: Tensor | None

    def __init__(
        self,
        network: nn.Module,
        config: FitConfig,
        class_names: tuple[str, ...],
        class_weights: np.ndarray | None,
    ) -> None:
        super().__init__()
        # The stub of Module.to lacks memory_format.
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.config = config
        self.class_names = class_names
        repair_dilated_depthwise(network)
        if config.optim.bn_momentum is not None:
            for layer in network.modules():
                if isinstance(layer, nn.BatchNorm2d):
                    layer.momentum = config.optim.bn_momentum
        self._seconds_before = 0.0
        self._started = time.monotonic()
        scale = 255.0
        weights = None if class_weights is None else torch.from_numpy(class_weights)
        self.register_buffer('class_weights', weights, persistent=False)
        mean = torch.tensor(config.mean).reshape(1, 3, 1, 1) * scale
        std = torch.tensor(config.std).reshape(1, 3, 1, 1) * scale
        self.register_buffer('mean', mean, persistent=False)
        self.register_buffer('std', std, persistent=False)
        self._matrix = np.zeros((0, 0), np.int64)
        # One entry per validation, carried through checkpoints and into the model's record.
        self.history: list[dict[str, float]] = []

    def normalise(self, images: Tensor) -> Tensor:
        """uint8 (N, H, W, 3) BGR -> float (N, 3, H, W) RGB, channels-last."""
        rgb = images.permute(0, 3, 1, 2).flip(1).float()
        normal = (rgb - self.mean) / self.std
        return normal.contiguous(memory_format=torch.channels_last)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        # Dropout and the loss's random subset then depend on seed and step alone, so that a
        # resumed run is the unbroken one.
        torch.manual_seed((self.config.seed * 1_000_003 + self.global_step) * 1_009
                          + self.global_rank)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        # Plain types, so that the checkpoint loads with weights_only=True.
        checkpoint['segnode_config'] = asdict(self.config)
        checkpoint['segnode_minutes'] = self.minutes
        checkpoint['segnode_history'] = self.history

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._seconds_before = 60.0 * float(checkpoint.get('segnode_minutes', 0.0))
        self.history = list(checkpoint.get('segnode_history', []))

    @property
    def minutes(self) -> float:
        """Minutes of training so far, earlier sittings included."""
        return (self._seconds_before + time.monotonic() - self._started) / 60

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        images, labels = batch
        out = self.network(self.normalise(images))
        logits = (out[0] if isinstance(out, tuple) else out).float()
        loss = self.loss(logits, labels.long())
        if not torch.isfinite(loss):
            raise SegnodeError(
                f'The loss is {loss.item()} at step {self.global_step} (epoch '
                f'{self.current_epoch}, batch {batch_idx}); try a lower learning rate.'
            )
        self.log('loss', loss.detach(), prog_bar=True, on_step=False, on_epoch=True)
        return loss

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Loss of logits (N, C, h, w) against labels (N, H, W)."""
        stride = labels.shape[-1] // logits.shape[-1]
        if getattr(self.network, 'upsampling', 'bilinear') == 'nearest':
            folded = fold_labels(labels, stride)
        else:
            logits = F.interpolate(
                logits, size=labels.shape[-2:], mode='bilinear', align_corners=False
            )
            folded = labels.unsqueeze(1)
        total = cross_entropy(logits, folded, self.class_weights)
        if self.config.loss.lovasz:
            total = total + self.config.loss.lovasz * lovasz_softmax(logits, folded)
        return total

    def on_validation_epoch_start(self) -> None:
        classes = len(self.class_names)
        self._matrix = np.zeros((classes, classes + 1), np.int64)

    def validation_step(self, batch: tuple[np.ndarray, np.ndarray], batch_idx: int) -> None:
        image, truth = batch
        fitted, placement = fit_image(image, self.config.data.input_size, 'stretch')
        tensor = torch.from_numpy(np.ascontiguousarray(fitted)).to(self.device)[None]
        logits = self.network(self.normalise(tensor)).float()
        labels = enlarged_labels(logits, self.config.data.input_size, self.network)
        predicted = placement.restore(labels[0].cpu().numpy())
        self._matrix += confusion_matrix(truth, predicted, len(self.class_names))

    def on_validation_epoch_end(self) -> None:
        matrix = torch.from_numpy(self._matrix).to(self.device)
        if self.trainer.world_size > 1:
            matrix = self.trainer.strategy.reduce(matrix, reduce_op='sum')
        total = matrix.cpu().numpy()
        if self.trainer.sanity_checking:
            return
        iou = class_iou(total)
        scores = {'val_miou': mean_iou(total), 'val_accuracy': pixel_accuracy(total)}
        self.history.append({'epoch': self.current_epoch + 1, **scores})
        self.log_dict(scores, prog_bar=True, rank_zero_only=False)
        self.log_dict({f'iou/{n}': float(v) for n, v in zip(self.class_names, iou)})

    def configure_optimizers(self) -> Any:
        optim = self.config.optim
        decayed = [p for p in self.network.parameters() if p.ndim > 1]
        free = [p for p in self.network.parameters() if p.ndim <= 1]
        optimizer = torch.optim.AdamW(
            [
                {'params': decayed, 'weight_decay': optim.weight_decay},
                {'params': free, 'weight_decay': 0.0},
            ],
            lr=optim.lr,
        )
        total = int(self.trainer.estimated_stepping_batches)

        def factor(step: int) -> float:
            if step < optim.warmup_steps:
                return (step + 1) / optim.warmup_steps
            done = (step - optim.warmup_steps) / max(1, total - optim.warmup_steps)
            return float(max(0.0, 1.0 - done) ** optim.power)

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {
            'optimizer': optimizer,
            'lr_scheduler': {'scheduler': schedule, 'interval': 'step'},
        }


def enlarged_labels(logits: Tensor, size: tuple[int, int], network: nn.Module) -> Tensor:
    """Labels uint8 (N, H, W) of logits (N, C, h, w), enlarged the way the network states."""
    if getattr(network, 'upsampling', 'bilinear') == 'nearest':
        small = logits.argmax(1, keepdim=True).float()
        return F.interpolate(small, size=size, mode='nearest')[:, 0].to(torch.uint8)
    large = F.interpolate(logits, size=size, mode='bilinear', align_corners=False)
    return large.argmax(1).to(torch.uint8)


class AveragedWeights(WeightAveraging):
    """Exponential moving average of weights and batch-norm statistics, with a warm-up.

    The decay rises as (1 + n) / (10 + n) up to ``decay``, so that the average follows the first
    steps instead of remembering the initialisation.
    """

    def __init__(self, decay: float) -> None:
        def average(averaged: Tensor, current: Tensor, count: Tensor | int) -> Tensor:
            n = int(count)
            d = min(decay, (1 + n) / (10 + n))
            if not averaged.is_floating_point():
                return current
            return averaged + (current - averaged) * (1.0 - d)

        super().__init__(avg_fn=average)
