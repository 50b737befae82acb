# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The total loss of a run, from its configuration and what its network gives."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn, Tensor

from segnode.errors import SegnodeError
from training.config import LossConfig
from training.losses.boundary import boundary_loss, boundary_target, labels_at_boundary
from training.losses.cross_entropy import cross_entropy, negative_log_likelihood
from training.losses.dice import dice_loss
from training.losses.distillation import (
    channel_distillation,
    labelled_cells,
    logit_distillation,
    resize_logits,
)
from training.losses.folding import bring_together
from training.losses.lovasz import lovasz_softmax
from training.losses.ohem import ohem_cross_entropy
from training.losses.teacher import Teacher

# What an output of a network beside the main one can be: class logits, or one boundary logit.
AUXILIARY_KINDS = ('classes', 'boundary')


class Criterion(nn.Module):
    """Every loss that the configuration asks for, of every output of the network.

    What the outputs after the main one are, the network states itself: its ``auxiliary_kinds``
    is a tuple with ``'classes'`` (logits (N, C, h, w), enlarged bilinearly) or ``'boundary'``
    (one logit (N, 1, h, w)) for each of them; a network without it has none.

    Args:
        config: which losses, with which weights.
        name: of the network, for errors.
        network: states ``upsampling`` and ``auxiliary_kinds``; not kept.
        teacher: where ``config.distill`` names one.

    Raises:
        SegnodeError: ``config.auxiliary`` does not fit the network's outputs.
    """

    class_weights: Tensor | None

    def __init__(
        self, config: LossConfig, name: str, network: nn.Module, teacher: Teacher | None = None
    ) -> None:
        super().__init__()
        if config.distill.teacher is not None and teacher is None:
            raise ValueError('the configuration names a teacher, but none is given')
        self.config = config
        self.upsampling = str(getattr(network, 'upsampling', 'bilinear'))
        self.kinds = auxiliary_kinds(network)
        self.auxiliary_weights = auxiliary_weights(config, name, network)
        self.teacher = teacher
        self.register_buffer('class_weights', None, persistent=False)

    def weigh_classes(self, weights: np.ndarray) -> None:
        """Take float32 (C,) weights into the cross-entropies."""
        self.class_weights = torch.from_numpy(weights)

    def forward(
        self, outputs: Sequence[Tensor], labels: Tensor, images: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Return the parts of the loss, each times its weight: their sum is the loss.

        The keys depend on configuration and network alone, not on the batch.

        Args:
            outputs: the main logits and those of ``auxiliary_kinds``, float32.
            labels: int64 (N, H, W), 255 ignored.
            images: uint8 (N, H, W, 3) BGR that a teacher is to see.
        """
        config = self.config
        main, *auxiliary = outputs
        if len(auxiliary) != len(self.kinds):
            raise ValueError(f'{len(auxiliary)} auxiliary outputs, but {len(self.kinds)} stated')
        logits, folded = bring_together(main, labels, self.upsampling)
        losses = negative_log_likelihood(logits, folded)
        parts: dict[str, Tensor] = {config.kind: self.pixel_loss(config.kind, losses, folded)}
        if config.dice:
            parts['dice'] = config.dice * dice_loss(logits, folded)
        if config.lovasz:
            parts['lovasz'] = config.lovasz * lovasz_softmax(logits, folded)
        classes = [o for o, kind in zip(auxiliary, self.kinds) if kind == 'classes']
        if classes:
            parts['auxiliary'] = self.deep_supervision(classes, labels)
        if 'boundary' in self.kinds:
            edges = auxiliary[self.kinds.index('boundary')]
            target = boundary_target(labels, config.boundary.width)
            parts['boundary'] = config.boundary.weight * boundary_loss(
                edges, target, config.boundary.size
            )
            if config.boundary.main:
                kept = labels_at_boundary(labels, edges, config.boundary.threshold)
                _, kept = bring_together(logits, kept, self.upsampling)
                parts['boundary_main'] = config.boundary.main * self.pixel_loss(
                    config.kind, losses, kept
                )
        if self.teacher is not None:
            assert images is not None, 'a teacher needs the images'
            parts['distill'] = config.distill.weight * self.distillation(main, labels, images)
        return parts

    def deep_supervision(self, outputs: Sequence[Tensor], labels: Tensor) -> Tensor:
        """Weighted sum of the losses of auxiliary class logits against labels (N, H, W)."""
        weighted = []
        for output, weight in zip(outputs, self.auxiliary_weights):
            logits, folded = bring_together(output, labels, 'bilinear')
            losses = negative_log_likelihood(logits, folded)
            part = self.pixel_loss(self.config.auxiliary_kind, losses, folded)
            weighted.append(weight * part)
        return torch.stack(weighted).sum()

    def pixel_loss(self, kind: str, losses: Tensor, labels: Tensor) -> Tensor:
        """Mean by class weights of the pixels' losses, of all or (ohem) of the hard ones.

        Args:
            kind: cross_entropy or ohem.
            losses: negative log-likelihoods (N, K, h, w).
            labels: int64 (N, K, h, w), 255 where a pixel does not take part.
        """
        if kind == 'ohem':
            return ohem_cross_entropy(
                losses, labels, self.class_weights, self.config.ohem_threshold,
                self.config.ohem_min_kept,
            )
        return cross_entropy(losses, labels, self.class_weights)

    def distillation(self, student: Tensor, labels: Tensor, images: Tensor) -> Tensor:
        """What the student's logits (N, C, h, w), as they are, lack of the teacher's."""
        assert self.teacher is not None
        size = student.shape[-2], student.shape[-1]
        teacher = resize_logits(self.teacher.logits(images), size)
        distill = self.config.distill
        loss = channel_distillation if distill.kind == 'channels' else logit_distillation
        return loss(student, teacher, labelled_cells(labels, size), distill.temperature)


def auxiliary_kinds(network: nn.Module) -> tuple[str, ...]:
    """Return what the network states of its outputs after the main one."""
    kinds = tuple(getattr(network, 'auxiliary_kinds', ()))
    if any(kind not in AUXILIARY_KINDS for kind in kinds) or kinds.count('boundary') > 1:
        raise ValueError(f'auxiliary_kinds {kinds}: of {AUXILIARY_KINDS}, boundary at most once')
    return kinds


def auxiliary_weights(config: LossConfig, name: str, network: nn.Module) -> tuple[float, ...]:
    """Return the weight of each auxiliary output of class logits.

    Raises:
        SegnodeError: a list of another length.
    """
    kinds = auxiliary_kinds(network)
    count = kinds.count('classes')
    if not isinstance(config.auxiliary, (list, tuple)):
        return (float(config.auxiliary),) * count
    if len(config.auxiliary) != count:
        boundary = ' (its boundary output has loss.boundary)' if 'boundary' in kinds else ''
        raise SegnodeError(
            f'loss.auxiliary has {len(config.auxiliary)} weights, but {name} as configured has '
            f'{count} auxiliary outputs of classes{boundary}: give {count} weights, or one number '
            'for all.'
        )
    return tuple(float(weight) for weight in config.auxiliary)
