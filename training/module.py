# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The training step and the exact validation."""

from __future__ import annotations

from dataclasses import asdict
import math
import time
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import nn, Tensor

from segnode.errors import SegnodeError
from segnode.fitting import fit_image
from segnode.networks import zoo
from segnode.record import ModelRecord
from segnode.runtimes.graph import DeployGraph
from training.class_mix import mix_classes
from training.config import FitConfig
from training.depthwise import repair_dilated_depthwise
from training.dilated import repair_dilated
from training.losses import Criterion, Teacher
from training.metrics import class_iou, confusion_matrix, mean_iou, pixel_accuracy
from training.optimizers import optimizer, rate_factor, real_rate, warmup_steps
from training.strided_depthwise import speed_up_strided_depthwise
from training.strided_pointwise import repair_strided_pointwise


class SegmentationModule(pl.LightningModule):
    """A network of the zoo with its loss, optimiser and validation.

    Training and validation go through the deploy graph's own preprocessing, and validation
    through all of it, so that neither can differ from what a vehicle runs.

    Args:
        network: logits at 1 / ``output_stride``; states ``upsampling``.
        record: of the model that is being made.
        config: the run.

    Raises:
        SegnodeError: the loss does not fit the network, or there is no such teacher.
    """

    def __init__(self, network: nn.Module, record: ModelRecord, config: FitConfig) -> None:
        super().__init__()
        self.config = config
        self.info = zoo.network_info(config.network)
        self.label_set = record.label_set
        self.class_names = record.label_set.names
        repair_dilated(network)
        repair_dilated_depthwise(network)
        repair_strided_pointwise(network)
        speed_up_strided_depthwise(network)
        if config.optim.bn_momentum is not None:
            for layer in network.modules():
                if isinstance(layer, nn.BatchNorm2d):
                    layer.momentum = config.optim.bn_momentum
        # The stub of Module.to lacks memory_format.
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.graph = DeployGraph(network, record)
        name = config.loss.distill.teacher
        teacher = None
        if name is not None:
            teacher = Teacher.load(name, record.label_set, config.data.input_size)
        self.criterion = Criterion(config.loss, config.network, network, teacher)
        self._seconds_before = 0.0
        self._started = time.monotonic()
        self._matrix = np.zeros((0, 0), np.int64)
        # The confusion matrix of the last validation, over all processes.
        self.matrix = self._matrix
        # One entry per validation, carried through checkpoints and into the model's record.
        self.history: list[dict[str, Any]] = []
        # What the backbone's and the whole network's weights came from, carried likewise; {} is
        # nothing.
        self.backbone: dict[str, Any] = {}
        self.init: dict[str, Any] = {}
        # Whether what ended the run has ended it in every process.
        self.stopped_together = False

    def on_train_epoch_start(self) -> None:
        # The end of the schedule is what a run is for: it is validated whatever val_every says.
        if self.current_epoch == (self.trainer.max_epochs or 0) - 1:
            self.trainer.check_val_every_n_epoch = 1

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        # Dropout and the loss's random subset then depend on seed and step alone, so that a
        # resumed run is the unbroken one.
        accumulate = self.config.accumulate
        batch_of_run = self.global_step * accumulate + batch_idx % accumulate
        torch.manual_seed((self.config.seed * 1_000_003 + batch_of_run) * 1_009
                          + self.global_rank)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        # Plain types, so that the checkpoint loads with weights_only=True.
        checkpoint['segnode_config'] = asdict(self.config)
        checkpoint['segnode_minutes'] = self.minutes
        checkpoint['segnode_images_per_step'] = self.images_per_step
        checkpoint['segnode_history'] = self.history
        checkpoint['segnode_backbone'] = self.backbone
        checkpoint['segnode_init'] = self.init
        checkpoint['segnode_label_set'] = self.label_set.to_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._seconds_before = 60.0 * float(checkpoint.get('segnode_minutes', 0.0))
        self.history = list(checkpoint.get('segnode_history', []))
        self.backbone = dict(checkpoint.get('segnode_backbone', {}))
        self.init = dict(checkpoint.get('segnode_init', {}))

    @property
    def minutes(self) -> float:
        """Minutes of training so far, earlier sittings included."""
        return (self._seconds_before + time.monotonic() - self._started) / 60

    def outputs(self, images: Tensor) -> list[Tensor]:
        """uint8 (N, H, W, 3) BGR -> main and auxiliary logits, each float32 (N, C, h, w)."""
        x = self.graph.prepare(images).contiguous(memory_format=torch.channels_last)
        out = self.graph.network(x)
        return [o.float() for o in (out if isinstance(out, tuple) else (out,))]

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        images, labels, *names = batch
        if self.config.data.class_mix:
            images, labels = mix_classes(images, labels, self.config.data.class_mix)
        try:
            outputs = self.outputs(images)
        except ValueError as error:
            if len(images) > 1 or 'more than 1 value per channel' not in str(error):
                raise
            raise SegnodeError(
                f'{self.config.network} cannot be trained on one image at a time, since some of '
                'its batch norms see one value of each image: give batch_size 2 or more.'
            ) from error
        parts = self.criterion(outputs, labels.long(), images)
        loss: Tensor = sum(parts.values())
        if not self.all_finite(loss):
            self.not_finite(loss, parts, batch_idx, names)
        # The keys are the same in every step and process.
        for name, value in {'loss': loss, **{f'loss/{k}': v for k, v in parts.items()}}.items():
            self.log(name, value.detach(), on_step=False, on_epoch=True, sync_dist=True,
                     batch_size=len(images))
        return loss

    def all_finite(self, loss: Tensor) -> bool:
        """Tell whether the loss can be used, in every process.

        They have to agree: one that stopped alone would leave the others waiting for it.
        """
        finite = torch.isfinite(loss.detach())
        if self.processes > 1:
            finite = self.trainer.strategy.reduce(finite.int(), reduce_op='sum') == self.processes
        return bool(finite)

    @property
    def processes(self) -> int:
        """How many train together."""
        return self._trainer.world_size if self._trainer is not None else 1

    def not_finite(
        self, loss: Tensor, parts: dict[str, Tensor], batch_idx: int, names: list[Any]
    ) -> None:
        """Stop at a step whose loss cannot be used.

        Raises:
            SegnodeError: the same in every process.
        """
        sentence = self._what_is_not_finite(loss, parts, batch_idx, names)
        if self.processes > 1:
            told: list[str] = [''] * self.processes
            own = '' if torch.isfinite(loss) else f'{sentence} (process {self.global_rank})'
            torch.distributed.all_gather_object(told, own)
            sentence = next(filter(None, told))
        self.stopped_together = True
        raise SegnodeError(sentence)

    def _what_is_not_finite(
        self, loss: Tensor, parts: dict[str, Tensor], batch_idx: int, names: list[Any]
    ) -> str:
        values = ', '.join(f'{name} {part.item():.4g}' for name, part in parts.items())
        files = f'; its files: {", ".join(map(str, names[0]))}' if names else ''
        return (
            f'The loss is {loss.item()} ({values}) at step {self.global_step} (epoch '
            f'{self.current_epoch}, batch {batch_idx}{files}); try a lower learning rate.'
        )

    def on_validation_epoch_start(self) -> None:
        classes = len(self.class_names)
        self._matrix = np.zeros((classes, classes + 1), np.int64)
        if self.processes > 1:
            # Each process has statistics of its own batches; those of the first are what is kept.
            for statistic in self.graph.network.buffers():
                torch.distributed.broadcast(statistic, 0)

    def validation_step(
        self, batch: tuple[np.ndarray, np.ndarray], batch_idx: int
    ) -> dict[str, np.ndarray]:
        """Count one frame; return its prediction, uint8 (H, W), for whoever shows it."""
        image, truth = batch
        data = self.config.data
        fitted, placement = fit_image(image, data.network_size, data.fit)
        images = torch.from_numpy(np.ascontiguousarray(fitted)).to(self.device)[None]
        # In float32 whatever the training's precision: this is the figure that is recorded.
        with torch.autocast(self.device.type, enabled=False):
            labels = self.graph(images)
        predicted = placement.restore(labels[0].cpu().numpy())
        self._matrix += confusion_matrix(truth, predicted, len(self.class_names))
        return {'labels': predicted}

    def on_validation_epoch_end(self) -> None:
        matrix = torch.from_numpy(self._matrix).to(self.device)
        if self.processes > 1:
            matrix = self.trainer.strategy.reduce(matrix, reduce_op='sum')
        total = matrix.cpu().numpy()
        self.matrix = total
        scores = {'val_miou': mean_iou(total), 'val_accuracy': pixel_accuracy(total)}
        iou = {f'iou/{n}': float(v) for n, v in zip(self.class_names, class_iou(total))}
        self.history.append({'epoch': self.current_epoch + 1, **scores, **iou})
        # The matrix is summed over all processes already: every one logs the same figures.
        self.log_dict({**scores, **iou}, sync_dist=True)

    @property
    def images_per_step(self) -> int:
        """Images of all processes for one step of the optimiser."""
        return self.config.batch_size * self.processes * self.config.accumulate

    def configure_optimizers(self) -> Any:
        optim, trainer = self.config.optim, self.trainer
        trainer.fit_loop.setup_data()  # for the number of batches
        if not trainer.num_training_batches:
            raise SegnodeError(
                f'The training data gives no batch: {self.config.batch_size} images for each of '
                f'{self.processes} processes are more than an epoch has; lower batch_size.'
            )
        if self.config.max_steps is not None:
            steps = math.ceil(trainer.num_training_batches / self.config.accumulate)
            trainer.fit_loop.max_epochs = math.ceil(self.config.max_steps / steps)
        lr = real_rate(optim, self.images_per_step)
        made = optimizer(self.graph.network, self.info, optim, lr)
        total = int(trainer.estimated_stepping_batches)
        warmup = warmup_steps(optim, total / (trainer.max_epochs or 1))
        if self.config.max_steps is not None:
            total = min(total, self.config.max_steps)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            made, lambda step: rate_factor(step, total, warmup, optim)
        )
        return {
            'optimizer': made,
            'lr_scheduler': {'scheduler': schedule, 'interval': 'step'},
        }
