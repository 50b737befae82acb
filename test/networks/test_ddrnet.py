# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""DDRNet-23-slim against its specification."""

from networks.network_cases import NetworkCase
import pytest

torch = pytest.importorskip('torch')

from segnode.networks.ddrnet import ContextModule, DDRNet23Slim  # noqa: E402


class TestDDRNet23Slim(NetworkCase):
    factory = DDRNet23Slim
    parameters = 5_734_342
    inference_parameters = 5_695_987
    training_only = ('auxiliary',)
    auxiliary = 1


def test_without_auxiliary_head_training_gives_the_logits_alone():
    network = DDRNet23Slim(2, auxiliary=False).train()
    with torch.no_grad():
        assert network(torch.rand(2, 3, 64, 64)).shape == (2, 2, 8, 8)


def test_context_of_a_constant_map_is_constant_away_from_the_border():
    """Zeros beyond the border count in the averages, so only the middle stays constant."""
    torch.manual_seed(0)
    module = ContextModule(4, 3, 5).eval()
    with torch.no_grad():
        out = module(torch.ones(1, 4, 64, 64))
    assert out.shape == (1, 5, 64, 64)
    middle = out[:, :, 24:40, 24:40]
    assert torch.allclose(middle, middle[:, :, :1, :1].expand_as(middle), atol=1e-5)
    assert not torch.allclose(out, out[:, :, 32:33, 32:33].expand_as(out), atol=1e-3)
