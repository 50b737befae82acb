# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Pooling to grids whose cells are about square, whatever the image's aspect ratio."""

from __future__ import annotations

from torch import fx, Tensor

from segnode.networks.pooling import pooling_matrix, PyramidPooling, weigh

fx.wrap('pooling_matrix')  # a leaf only in the modules that say so, its own and this one


def aspect_pool(x: Tensor, bins: int) -> Tensor:
    """Average over a grid: (N, C, H, W) -> (N, C, bins, round(bins W / H)).

    The same as adaptive average pooling to that size, as products with constant matrices.
    """
    height, width = x.shape[2], x.shape[3]
    rows = pooling_matrix(height, bins, x)
    columns = pooling_matrix(width, columns_for(height, width, bins), x)
    return weigh(rows, x, columns)


@fx.wrap  # a leaf: its result is a number only once the sizes are frozen
def columns_for(height: int, width: int, rows: int) -> int:
    """Return the number of columns, at least 1, that gives the map's own aspect to the grid."""
    return max(1, round(rows * int(width) / int(height)))


class AspectPyramid(PyramidPooling):
    """Pyramid pooling over grids of square cells; ``bins`` are the rows of each grid."""

    pool = staticmethod(aspect_pool)
