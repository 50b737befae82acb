# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The training step and the exact validation."""

from __future__ import annotations

from dataclasses import asdict
import time
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import nn, Tensor
import torch.nn.functional as F

from segnode.errors import SegnodeError
from segnode.fitting import fit_image
from segnode.record import ModelRecord
from segnode.runtimes.graph import DeployGraph
from training.config import FitConfig
from training.depthwise import repair_dilated_depthwise
from training.losses import cross_entropy, fold_labels, lovasz_softmax
from training.metrics import class_iou, confusion_matrix, mean_iou, pixel_accuracy


class SegmentationModule(pl.LightningModule):
    """A network of the zoo with its loss, optimiser and validation.

    Training and validation go through the deploy graph's own preprocessing, and validation
    through all of it, so that neither can differ from what a vehicle runs.

    Args:
        network: logits at 1 / ``output_stride``; states ``upsampling``.
        record: of the model that is being made.
        config: the run.
        class_weights: float32 (C,) or None.
    """

    class_weights: Tensor | None

    def __init__(
        self,
        network: nn.Module,
        record: ModelRecord,
        config: FitConfig,
        class_weights: np.ndarray | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.class_names = record.label_set.names
        repair_dilated_depthwise(network)
        if config.optim.bn_momentum is not None:
            for layer in network.modules():
                if isinstance(layer, nn.BatchNorm2d):
                    layer.momentum = config.optim.bn_momentum
        # The stub of Module.to lacks memory_format.
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.graph = DeployGraph(network, record)
        weights = None if class_weights is None else torch.from_numpy(class_weights)
        self.register_buffer('class_weights', weights, persistent=False)
        self._seconds_before = 0.0
        self._started = time.monotonic()
        self._matrix = np.zeros((0, 0), np.int64)
        # One entry per validation, carried through checkpoints and into the model's record.
        self.history: list[dict[str, float]] = []

    def on_train_epoch_start(self) -> None:
        # The end of the schedule is what a run is for: it is validated whatever val_every says.
        if self.current_epoch == self.config.epochs - 1:
            self.trainer.check_val_every_n_epoch = 1

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

    def outputs(self, images: Tensor) -> list[Tensor]:
        """uint8 (N, H, W, 3) BGR -> main and auxiliary logits, each float32 (N, C, h, w)."""
        x = self.graph.prepare(images).contiguous(memory_format=torch.channels_last)
        out = self.graph.network(x)
        return [o.float() for o in (out if isinstance(out, tuple) else (out,))]

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        images, labels = batch
        main, *auxiliary = self.outputs(images)
        loss = self.loss(main, labels.long())
        for logits in auxiliary:
            loss = loss + self.config.loss.auxiliary * self.auxiliary_loss(logits, labels.long())
        if not torch.isfinite(loss):
            raise SegnodeError(
                f'The loss is {loss.item()} at step {self.global_step} (epoch '
                f'{self.current_epoch}, batch {batch_idx}); try a lower learning rate.'
            )
        self.log('loss', loss.detach(), prog_bar=True, on_step=False, on_epoch=True,
                 sync_dist=True, batch_size=len(images))
        return loss

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Loss of logits (N, C, h, w) against labels (N, H, W)."""
        if self.graph.upsampling == 'nearest':
            folded = fold_labels(labels, labels.shape[-1] // logits.shape[-1])
        else:
            logits = F.interpolate(
                logits, size=labels.shape[-2:], mode='bilinear', align_corners=False
            )
            folded = labels.unsqueeze(1)
        total = cross_entropy(logits, folded, self.class_weights)
        if self.config.loss.lovasz:
            total = total + self.config.loss.lovasz * lovasz_softmax(logits, folded)
        return total

    def auxiliary_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy of auxiliary logits (N, C, h, w), enlarged, against labels (N, H, W).

        Raises:
            SegnodeError: the output is no set of class logits.
        """
        if logits.shape[1] != len(self.class_names):
            raise SegnodeError(
                f'{self.config.network} has an auxiliary output of {logits.shape[1]} channel(s) '
                'whose loss is not here yet: train without by --network_args.auxiliary false.'
            )
        large = F.interpolate(logits, size=labels.shape[-2:], mode='bilinear', align_corners=False)
        return cross_entropy(large, labels.unsqueeze(1), self.class_weights)

    def on_validation_epoch_start(self) -> None:
        classes = len(self.class_names)
        self._matrix = np.zeros((classes, classes + 1), np.int64)

    def validation_step(self, batch: tuple[np.ndarray, np.ndarray], batch_idx: int) -> None:
        image, truth = batch
        fitted, placement = fit_image(image, self.config.data.input_size, 'stretch')
        images = torch.from_numpy(np.ascontiguousarray(fitted)).to(self.device)[None]
        # In float32 whatever the training's precision: this is the figure that is recorded.
        with torch.autocast(self.device.type, enabled=False):
            labels = self.graph(images)
        predicted = placement.restore(labels[0].cpu().numpy())
        self._matrix += confusion_matrix(truth, predicted, len(self.class_names))

    def on_validation_epoch_end(self) -> None:
        matrix = torch.from_numpy(self._matrix).to(self.device)
        if self.trainer.world_size > 1:
            matrix = self.trainer.strategy.reduce(matrix, reduce_op='sum')
        total = matrix.cpu().numpy()
        scores = {'val_miou': mean_iou(total), 'val_accuracy': pixel_accuracy(total)}
        self.history.append({'epoch': self.current_epoch + 1, **scores})
        # The matrix is summed over all processes already: every one logs the same figures.
        self.log_dict(scores, prog_bar=True, sync_dist=True)
        iou = class_iou(total)
        self.log_dict(
            {f'iou/{n}': float(v) for n, v in zip(self.class_names, iou)}, sync_dist=True
        )

    def configure_optimizers(self) -> Any:
        optim = self.config.optim
        parameters = list(self.graph.network.parameters())
        optimizer = torch.optim.AdamW(
            [
                {'params': [p for p in parameters if p.ndim > 1],
                 'weight_decay': optim.weight_decay},
                {'params': [p for p in parameters if p.ndim <= 1], 'weight_decay': 0.0},
            ],
            lr=optim.lr,
        )
        total = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: warmup_poly(step, total, optim.warmup_steps, optim.power)
        )
        return {
            'optimizer': optimizer,
            'lr_scheduler': {'scheduler': schedule, 'interval': 'step'},
        }


def warmup_poly(step: int, total: int, warmup: int, power: float) -> float:
    """Factor of the learning rate: linear up to 1 over ``warmup`` steps, then poly down to 0."""
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / max(1, total - warmup)
    return float(max(0.0, 1.0 - done) ** power)
