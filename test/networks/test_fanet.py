# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""FANet against its specification."""

from networks.network_cases import NetworkCase
import pytest

torch = pytest.importorskip('torch')

from segnode.networks.fanet import FANet  # noqa: E402

# The specification's, per module.
PARAMETERS = {
    'stem': 6_624, 'c4': 165_312, 'c5': 861_600, 'p5a': 8_384, 'p5b': 8_384, 'p6': 8_384,
    'aggregation': 12 * 4_864, 'classifier': 2 * 4_864 + 1_235,
}


class TestFANet(NetworkCase):
    factory = FANet
    parameters = 1_128_019

    def test_parameters_per_module(self) -> None:
        made = FANet(19)
        found = {n: sum(p.numel() for p in m.parameters()) for n, m in made.named_children()}
        assert found == PARAMETERS
        statistics = sum(b.numel() for n, b in made.named_buffers() if 'running' in n)
        assert self.parameters + statistics == 1_151_411

    def test_every_level_reaches_the_output(self) -> None:
        fusion = FANet(2).aggregation.eval()
        sides = (16, 8, 4, 4, 2, 1)
        levels = [torch.randn(1, 64, s, s, requires_grad=True) for s in sides]
        fusion(*levels).square().sum().backward()
        assert all(level.grad is not None and level.grad.abs().sum() > 0 for level in levels)
