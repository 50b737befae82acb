# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Soft Dice loss over several classes."""

from __future__ import annotations

import torch
from torch import Tensor
import torch.nn.functional as F

from segnode.labels import IGNORE


def dice_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """1 - the mean Dice coefficient, with probabilities as predictions, of the present classes.

    Per class, over the labelled pixels of the whole batch, 2 sum(p g) / (sum(p) + sum(g)). A
    class that the batch lacks has no overlap to learn from (its coefficient is 0 with zero
    gradient) and is left out of the mean.

    Args:
        logits: float (N, C, h, w).
        labels: int64 (N, K, h, w), K labels per logit (see :func:`fold_labels`), 255 ignored.

    Returns:
        A scalar in 0..1; zero (with zero gradient) where every label is ignored.

    Reference:
        Milletari, Navab, Ahmadi: "V-Net" (3DV 2016, arXiv 1606.04797), section 3; there for one
        class and with squares in the denominator.
    """
    probability = F.softmax(logits, dim=1)
    valid = labels != IGNORE
    # How often each class is the label of each logit: (N, C, h, w).
    truth = torch.zeros_like(probability).scatter_add_(
        1, torch.where(valid, labels, torch.zeros_like(labels)), valid.to(logits.dtype)
    )
    pixels = truth.sum((0, 2, 3))
    overlap = (probability * truth).sum((0, 2, 3))
    predicted = (probability * valid.sum(1, keepdim=True)).sum((0, 2, 3))
    present = (pixels > 0).to(logits.dtype)
    tiny = torch.finfo(logits.dtype).tiny
    losses = 1.0 - 2.0 * overlap / (predicted + pixels).clamp(min=tiny)
    return (losses * present).sum() / present.sum().clamp(min=1.0)
