# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""ClassMix: some classes of another frame are laid over a frame, outlines and all."""

from __future__ import annotations

import torch
from torch import Tensor

from segnode.labels import IGNORE


@torch.no_grad()
def mix_classes(images: Tensor, labels: Tensor, probability: float) -> tuple[Tensor, Tensor]:
    """Lay half of the classes of each frame's neighbour in the batch over the frame.

    What a class looks like then says more about it than what it stands beside. The neighbour is
    the frame before it (of the first, the last); of the classes that this has, a random half
    (rounded up) is taken, at the place where they are. What is drawn comes from PyTorch's CPU
    generator, so that a seed makes the same batch on every device.

    Args:
        images: uint8 (N, H, W, 3).
        labels: uint8 (N, H, W); unlabelled pixels are never laid over anything.
        probability: that a frame is mixed at all.

    Returns:
        The same, mixed: new tensors on the same device.

    Reference:
        Olsson, Tranheden, Pinto, Svensson: "ClassMix: Segmentation-Based Data Augmentation for
        Semi-Supervised Learning" (arXiv 2007.07936), algorithm 1; there with predictions, here
        with labels alone.
    """
    count, device = len(labels), labels.device
    other_images, other_labels = images.roll(1, 0), labels.roll(1, 0)
    flat = other_labels.flatten(1).long()
    present = torch.zeros(count, IGNORE + 1, dtype=torch.bool, device=device)
    present.scatter_(1, flat, True)
    present[:, IGNORE] = False
    mixed = torch.rand(count) < probability
    order = torch.rand(count, IGNORE + 1).to(device).masked_fill_(~present, 2.0).argsort(1)
    half = (present.sum(1, keepdim=True) + 1) // 2
    half = half * mixed.to(device)[:, None]
    chosen = torch.zeros_like(present)
    chosen.scatter_(1, order, torch.arange(IGNORE + 1, device=device)[None] < half)
    over = chosen.gather(1, flat).view(labels.shape)
    return (
        torch.where(over[..., None], other_images, images),
        torch.where(over, other_labels, labels),
    )
