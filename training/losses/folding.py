# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Bringing logits and labels of different sizes together, as the deploy graph does."""

from __future__ import annotations

from torch import Tensor
import torch.nn.functional as F


def fold_labels(labels: Tensor, stride: int) -> Tensor:
    """Labels (N, H, W) -> (N, stride², H/stride, W/stride): those that share one logit.

    A network whose logits are enlarged by nearest neighbour gives all of them one prediction,
    so its loss can be taken without enlarging anything.
    """
    if stride == 1:
        return labels.unsqueeze(1)
    return F.pixel_unshuffle(labels.unsqueeze(1), stride)


def bring_together(logits: Tensor, labels: Tensor, upsampling: str) -> tuple[Tensor, Tensor]:
    """Return logits (N, C, h', w') and labels (N, K, h', w') that the losses can compare.

    Bilinear logits are enlarged to the labels, without aligned corners as in the deploy graph;
    for nearest ones the labels are folded.

    Args:
        logits: float (N, C, h, w).
        labels: int64 (N, H, W), H and W multiples of h and w.
        upsampling: nearest or bilinear, as the network states it.
    """
    if upsampling == 'nearest':
        return logits, fold_labels(labels, labels.shape[-1] // logits.shape[-1])
    if logits.shape[-2:] == labels.shape[-2:]:
        return logits, labels.unsqueeze(1)
    logits = F.interpolate(logits, size=labels.shape[-2:], mode='bilinear', align_corners=False)
    return logits, labels.unsqueeze(1)
