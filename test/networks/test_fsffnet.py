# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""FSFFNet against its specification."""

from networks.network_cases import NetworkCase
import pytest

torch = pytest.importorskip('torch')

from segnode.networks.fsffnet import FSFFNet  # noqa: E402

# Trainable parameters per module, from the specification of reading B.
PARAMETERS = {
    'c1': 960, 'c2': 27_928, 'c3': 174_480, 'c4': 653_088, 'c5': 233_184, 'fsm': 30_360,
    'p3': 4_288, 'p4': 8_384, 'p5': 10_432, 'p6': 10_432, 'ffm': 12 * 4_864, 'up1': 768,
    'lateral2': 2_240, 'up2': 3_888, 'lateral1': 1_680, 'classifier': 2_880 + 2_064 + 627,
}


class TestFSFFNet(NetworkCase):
    factory = FSFFNet
    parameters = 1_226_051

    def test_parameters_per_module(self):
        made = FSFFNet(19)
        found = {n: sum(p.numel() for p in m.parameters()) for n, m in made.named_children()}
        assert found == PARAMETERS
        statistics = sum(b.numel() for n, b in made.named_buffers() if 'running' in n)
        assert self.parameters + statistics == 1_253_075


def test_stage_strides():
    network = FSFFNet(19).eval()
    x = torch.zeros(1, 3, 128, 256)
    with torch.no_grad():
        c1 = network.c1(x)
        c2 = network.c2(c1)
        c3 = network.c3(c2)
        c4 = network.c4(c3)
        c5 = network.c5(c4)
    shapes = [tuple(t.shape[1:]) for t in (c1, c2, c3, c4, c5)]
    assert shapes == [(32, 64, 128), (32, 32, 64), (64, 16, 32), (128, 8, 16), (160, 4, 8)]


def test_u4_activation_is_an_option_without_parameters():
    torch.manual_seed(0)
    plain = FSFFNet(11).eval()
    changed = FSFFNet(11, u4_activation=True).eval()
    changed.load_state_dict(plain.state_dict())
    x = torch.rand(1, 3, 128, 128)
    with torch.no_grad():
        assert not torch.equal(plain(x), changed(x))


def test_fusion_node_by_hand():
    from segnode.networks.blocks import FusionNode
    node = FusionNode(2).eval()
    with torch.no_grad():
        depthwise, pointwise = node.conv[0], node.conv[1]
        depthwise.weight.zero_()
        depthwise.weight[:, 0, 0, 0] = 1.0  # reads two pixels up and to the left
        pointwise.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 2.0]]).reshape(2, 2, 1, 1))
        pointwise.bias.copy_(torch.tensor([0.5, 0.0]))
        a, b = torch.zeros(1, 2, 4, 4), torch.zeros(1, 2, 4, 4)
        a[0, :, 1, 1], b[0, :, 1, 1] = 1.0, 2.0
        out = node(a, b)
    silu3 = 3.0 / (1.0 + torch.exp(torch.tensor(-3.0)))
    scale = 1.0 / (1.0 + 1e-4) ** 0.5
    assert out[0, 0, 3, 3].item() == pytest.approx((silu3.item() + 0.5) * scale, rel=1e-5)
    assert out[0, 1, 3, 3].item() == pytest.approx(2 * silu3.item() * scale, rel=1e-5)
    assert out[0, 1, 0, 0].item() == 0.0


def test_dropout_only_while_training():
    network = FSFFNet(11, dropout=0.9)
    x = torch.rand(2, 3, 128, 128)
    with torch.no_grad():
        assert (network.train()(x) == 0).float().mean() > 0.8
        assert (network.eval()(x) == 0).float().mean() < 0.1


def test_smoothing_before_the_enlargement_is_the_published_order():
    """The authors enlarge first and smooth with dilation 2; ours gives the same values."""
    from segnode.networks.blocks import upsample2
    torch.manual_seed(0)
    network = FSFFNet(11)
    small = torch.randn(2, 64, 12, 20)
    for ours in (network.up1, network.up2[0]):
        network.train()(torch.rand(2, 3, 128, 128))  # settles batch norm away from identity
        network.eval()
        conv, norm, activation = ours
        published = torch.nn.functional.conv2d(
            upsample2(small), conv.weight, conv.bias, padding=2, dilation=2, groups=64)
        with torch.no_grad():
            assert torch.allclose(
                upsample2(ours(small)), activation(norm(published)), atol=1e-6)
