# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Cross-entropy, and the parts of it that mining hard pixels needs as well."""

from __future__ import annotations

import torch
from torch import Tensor
import torch.nn.functional as F

from segnode.labels import IGNORE


def cross_entropy(losses: Tensor, labels: Tensor, class_weights: Tensor | None = None) -> Tensor:
    """Weighted mean cross-entropy.

    Args:
        losses: float (N, K, h, w), see :func:`negative_log_likelihood`.
        labels: int64 (N, K, h, w), K labels per logit (see :func:`fold_labels`), 255 ignored.
        class_weights: float (C,).

    Returns:
        A scalar; zero (with zero gradient) where every label is ignored.
    """
    return weighted_mean(losses, label_weights(labels, class_weights, losses.dtype))


def negative_log_likelihood(logits: Tensor, labels: Tensor) -> Tensor:
    """-log of the true class' probability, (N, K, h, w); meaningless where nothing is labelled.

    Args:
        logits: float (N, C, h, w).
        labels: int64 (N, K, h, w), 255 ignored.
    """
    return -F.log_softmax(logits, dim=1).gather(1, _index(labels))


def label_weights(labels: Tensor, class_weights: Tensor | None, dtype: torch.dtype) -> Tensor:
    """Weight of each label (N, K, h, w): its class' or one, zero where nothing is labelled."""
    weights = (labels != IGNORE).to(dtype)
    if class_weights is not None:
        weights = weights * class_weights.to(dtype)[_index(labels)]
    return weights


def weighted_mean(losses: Tensor, weights: Tensor) -> Tensor:
    """Sum of the weighted losses by the sum of the weights; zero where that is zero."""
    return (losses * weights).sum() / weights.sum().clamp(min=torch.finfo(losses.dtype).tiny)


def _index(labels: Tensor) -> Tensor:
    """Labels as an index into the classes: ignored ones point to the first."""
    return torch.where(labels != IGNORE, labels, torch.zeros_like(labels))
