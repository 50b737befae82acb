# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""SDBNetV2 against its specification."""

from networks.network_cases import NetworkCase
import pytest

torch = pytest.importorskip('torch')

from segnode.networks.sdbnetv2 import SDBNetV2, window_mean  # noqa: E402


class TestSDBNetV2(NetworkCase):
    factory = SDBNetV2
    parameters = 1_503_059


def test_total_is_the_one_that_the_authors_print():
    with torch.device('meta'):
        network = SDBNetV2(19)
    statistics = sum(b.numel() for n, b in network.named_buffers() if 'running' in n)
    assert sum(p.numel() for p in network.parameters()) + statistics == 1_530_643


@pytest.mark.parametrize('window', [1, 3, 4, 64])
def test_window_mean_by_hand(window):
    """As TensorFlow's 'SAME': what lies beyond the border is not counted."""
    torch.manual_seed(0)
    x = torch.rand(2, 3, 7, 10)
    before = (window - 1) // 2
    out = window_mean(x, window)
    for row in range(7):
        for column in range(10):
            top, left = max(row - before, 0), max(column - before, 0)
            seen = x[:, :, top:row - before + window, left:column - before + window]
            assert torch.allclose(out[:, :, row, column], seen.mean((2, 3)), atol=1e-6)
