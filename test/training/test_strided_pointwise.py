# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The repaired strided pointwise convolution against PyTorch in float64, and DFANet with it."""

import pytest

torch = pytest.importorskip('torch')

from segnode.networks import zoo  # noqa: E402
from training.strided_pointwise import (  # noqa: E402
    repair_strided_pointwise,
    StridedPointwiseConv2d,
)


@pytest.mark.parametrize('kind, limit', [(torch.float32, 1e-5), (torch.bfloat16, 2e-2)])
@pytest.mark.parametrize('stride, size', [((2, 2), (192, 256)), ((2, 3), (63, 64))])
def test_gradients(kind, limit, stride, size):
    """The larger case ends the process in PyTorch 2.13's own bfloat16 on AVX-512."""
    torch.manual_seed(0)
    conv = torch.nn.Conv2d(8, 24, 1, stride)
    x = torch.randn(8, 8, *size).to(memory_format=torch.channels_last).requires_grad_()
    reference, x64 = torch.nn.Conv2d(8, 24, 1, stride).double(), x.detach().double()
    reference.load_state_dict(conv.state_dict())
    expected = reference(x64.requires_grad_())
    grad = torch.randn(expected.shape)
    wanted = torch.autograd.grad(expected, (x64, *reference.parameters()), grad.double())
    conv = conv.to(memory_format=torch.channels_last)
    assert repair_strided_pointwise(conv) == 1 and type(conv) is StridedPointwiseConv2d
    with torch.autocast('cpu', kind, enabled=kind != torch.float32):
        out = conv(x)
    got = torch.autograd.grad(out, (x, *conv.parameters()), grad.to(out.dtype))
    for a, b in zip((out, *got), (expected, *wanted)):
        assert a.shape == b.shape
        assert ((a.double() - b).norm() / b.norm()).item() < limit


@pytest.mark.parametrize('conv, count', [
    (torch.nn.Conv2d(15, 4, 1, (1, 2)), 1),
    (torch.nn.Conv2d(16, 4, 1, 2), 0),
    (torch.nn.Conv2d(8, 4, 1), 0),
    (torch.nn.Conv2d(8, 4, 1, 2, padding=1), 0),
    (torch.nn.Conv2d(8, 4, 1, 2, groups=2), 0),
    (torch.nn.Conv2d(8, 4, 3, 2), 0),
])
def test_which_are_changed(conv, count):
    assert repair_strided_pointwise(conv) == count


def test_dfanet_keeps_its_values_and_names():
    network = zoo.create('dfanet_b', 11).eval()
    names, x = list(network.state_dict()), torch.rand(1, 3, 128, 128)
    with torch.no_grad():
        before = network(x)
        assert repair_strided_pointwise(network) == 1
        after = network(x)
    assert list(network.state_dict()) == names
    assert torch.allclose(before, after, atol=1e-5)
