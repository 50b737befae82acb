# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Pooling to grids whose cells are about square, whatever the image's aspect ratio."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import fx, nn, Tensor

from segnode.networks.pooling import grid_enlarge, pooling_matrix


def aspect_pool(x: Tensor, bins: int) -> Tensor:
    """Average over a grid: (N, C, H, W) -> (N, C, bins, round(bins W / H)).

    The same as adaptive average pooling to that size, as products with constant matrices.
    """
    height, width = x.shape[2], x.shape[3]
    rows = pooling_matrix(height, bins, x)
    columns = pooling_matrix(width, columns_for(height, width, bins), x)
    return torch.matmul(torch.matmul(rows, x), torch.transpose(columns, 0, 1))


@fx.wrap  # a leaf: its result is a number only once the sizes are frozen
def columns_for(height: int, width: int, rows: int) -> int:
    """Return the number of columns, at least 1, that gives the map's own aspect to the grid."""
    return max(1, round(rows * int(width) / int(height)))


class AspectPyramid(nn.Module):
    """The map beside its averages over several grids of square cells, projected and enlarged.

    Args:
        branches: for each entry of ``bins`` the module that follows its pooling.
        bins: rows of each grid.
        align_corners: of the bilinear enlargement.

    Shape:
        (N, C, H, W) -> (N, C + the branches' channels, H, W), in the order of ``bins``.
    """

    def __init__(
        self, branches: Sequence[nn.Module], bins: Sequence[int], *, align_corners: bool = False
    ) -> None:
        super().__init__()
        if len(branches) != len(bins):
            raise ValueError('pyramid pooling needs one branch for each number of bins')
        self.branches = nn.ModuleList(branches)
        self.bins = tuple(bins)
        self.align_corners = align_corners

    def forward(self, x: Tensor) -> Tensor:
        size = x.shape[2], x.shape[3]
        parts = [x]
        for branch, bins in zip(self.branches, self.bins):
            parts.append(grid_enlarge(branch(aspect_pool(x, bins)), size, self.align_corners))
        return torch.cat(parts, 1)
