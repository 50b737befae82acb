# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Augmentation of whole batches on the device, from the very views that the loader would draw."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
import functools
import math

import numpy as np
import torch
from torch import Tensor

from segnode.labels import IGNORE
from training.augment import hue_matrix, tone_curves, View

GREY = (0.114, 0.587, 0.299)  # weights of B, G and R in ITU-R BT.601's luma, as OpenCV has them


def batch_views(
    images: Tensor,
    labels: Tensor,
    padding: Tensor,
    frames: Sequence[int],
    views: Sequence[View],
    size: tuple[int, int],
    black: bool = False,
) -> tuple[Tensor, Tensor]:
    """Carry out views of frames of one size.

    Rows and columns are resampled one after the other, each pixel from the few that it covers:
    by the area that they have in it where the window shrinks, bilinearly where it is enlarged.
    These are OpenCV's INTER_AREA, INTER_LINEAR and INTER_NEAREST_EXACT, up to rounding and to
    windows that shrink along one side and grow along the other.

    Args:
        images: uint8 (M, 3, h, w) BGR: planes, so that neighbours lie side by side.
        labels: uint8 (M, h, w).
        padding: uint8 (M, 3), colour of what lies beyond each frame.
        frames: N positions in these.
        views: what is done to each.
        size: (H, W) of the result.
        black: what lies beyond stays black when colours are changed, see ``Augment.black``.

    Returns:
        uint8 (N, H, W, 3) BGR (a view of planes) and (N, H, W), on the device of ``images``.
    """
    height, width = labels.shape[1:]
    device = images.device
    # All that the device is told about the windows goes there in one piece.
    table = _told(
        [[frame, *_axis(view, 0), *_axis(view, 1)] for frame, view in zip(frames, views)], device
    )
    taps = max(_taps(view) for view in views)
    frame = table[:, 0].long()
    row, row_weight, near_row, row_inside = _sampling(table[:, 1:7], size[0], taps)
    col, col_weight, near_col, col_inside = _sampling(table[:, 7:], size[1], taps)
    planes = 3 * frame[:, None] + torch.arange(3, device=device)

    def lines(of: Tensor, plane: Tensor, index: Tensor) -> Tensor:
        """Take lines (N, H) of planes (N, P) of h lines each -> (N, P, H, w)."""
        flat = (plane[..., None] * height + index[:, None]).flatten()
        return of.view(-1, width).index_select(0, flat).view(len(views), -1, size[0], width)

    tall = _total(
        lines(images, planes, row[..., k]) * row_weight[:, None, :, k, None] for k in range(taps)
    )
    shape = (len(views), 3, *size)
    out = _total(
        tall.gather(3, col[:, None, None, :, k].expand(shape)) * col_weight[:, None, None, :, k]
        for k in range(taps)
    )
    inside = row_inside[:, None, :, None] & col_inside[:, None, None]
    out = torch.where(inside, out.round_(), padding[frame][..., None, None].float())
    truth = lines(labels, frame[:, None], near_row)
    truth = truth.gather(3, near_col[:, None, None].expand(-1, 1, *size))
    truth = truth.masked_fill_(~inside, IGNORE)[:, 0]
    out = _recolored(out, views)
    if black:
        out = out.masked_fill_(~inside, 0)
    return out.to(torch.uint8).permute(0, 2, 3, 1), truth


def _told(values: object, device: torch.device) -> Tensor:
    """Bring numbers to the device as float32, without waiting for it."""
    tensor = torch.from_numpy(np.asarray(values, np.float32))
    if device.type == 'cuda':
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


def _total(parts: Iterable[Tensor]) -> Tensor:
    return functools.reduce(torch.Tensor.add_, parts)


def _axis(view: View, side: int) -> tuple[float, ...]:
    """First source pixel and how many, first target pixel and how many, by area?, mirrored?"""
    return (
        view.source[side], view.source[2 + side], view.target[side], view.target[2 + side],
        view.shrinks, side == 1 and view.flip,
    )


def _taps(view: View) -> int:
    """Source pixels along a side that one pixel of the result is made of, at most."""
    ratio = max(view.source[2] / view.target[2], view.source[3] / view.target[3])
    return math.ceil(ratio) + 1 if view.shrinks else 2


def _sampling(
    axis: Tensor, size: int, taps: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Say for each pixel along a side what it is made of.

    Args:
        axis: float32 (N, 6), see ``_axis``.
        size: pixels of the result.
        taps: K.

    Returns:
        indices int64 (N, size, K) and their weights, sum 1; the nearest index int64 (N, size);
        bool (N, size), whether the pixel is of the image at all.
    """
    start, length, first, filled, area, mirrored = (column[:, None] for column in axis.unbind(1))
    at = torch.arange(size, device=axis.device, dtype=torch.float32)
    local = torch.where(mirrored > 0, size - 1 - at, at) - first
    inside = (local >= 0) & (local < filled)
    ratio = length / filled
    middle = (torch.minimum(local.clamp(min=0), filled - 1) + 0.5) * ratio
    by_area = (area > 0) & (ratio > 1)
    left = torch.where(by_area, middle - 0.5 * ratio, middle - 0.5)
    index = left.floor()[..., None] + torch.arange(taps, device=axis.device)
    left, middle, ratio = left[..., None], middle[..., None], ratio[..., None]
    covered = torch.minimum(left + ratio, index + 1) - torch.maximum(left, index)
    near = 1 - (left - index).abs()
    weight = torch.where(by_area[..., None], covered, near).clamp(min=0)
    last = length[..., None] - 1
    index = torch.minimum(index.clamp(min=0), last) + start[..., None]
    nearest = torch.minimum(middle.floor(), last) + start[..., None]
    return (
        index.long(), weight / weight.sum(-1, keepdim=True), nearest[..., 0].long(), inside
    )


def _recolored(images: Tensor, views: Sequence[View]) -> Tensor:
    """Tones, hues, then brightness, contrast and saturation; float (N, 3, H, W), 0..255."""
    device = images.device
    if any(view.tone is not None for view in views):
        curves = _told([tone_curves(view.tone or (1.0,) * 4).T for view in views], device)
        images = curves.gather(2, images.flatten(2).long()).view(images.shape)
    if any(view.hue for view in views):
        turn = _told([hue_matrix(view.hue) for view in views], device)
        images = (turn @ images.flatten(2)).round_().clamp_(0, 255).view(images.shape)
    if all(view.color is None for view in views):
        return images
    b, c, s = np.array([view.color or (1.0, 1.0, 1.0) for view in views]).T
    factors = _told([b * c * s, b * c * (1 - s), b * (1 - c)], device)
    own, of_grey, of_mean = factors[..., None, None, None]
    grey = (images * _told(GREY, device)[:, None, None]).sum(1, keepdim=True).round_()
    rest = of_grey * grey + of_mean * grey.mean((2, 3), keepdim=True)
    return images.mul_(own).add_(rest).round_().clamp_(0, 255)
