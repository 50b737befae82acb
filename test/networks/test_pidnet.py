# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""PIDNet-S against its specification."""

from networks.network_cases import NetworkCase
import pytest

torch = pytest.importorskip('torch')

from segnode.networks.pidnet import BoundaryFusion, PIDNetS, PixelAttentionFusion  # noqa: E402


class TestPIDNetS(NetworkCase):
    factory = PIDNetS
    parameters = 7_720_935
    inference_parameters = 7_625_715
    training_only = ('auxiliary',)
    auxiliary = 2


def test_training_gives_detail_and_boundary_logits():
    network = PIDNetS(7).train()
    with torch.no_grad():
        _, detail, boundary = network(torch.rand(2, 3, 64, 128))
    assert detail.shape == (2, 7, 8, 16)
    assert boundary.shape == (2, 1, 8, 16)


def test_pixel_attention_follows_the_agreement():
    fusion = PixelAttentionFusion(2, 2, 2).eval()
    identity = torch.eye(2).reshape(2, 2, 1, 1)
    with torch.no_grad():
        fusion.fine[0].weight.copy_(identity)
        fusion.coarse[0].weight.copy_(identity)
        fine, coarse = torch.full((1, 2, 4, 4), 3.0), torch.full((1, 2, 2, 2), 5.0)
        agreeing = fusion(fine, coarse)
        opposed = fusion(fine, -coarse)
    assert torch.allclose(agreeing, torch.full_like(fine, 5.0), atol=1e-4)
    assert torch.allclose(opposed, fine, atol=1e-4)


def test_boundary_decides_between_detail_and_context():
    fusion = BoundaryFusion(1).eval()
    with torch.no_grad():
        fusion.detail[0].weight.fill_(1.0)
        fusion.context[0].weight.zero_()
        detail, context = torch.full((1, 1, 2, 2), 2.0), torch.full((1, 1, 2, 2), 7.0)
        at_boundary = fusion(detail, context, torch.full_like(detail, 50.0))
        inside = fusion(detail, context, torch.full_like(detail, -50.0))
    assert torch.allclose(at_boundary, torch.full_like(detail, 2.0), atol=1e-4)
    assert torch.allclose(inside, torch.full_like(detail, 9.0), atol=1e-4)
