# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Pooling to square cells is adaptive average pooling, at any size."""

import pytest

torch = pytest.importorskip('torch')

from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d, interpolate  # noqa: E402

from segnode.networks.aspect_pooling import aspect_pool, AspectPyramid  # noqa: E402


@pytest.mark.parametrize('size', [(1, 1), (3, 1), (20, 28), (16, 32), (5, 7)])
@pytest.mark.parametrize('bins', [1, 2, 4, 8])
def test_is_adaptive_pooling(size, bins):
    x = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    columns = max(1, round(bins * size[1] / size[0]))
    expected = adaptive_avg_pool2d(x, (bins, columns))
    assert torch.allclose(aspect_pool(x, bins), expected, atol=1e-6)


def test_is_df_segs_fixed_windows_at_1024x2048():
    x = torch.randn(1, 2, 32, 64, generator=torch.Generator().manual_seed(0))
    for bins, window in zip((1, 2, 4, 8), (32, 16, 8, 4)):
        assert torch.allclose(aspect_pool(x, bins), avg_pool2d(x, window), atol=1e-6)


def test_pyramid_by_hand():
    x = torch.randn(1, 2, 6, 9, generator=torch.Generator().manual_seed(0))
    for align in (False, True):
        pyramid = AspectPyramid([torch.nn.Identity()], (4,), align_corners=align)
        pooled = adaptive_avg_pool2d(x, (4, 6))
        enlarged = interpolate(pooled, (6, 9), mode='bilinear', align_corners=align)
        assert torch.allclose(pyramid(x), torch.cat([x, enlarged], 1), atol=1e-5)
    with pytest.raises(ValueError, match='one branch'):
        AspectPyramid([torch.nn.Identity()], (4, 2))


def test_can_be_traced_without_knowing_the_size():
    """As deploying does it: what depends on the size is a leaf of the traced graph."""
    pyramid = AspectPyramid([torch.nn.Conv2d(2, 2, 1)], (4,)).eval()
    traced = torch.fx.symbolic_trace(pyramid)
    for size in ((6, 9), (8, 20)):
        x = torch.randn(1, 2, *size, generator=torch.Generator().manual_seed(0))
        assert torch.equal(traced(x), pyramid(x))
