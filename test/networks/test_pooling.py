# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Pooling by constant matrices against PyTorch's own."""

from __future__ import annotations

import io
import warnings

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


def test_the_matrices_are_constants_of_an_export() -> None:
    onnx = pytest.importorskip('onnx')
    pyramid = PyramidPooling([nn.Conv2d(3, 2, 1)] * 2, (3, 6)).eval()
    x = torch.randn(1, 3, 20, 28)
    before = pyramid(x)
    file = io.BytesIO()
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter('ignore')
        torch.onnx.export(pyramid, (x,), file, dynamo=False, opset_version=17)
    kinds = [node.op_type for node in onnx.load_from_string(file.getvalue()).graph.node]
    assert kinds.count('MatMul') == 8
    assert set(kinds) <= {'MatMul', 'Conv', 'Concat', 'Constant', 'Identity'}
    # What was kept in inference mode and while tracing serves training as well.
    after = pyramid(x)
    assert torch.equal(after, before)
    after.sum().backward()


def test_one_size_in_two_types() -> None:
    x = torch.randn(1, 2, 7, 5)
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        assert grid_pool(x.to(dtype), 3).dtype == dtype
        assert grid_enlarge(x.to(dtype), (9, 9)).dtype == dtype
