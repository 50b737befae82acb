# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""What a boundary head learns: where the label changes, made from the labels themselves."""

from __future__ import annotations

import torch
from torch import Tensor
import torch.nn.functional as F

from segnode.labels import IGNORE


def boundary_target(labels: Tensor, width: int) -> Tensor:
    """Mark the boundaries between classes, on the device where the labels are.

    A pixel lies on a boundary where a 4-neighbour has another label; a change from or to
    unlabelled is none. That gives lines of two pixels, one on either side of the change. An even
    ``width`` widens those equally on both sides; an odd one starts from the left or upper of the
    two.

    PIDNet's authors (github XuJiacong/PIDNet 4c158cf, datasets/base_dataset.py) take OpenCV's
    Canny edges of the whole frame's label map, clear 6 pixels along the frame's border and dilate
    by 4x4, which gives lines of four pixels too, but: their changes from and to unlabelled count,
    unlabelled pixels are learnt as "no boundary", and the map is scaled along with the image, so
    that the lines get thinner or thicker; here they have their width in pixels of the crop.

    Args:
        labels: integer (N, H, W), 255 where nothing is labelled.
        width: of the lines in pixels.

    Returns:
        uint8 (N, H, W): 1 on a boundary, 0 elsewhere, 255 where nothing is labelled.
    """
    valid = labels != IGNORE
    edges = torch.zeros_like(valid)
    for dim in (1, 2):
        pairs = labels.shape[dim] - 1
        one, other = labels.narrow(dim, 0, pairs), labels.narrow(dim, 1, pairs)
        change = (one != other) & valid.narrow(dim, 0, pairs) & valid.narrow(dim, 1, pairs)
        edges.narrow(dim, 0, pairs).logical_or_(change)
        if width % 2 == 0:
            edges.narrow(dim, 1, pairs).logical_or_(change)
    window = width - 1 if width % 2 == 0 else width
    if window > 1:
        edges = F.max_pool2d(edges.to(torch.float32), window, 1, window // 2) > 0
    return torch.where(valid, edges, IGNORE).to(torch.uint8)


def balanced_bce(logits: Tensor, target: Tensor) -> Tensor:
    """Binary cross-entropy with the share of the other kind as weight of each pixel.

    So boundary and no boundary weigh the same in the batch, however rare one is. The mean is over
    all pixels that have a target, not by their weights: the value is at most that of weights 1/2,
    and small where boundaries are rare, which is why PIDNet multiplies it by 20.

    Args:
        logits: float (N, 1, h, w).
        target: (N, h, w), 1 on a boundary, 0 elsewhere, 255 ignored.

    Returns:
        A scalar; zero (with zero gradient) where everything is ignored, or all is of one kind.

    Reference:
        github XuJiacong/PIDNet 4c158cf, utils/criterion.py; the weighting is that of Xie, Tu:
        "Holistically-Nested Edge Detection" (ICCV 2015), equation 2, over the batch.
    """
    target = target.unsqueeze(1)
    positive = (target == 1).to(logits.dtype)
    negative = (target == 0).to(logits.dtype)
    positives, negatives = positive.sum(), negative.sum()
    total = (positives + negatives).clamp(min=1.0)
    weights = (positive * negatives + negative * positives) / total
    losses = F.binary_cross_entropy_with_logits(logits, positive, reduction='none')
    return (losses * weights).sum() / total


def boundary_loss(logits: Tensor, target: Tensor, size: str) -> Tensor:
    """:func:`balanced_bce` of a boundary head's logits (N, 1, h, w) against a target (N, H, W).

    Args:
        logits: float (N, 1, h, w).
        target: of :func:`boundary_target`; H and W are multiples of h and w.
        size: where the two are compared: labels (the logits are enlarged bilinearly, as PIDNet's
            authors do) or logits (the target is brought to their size by its maximum: a boundary
            anywhere in the cell is one).
    """
    if size == 'labels':
        return balanced_bce(enlarge_boundary(logits, target.shape[-2:]), target)
    factor = target.shape[-1] // logits.shape[-1]
    edges = F.max_pool2d((target == 1).to(torch.float32), factor) > 0
    valid = F.max_pool2d((target != IGNORE).to(torch.float32), factor) > 0
    return balanced_bce(logits, torch.where(valid, edges, IGNORE))


def enlarge_boundary(logits: Tensor, size: tuple[int, int] | torch.Size) -> Tensor:
    """Boundary logits (N, 1, h, w) at the labels' size, without aligned corners."""
    return F.interpolate(logits, size=tuple(size), mode='bilinear', align_corners=False)


def labels_at_boundary(labels: Tensor, logits: Tensor, threshold: float) -> Tensor:
    """Keep labels (N, H, W) where the boundary head is sure of a boundary, 255 elsewhere.

    Args:
        labels: int64 (N, H, W).
        logits: of the boundary head, float (N, 1, h, w); no gradient flows to it.
        threshold: probability above which it is sure; 0.8 with PIDNet's authors.
    """
    with torch.no_grad():
        probability = torch.sigmoid(enlarge_boundary(logits, labels.shape[-2:])).squeeze(1)
        return torch.where(probability > threshold, labels, torch.full_like(labels, IGNORE))
