# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Losses over logits at the network's resolution and labels at any multiple of it."""

from training.losses.boundary import balanced_bce, boundary_loss, boundary_target
from training.losses.class_weights import (
    class_weights,
    enet_class_weights,
    inverse_frequency_weights,
    median_frequency_weights,
)
from training.losses.criterion import auxiliary_weights, Criterion
from training.losses.cross_entropy import cross_entropy
from training.losses.dice import dice_loss
from training.losses.distillation import channel_distillation, logit_distillation
from training.losses.folding import fold_labels
from training.losses.lovasz import lovasz_softmax
from training.losses.ohem import hard_pixels, ohem_cross_entropy
from training.losses.teacher import Teacher

__all__ = [
    'auxiliary_weights',
    'balanced_bce',
    'boundary_loss',
    'boundary_target',
    'channel_distillation',
    'class_weights',
    'Criterion',
    'cross_entropy',
    'dice_loss',
    'enet_class_weights',
    'fold_labels',
    'hard_pixels',
    'inverse_frequency_weights',
    'logit_distillation',
    'lovasz_softmax',
    'median_frequency_weights',
    'ohem_cross_entropy',
    'Teacher',
]
