# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Lovász-softmax: what the mean IoU itself would say, made differentiable."""

from __future__ import annotations

import torch
from torch import Tensor
import torch.nn.functional as F

from segnode.labels import IGNORE


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
    foreground = (truth == present[:, None]).to(pixels.dtype)
    errors = (foreground - pixels.index_select(1, present).t()).abs()
    ordered, order = torch.sort(errors, dim=1, descending=True)
    losses = (ordered * _lovasz_gradient(foreground.gather(1, order))).sum(dim=1)
    return losses.mean()


def _lovasz_gradient(foreground: Tensor) -> Tensor:
    """Increments of the Jaccard loss along the sorted errors, (classes, pixels)."""
    positives = foreground.sum(dim=1, keepdim=True)
    intersection = positives - foreground.cumsum(dim=1)
    union = positives + (1.0 - foreground).cumsum(dim=1)
    jaccard = 1.0 - intersection / union
    return torch.cat((jaccard[:, :1], jaccard[:, 1:] - jaccard[:, :-1]), dim=1)
