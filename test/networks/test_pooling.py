# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Pooling by constant matrices against PyTorch's own."""

from __future__ import annotations

import pytest

torch = pytest.importorskip('torch')

from torch import nn  # noqa: E402
import torch.nn.functional as F  # noqa: E402

from segnode.networks.pooling import grid_enlarge, grid_pool, PyramidPooling  # noqa: E402


@pytest.mark.parametrize('size', [(4, 4), (5, 7), (20, 28), (1, 3)])
def test_the_same_as_adaptive_pooling_and_interpolation(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, *size)
    for bins in (1, 2, 3, 6, 8):
        pooled = grid_pool(x, bins)
        assert torch.allclose(pooled, F.adaptive_avg_pool2d(x, bins), atol=1e-6)
        for align in (False, True):
            expected = F.interpolate(pooled, size, mode='bilinear', align_corners=align)
            assert torch.allclose(grid_enlarge(pooled, size, align), expected, atol=2e-6)


def test_pyramid_by_hand() -> None:
    pyramid = PyramidPooling([nn.Identity(), nn.ReLU()], (1, 2))
    x = torch.arange(-8.0, 8.0).reshape(1, 1, 4, 4)
    out = pyramid(x)
    assert out.shape == (1, 3, 4, 4)
    assert torch.equal(out[:, :1], x)
    assert torch.allclose(out[:, 1], torch.tensor(-0.5))
    assert out[0, 2, 0, 0] == 0 and out[0, 2, 3, 3] == pytest.approx(4.5)
    without = PyramidPooling([nn.Identity(), nn.ReLU()], (1, 2), identity=False)
    assert torch.equal(without(x), out[:, 1:])
    with pytest.raises(ValueError, match='one branch for each'):
        PyramidPooling([nn.Identity()], (1, 2))


def test_double_precision_and_gradient() -> None:
    x = torch.randn(1, 2, 5, 5, dtype=torch.float64, requires_grad=True)
    grid_pool(x, 3).sum().backward()
    expected = torch.autograd.grad(F.adaptive_avg_pool2d(x, 3).sum(), x)[0]
    assert x.grad is not None and torch.allclose(x.grad, expected)
