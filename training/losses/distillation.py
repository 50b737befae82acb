# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Learning from a teacher's logits: pixel by pixel, or class map by class map."""

from __future__ import annotations

import torch
from torch import Tensor
import torch.nn.functional as F

from segnode.labels import IGNORE

# Far below every logit, and finite, so that what is left out is 0 and not NaN.
_NOWHERE = -1e30


def logit_distillation(
    student: Tensor, teacher: Tensor, valid: Tensor, temperature: float
) -> Tensor:
    """T² times the mean over the valid pixels of KL(teacher || student), softened by T.

    Args:
        student: float logits (N, C, h, w).
        teacher: the same, without gradient.
        valid: bool (N, h, w).
        temperature: T, by which both logits are divided.

    Returns:
        A scalar; zero (with zero gradient) where no pixel is valid.

    Reference:
        Hinton, Vinyals, Dean: "Distilling the Knowledge in a Neural Network" (arXiv 1503.02531),
        section 2: T² keeps the gradient's size independent of T. The mean is over pixels, the
        sum over classes (torch's own ``kl_div`` with ``reduction='mean'`` divides by C as well).
    """
    ours = F.log_softmax(student / temperature, dim=1)
    theirs = F.log_softmax(teacher / temperature, dim=1)
    divergence = (theirs.exp() * (theirs - ours)).sum(1)
    weights = valid.to(student.dtype)
    mean = (divergence * weights).sum() / weights.sum().clamp(min=1.0)
    return temperature**2 * mean


def channel_distillation(
    student: Tensor, teacher: Tensor, valid: Tensor, temperature: float
) -> Tensor:
    """T² times the mean over images and classes of KL(teacher || student) of the class' maps.

    Each class' logits are made a distribution over the image's valid pixels, so that the student
    learns where in the image the teacher sees the class.

    Args:
        student: float logits (N, C, h, w).
        teacher: the same, without gradient.
        valid: bool (N, h, w); images without a valid pixel are left out of the mean.
        temperature: T, by which both logits are divided.

    Returns:
        A scalar; zero (with zero gradient) where no pixel is valid.

    Reference:
        Shu, Liu, Gao, Yan, Shen: "Channel-wise Knowledge Distillation for Dense Prediction"
        (ICCV 2021, arXiv 2011.13256); the mean as in the authors' code (github
        irfanICMLL/TorchDistiller c2caaca, SemSeg-distill/utils/criterion.py). Unlabelled pixels
        are left out here, not there.
    """
    mask = ~valid.flatten(1).unsqueeze(1)
    ours = (student.flatten(2) / temperature).masked_fill(mask, _NOWHERE).log_softmax(2)
    theirs = (teacher.flatten(2) / temperature).masked_fill(mask, _NOWHERE).log_softmax(2)
    divergence = (theirs.exp() * (theirs - ours)).sum(2).mean(1)
    images = valid.flatten(1).any(1).to(student.dtype)
    mean = (divergence * images).sum() / images.sum().clamp(min=1.0)
    return temperature**2 * mean


def resize_logits(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Bring a teacher's logits (N, C, h, w) to the student's size, averaging where it shrinks."""
    if tuple(logits.shape[-2:]) == tuple(size):
        return logits
    shrinks = logits.shape[-2] > size[0]
    return F.interpolate(
        logits, size=tuple(size), mode='bilinear', align_corners=False, antialias=shrinks
    )


def labelled_cells(labels: Tensor, size: tuple[int, int]) -> Tensor:
    """Tell for each logit whether any of its labels (N, H, W) is one -> bool (N, h, w)."""
    valid = (labels != IGNORE).to(torch.float32)
    factors = labels.shape[-2] // size[0], labels.shape[-1] // size[1]
    return F.max_pool2d(valid, factors) > 0
