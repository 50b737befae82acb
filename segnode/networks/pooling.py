# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Pooling to a grid, and back, as products with constant matrices: exact at any size.

Adaptive pooling to a grid that does not divide the map has no ONNX form (the exporter refuses
it) and torch2trt converts it wrongly without a word. Averaging is linear in rows and in columns,
so it is two matrix products, which every converter has; so is bilinear enlargement.
"""

from __future__ import annotations

from collections.abc import Sequence
import functools

import numpy as np
import torch
from torch import fx, nn, Tensor


def grid_pool(x: Tensor, bins: int) -> Tensor:
    """Average over a grid of ``bins`` x ``bins`` cells: (N, C, H, W) -> (N, C, bins, bins).

    The same as adaptive average pooling: cell i covers floor(i H / bins) to
    ceil((i + 1) H / bins), so cells overlap where ``bins`` does not divide H.
    """
    rows = pooling_matrix(x.shape[2], bins, x)
    columns = pooling_matrix(x.shape[3], bins, x)
    return weigh(rows, x, columns)


def grid_enlarge(x: Tensor, size: tuple[int, int], align_corners: bool = False) -> Tensor:
    """Interpolate bilinearly, as F.interpolate: (N, C, h, w) -> (N, C, size[0], size[1])."""
    rows = enlarging_matrix(x.shape[2], size[0], align_corners, x)
    columns = enlarging_matrix(x.shape[3], size[1], align_corners, x)
    return weigh(rows, x, columns)


def weigh(rows: Tensor, x: Tensor, columns: Tensor) -> Tensor:
    """Combine the rows of each map, and its columns: (N, C, H, W) -> (N, C, h, w).

    Args:
        rows: (1, 1, h, H), weights of the map's rows in each row of the result.
        x: the maps.
        columns: (1, 1, w, W), the same for columns.
    """
    return torch.matmul(torch.matmul(rows, x), torch.transpose(columns, 2, 3))


class PyramidPooling(nn.Module):
    """The map beside its averages over several grids, each projected and enlarged again.

    Args:
        branches: for each entry of ``bins`` the module that follows its pooling, usually a 1x1
            convolution that reduces the channels.
        bins: cells per side of each grid.
        identity: the input is the first part of the concatenation.
        align_corners: of the bilinear enlargement.

    Shape:
        (N, C, H, W) -> (N, [C +] the branches' channels, H, W), in the order of ``bins``.

    Reference:
        Zhao et al., Pyramid Scene Parsing Network (CVPR 2017).
    """

    pool = staticmethod(grid_pool)

    def __init__(
        self,
        branches: Sequence[nn.Module],
        bins: Sequence[int] = (1, 2, 3, 6),
        *,
        identity: bool = True,
        align_corners: bool = False,
    ) -> None:
        super().__init__()
        if len(branches) != len(bins):
            raise ValueError('pyramid pooling needs one branch for each number of bins')
        self.branches = nn.ModuleList(branches)
        self.bins = tuple(bins)
        self.identity = identity
        self.align_corners = align_corners

    def forward(self, x: Tensor) -> Tensor:
        size = x.shape[2], x.shape[3]
        parts = [x] if self.identity else []
        for branch, bins in zip(self.branches, self.bins):
            parts.append(grid_enlarge(branch(self.pool(x, bins)), size, self.align_corners))
        return torch.cat(parts, 1)


# Both matrices are leaves to torch.fx (their sizes are numbers only once they are frozen). They
# are made by torch.tensor in every call, from an array that is kept: a tracer records that as a
# constant and not as arithmetic, and torch2trt, which pins its own objects to the tensors that
# it meets, must not meet one of an earlier conversion. They have as many dimensions as the maps
# because torch2trt multiplies no others.


@fx.wrap
def pooling_matrix(size: int, bins: int, like: Tensor) -> Tensor:
    """Return the (1, 1, bins, size) matrix that averages, as ``like`` in device and type."""
    return torch.tensor(_pooling(int(size), int(bins)), dtype=like.dtype, device=like.device)


@fx.wrap
def enlarging_matrix(size: int, larger: int, align_corners: bool, like: Tensor) -> Tensor:
    """Return the (1, 1, larger, size) matrix that interpolates, as ``like``."""
    weights = _enlarging(int(size), int(larger), align_corners)
    return torch.tensor(weights, dtype=like.dtype, device=like.device)


@functools.cache
def _pooling(size: int, bins: int) -> np.ndarray:
    matrix = np.zeros((1, 1, bins, size))
    for cell in range(bins):
        first, end = cell * size // bins, -(-(cell + 1) * size // bins)
        matrix[..., cell, first:end] = 1 / (end - first)
    return matrix


@functools.cache
def _enlarging(size: int, larger: int, align_corners: bool) -> np.ndarray:
    matrix = np.zeros((1, 1, larger, size))
    for position in range(larger):
        if align_corners:
            source = position * (size - 1) / max(larger - 1, 1)
        else:
            source = max((position + 0.5) * size / larger - 0.5, 0.0)
        low = min(int(source), size - 1)
        high = min(low + 1, size - 1)
        matrix[..., position, low] += 1.0 - (source - low)
        matrix[..., position, high] += source - low
    return matrix
