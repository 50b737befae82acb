# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The repaired dilated depthwise convolution against float32 PyTorch."""

import pytest

torch = pytest.importorskip('torch')
import torch.nn.functional as F  # noqa: E402

from segnode.networks.fsffnet import FSFFNet  # noqa: E402
from training.depthwise import (  # noqa: E402
    batch_to_space,
    DilatedDepthwiseConv2d,
    repair_dilated_depthwise,
    space_to_batch,
)


def relative(a, b):
    return ((a - b).norm() / b.norm()).item()


def test_space_to_batch_round_trip():
    x = torch.randn(2, 3, 4, 6)
    assert torch.equal(batch_to_space(space_to_batch(x, 2), 2), x)


@pytest.mark.parametrize('kind, limit', [(torch.float32, 1e-5), (torch.bfloat16, 1e-2)])
@pytest.mark.parametrize('dilation, size', [(2, (16, 24)), (6, (12, 16)), (18, (12, 16))])
def test_gradients(kind, limit, dilation, size):
    torch.manual_seed(0)
    conv = torch.nn.Conv2d(8, 8, 3, padding=dilation, dilation=dilation, groups=8)
    x = torch.randn(2, 8, *size).to(memory_format=torch.channels_last).requires_grad_()
    grad = torch.randn(2, 8, *size)
    expected = F.conv2d(x, conv.weight, conv.bias, 1, dilation, dilation, 8)
    wanted = torch.autograd.grad(expected, (x, conv.weight, conv.bias), grad)
    assert repair_dilated_depthwise(conv) == 1 and type(conv) is DilatedDepthwiseConv2d
    with torch.autocast('cpu', kind, enabled=kind != torch.float32):
        out = conv(x)
    got = torch.autograd.grad(out, (x, conv.weight, conv.bias), grad.to(out.dtype))
    assert relative(out.float(), expected) < limit
    for a, b in zip(got, wanted):
        assert relative(a.float(), b) < limit


def test_network_keeps_its_values_and_names():
    network = FSFFNet(11).eval()
    names = list(network.state_dict())
    x = torch.rand(1, 3, 128, 128)
    with torch.no_grad():
        before = network(x)
        # 12 fusion nodes, 3 of the FSM, 2 of the classifier.
        assert repair_dilated_depthwise(network) == 17
        after = network(x)
    assert list(network.state_dict()) == names
    assert torch.equal(before, after)
