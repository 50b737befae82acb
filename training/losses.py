# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Losses over logits at the network's resolution and labels at any multiple of it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
import torch.nn.functional as F

from segnode.errors import SegnodeError
from segnode.labels import IGNORE


def fold_labels(labels: Tensor, stride: int) -> Tensor:
    """Labels (N, H, W) -> (N, stride², H/stride, W/stride): those that share one logit.

    A network whose logits are enlarged by nearest neighbour gives all of them one prediction,
    so its loss can be taken without enlarging anything.
    """
    if stride == 1:
        return labels.unsqueeze(1)
    return F.pixel_unshuffle(labels.unsqueeze(1), stride)


def cross_entropy(logits: Tensor, labels: Tensor, class_weights: Tensor | None = None) -> Tensor:
    """Weighted mean cross-entropy.

    Args:
        logits: float (N, C, h, w).
        labels: int64 (N, K, h, w), K labels per logit (see :func:`fold_labels`), 255 ignored.
        class_weights: float (C,).

    Returns:
        A scalar; zero (with zero gradient) where every label is ignored.
    """
    log_probability = F.log_softmax(logits, dim=1)
    valid = labels != IGNORE
    index = torch.where(valid, labels, torch.zeros_like(labels))
    picked = log_probability.gather(1, index)
    weight = valid.to(logits.dtype)
    if class_weights is not None:
        weight = weight * class_weights.to(logits.dtype)[index]
    total = weight.sum()
    return -(picked * weight).sum() / total.clamp(min=torch.finfo(logits.dtype).tiny)


def lovasz_softmax(logits: Tensor, labels: Tensor, max_pixels: int = 65536) -> Tensor:
    """Lovász-softmax, the convex surrogate of the mean IoU over the batch's present classes.

    Args:
        logits: float (N, C, h, w).
        labels: int64 (N, K, h, w), 255 ignored.
        max_pixels: the loss sorts one value per pixel and class; a random subset of this many
            labels keeps it cheap beside the network.

    Returns:
        A scalar; zero where every label is ignored.

    Reference:
        Berman, Triki, Blaschko: "The Lovász-Softmax loss" (CVPR 2018), equations 8 and 9.
    """
    probability = F.softmax(logits, dim=1)
    n, k, h, w = labels.shape
    flat = labels.reshape(-1)
    chosen = torch.nonzero(flat != IGNORE).squeeze(1)
    if chosen.numel() == 0:
        return logits.sum() * 0.0
    if chosen.numel() > max_pixels:
        chosen = chosen[torch.randint(chosen.numel(), (max_pixels,), device=chosen.device)]
    truth = flat[chosen]
    # From the index into (N, K, h, w) to the logit's index in (N, h, w).
    cell = h * w
    position = (chosen // (k * cell)) * cell + chosen % cell
    # index_select, not indexing: the gradient of that one adds in an order that differs from
    # run to run on several threads, and a resumed run shall be the unbroken one to the bit.
    pixels = probability.permute(0, 2, 3, 1).reshape(-1, logits.shape[1])
    pixels = pixels.index_select(0, position)
    present = torch.unique(truth)
    total = logits.new_zeros(())
    for label in present.tolist():
        foreground = (truth == label).to(pixels.dtype)
        error = (foreground - pixels[:, label]).abs()
        ordered, order = torch.sort(error, descending=True)
        total = total + torch.dot(ordered, _lovasz_gradient(foreground[order]))
    return total / present.numel()


def _lovasz_gradient(foreground: Tensor) -> Tensor:
    """Increments of the Jaccard loss along the sorted errors."""
    positives = foreground.sum()
    intersection = positives - foreground.cumsum(0)
    union = positives + (1.0 - foreground).cumsum(0)
    jaccard = 1.0 - intersection / union
    return torch.cat((jaccard[:1], jaccard[1:] - jaccard[:-1]))


def enet_class_weights(pixels: np.ndarray, c: float = 1.10) -> np.ndarray:
    """1 / ln(c + frequency) per class, float32.

    Args:
        pixels: labelled pixels per class over the training split.
        c: 1.02 in the paper, 1.10 in the CamVid recipes of the DABNet lineage.

    Raises:
        SegnodeError: a class without a pixel (its weight would be an artefact).

    Reference:
        Paszke et al., ENet (arXiv 1606.02147), section 5.2.
    """
    if (pixels <= 0).any():
        raise SegnodeError(
            f'class {int(np.argmin(pixels))} has no pixel in the training data, so it can have no '
            'weight: choose --loss.class_weights none.'
        )
    frequency = pixels / pixels.sum()
    return (1.0 / np.log(c + frequency)).astype(np.float32)
