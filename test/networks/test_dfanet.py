# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""DFANet A and B against their specification."""

from networks.network_cases import NetworkCase
import pytest

torch = pytest.importorskip('torch')

from segnode.networks.dfanet import DFANet, DFANetB, FullyConnectedAttention  # noqa: E402


class TestDFANet(NetworkCase):
    factory = DFANet
    parameters = 1_831_051 + 672_038
    inference_parameters = 1_831_051
    training_only = ('auxiliary',)
    auxiliary = 2


class TestDFANetB(NetworkCase):
    factory = DFANetB
    parameters = 1_099_883 + 300_582
    inference_parameters = 1_099_883
    training_only = ('auxiliary',)
    auxiliary = 2


def test_stage_strides():
    network = DFANet(2).eval()
    with torch.no_grad():
        stem = network.stem(torch.zeros(1, 3, 64, 128))
        shapes = [tuple(m.shape[1:]) for m in network.stage1(stem)]
    assert tuple(stem.shape[1:]) == (8, 32, 64)
    assert shapes == [(48, 16, 32), (96, 8, 16), (192, 4, 8), (192, 4, 8)]


def test_auxiliary_logits_are_of_the_first_two_stages():
    network = DFANet(2).train()
    with torch.no_grad():
        shapes = [tuple(m.shape) for m in network(torch.rand(2, 3, 64, 128))]
        assert shapes == [(2, 2, 16, 32), (2, 2, 4, 8), (2, 2, 2, 4)]
        alone = DFANet(2, auxiliary=False).train()(torch.rand(2, 3, 64, 128))
    assert alone.shape == (2, 2, 16, 32)


def test_attention_scales_every_channel_by_one_value():
    torch.manual_seed(0)
    module = FullyConnectedAttention(4).eval()
    x = torch.rand(1, 4, 3, 5) + 0.5
    with torch.no_grad():
        ratio = module(x) / x
    assert torch.allclose(ratio, ratio[:, :, :1, :1].expand_as(ratio))
    assert (ratio >= 0).all() and (ratio > 0).any()


def test_training_starts_with_shortcuts_and_an_attention_of_one():
    """What the attention's batch norm would make of eight alike means is noise."""
    torch.manual_seed(0)
    network = DFANetB(11).train()
    x = torch.rand(4, 3, 128, 128)
    stem = network.stem(x)
    *_, before, after = network.stage1(stem)
    assert torch.equal(before, after)
    block = network.stage1.enc2[1]
    given = torch.randn(2, 32, 8, 8)
    assert torch.equal(block(given), given)
    # All classes are about alike at first: the loss of a guess is ln 11.
    for logits in network(x):
        assert 0 < logits.std() < 0.3
    # What starts at zero learns from the first step on.
    torch.nn.functional.cross_entropy(network(x)[0], torch.randint(0, 11, (4, 32, 32))).backward()
    assert block.convs[-1][-1][1].weight.grad.abs().max() > 0
    assert network.stage1.attention.conv[1].weight.grad.abs().max() > 0
