# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""MSFNet, our proposal, against its specification."""

from networks.network_cases import NetworkCase
import pytest

torch = pytest.importorskip('torch')

from segnode.networks.msfnet import MSFNet, SpatialAwarePooling  # noqa: E402


@pytest.mark.slow
class TestMSFNet(NetworkCase):
    factory = MSFNet
    parameters = 12_717_012
    inference_parameters = 12_126_035
    training_only = ('auxiliary',)
    auxiliary = 1


def test_parameters_and_levels():
    with torch.device('meta'):
        network = MSFNet(19, auxiliary=False)
        assert sum(p.numel() for p in network.parameters()) == 12_126_035
        taps = [torch.zeros(1, 128, 64 // s, 128 // s) for s in (4, 8, 16, 32)]
        sizes = [tuple(level.shape[1:]) for level in network.fusion(taps)]
    assert sizes == [(128, 8, 16), (128, 4, 8), (128, 2, 4), (128, 1, 2)]


def test_pooling_by_hand():
    """Windows of three pixels every two, the map of the level itself untouched."""
    pooling = SpatialAwarePooling((4, 8), 8)
    fine = torch.arange(16.0).reshape(1, 1, 4, 4)
    own = torch.full((1, 1, 2, 2), 7.0)
    out = pooling([fine, own, torch.zeros(1, 1, 1, 1)])
    assert out.shape == (1, 2, 2, 2)
    assert torch.equal(out[:, 1:], own)
    assert out[0, 0, 1, 1].item() == fine[0, 0, 1:4, 1:4].mean().item()
    assert out[0, 0, 0, 0].item() == pytest.approx(fine[0, 0, :2, :2].sum().item() / 9)
