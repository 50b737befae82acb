# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The strided depthwise convolution with the fast backward pass against PyTorch's own."""

import pytest

torch = pytest.importorskip('torch')
from torch import nn  # noqa: E402
import torch.nn.functional as F  # noqa: E402

from segnode.networks.fsffnet import FSFFNet  # noqa: E402
from segnode.networks.sdbnetv2 import SDBNetV2  # noqa: E402
from training.strided_depthwise import (  # noqa: E402
    speed_up_strided_depthwise,
    StridedDepthwiseConv2d,
)


def relative(a, b):
    return ((a - b).norm() / b.norm()).item()


@pytest.mark.parametrize('kind, limit', [(torch.float32, 1e-5), (torch.bfloat16, 1e-2)])
@pytest.mark.parametrize('kernel, stride, size, bias', [
    (3, 2, (16, 24), True),
    (5, 2, (16, 24), False),
    (3, 2, (15, 21), True),
    (3, 4, (16, 24), False),
    ((5, 1), (2, 1), (16, 24), True),
])
def test_gradients(kind, limit, kernel, stride, size, bias):
    torch.manual_seed(0)
    conv = nn.Conv2d(32, 32, kernel, stride, padding=1, groups=32, bias=bias)
    x = torch.randn(2, 32, *size).to(memory_format=torch.channels_last).requires_grad_()
    wanted_of = (x, *conv.parameters())
    expected = F.conv2d(x, conv.weight, conv.bias, stride, 1, groups=32)
    grad = torch.randn(expected.shape)
    wanted = torch.autograd.grad(expected, wanted_of, grad)
    assert speed_up_strided_depthwise(conv) == 1 and type(conv) is StridedDepthwiseConv2d
    with torch.autocast('cpu', kind, enabled=kind != torch.float32):
        out = conv(x)
    got = torch.autograd.grad(out, wanted_of, grad.to(out.dtype))
    assert relative(out.float(), expected) < limit
    for a, b in zip(got, wanted):
        assert relative(a.float(), b) < limit


def test_input_without_a_gradient():
    conv = nn.Conv2d(8, 8, 3, 2, padding=1, groups=8)
    speed_up_strided_depthwise(conv)
    x = torch.randn(1, 8, 8, 8)
    conv(x).sum().backward()
    assert conv.weight.grad is not None and x.grad is None


@pytest.mark.parametrize('conv', [
    nn.Conv2d(8, 8, 3, padding=1, groups=8),
    nn.Conv2d(8, 16, 3, 2, groups=8),
    nn.Conv2d(8, 8, 3, 2, groups=4),
    nn.Conv2d(8, 8, 1, 2, groups=8),
    nn.Conv2d(8, 8, 3, 2, dilation=2, groups=8),
    nn.Conv2d(8, 8, 3, 2, padding=1, padding_mode='reflect', groups=8),
])
def test_others_are_left_alone(conv):
    assert speed_up_strided_depthwise(conv) == 0 and type(conv) is nn.Conv2d


@pytest.mark.parametrize('network, count', [(FSFFNet(11), 4), (SDBNetV2(11), 10)])
def test_network_keeps_its_values_and_names(network, count):
    network.eval()
    names = list(network.state_dict())
    x = torch.rand(1, 3, 128, 128)
    with torch.no_grad():
        before = network(x)
        assert speed_up_strided_depthwise(network) == count
        after = network(x)
    assert list(network.state_dict()) == names
    assert torch.equal(before, after)
