# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The repaired dilated convolution against PyTorch in float64, and ESPNet with it."""

import pytest

torch = pytest.importorskip('torch')

from segnode.networks import zoo  # noqa: E402
from training.dilated import DilatedConv2d, repair_dilated  # noqa: E402


@pytest.mark.parametrize('kind, limit', [(torch.float32, 1e-5), (torch.bfloat16, 2e-2)])
@pytest.mark.parametrize('channels, groups, kernel, dilation, size', [
    ((25, 25), 1, 3, 4, (48, 64)), ((131, 64), 1, 3, 2, (25, 31)), ((24, 24), 1, 5, 2, (48, 64)),
    ((24, 24), 2, 3, 4, (48, 64)), ((48, 48), 2, 3, 2, (48, 64)),
])
def test_gradients(kind, limit, channels, groups, kernel, dilation, size):
    """Each is wrong, NaN or the end of the process in PyTorch 2.13's own bfloat16 on AVX-512."""
    torch.manual_seed(0)
    settings = {
        'padding': dilation * (kernel // 2), 'dilation': dilation, 'groups': groups}
    conv = torch.nn.Conv2d(*channels, kernel, **settings)
    x = torch.randn(2, channels[0], *size).to(memory_format=torch.channels_last)
    reference = torch.nn.Conv2d(*channels, kernel, **settings).double()
    reference.load_state_dict(conv.state_dict())
    x64 = x.double().requires_grad_()
    expected = reference(x64)
    grad = torch.randn(expected.shape)
    wanted = torch.autograd.grad(expected, (x64, *reference.parameters()), grad.double())
    conv = conv.to(memory_format=torch.channels_last)
    assert repair_dilated(conv) == 1 and type(conv) is DilatedConv2d
    with torch.autocast('cpu', kind, enabled=kind != torch.float32):
        out = conv(x.requires_grad_())
    got = torch.autograd.grad(out, (x, *conv.parameters()), grad.to(out.dtype))
    for a, b in zip((out, *got), (expected, *wanted)):
        assert a.shape == b.shape
        assert ((a.double() - b).norm() / b.norm()).item() < limit


@pytest.mark.parametrize('conv, count', [
    (torch.nn.Conv2d(17, 4, 3, padding=2, dilation=2), 1),
    (torch.nn.Conv2d(24, 4, 3, padding=(1, 2), dilation=(1, 2)), 1),
    (torch.nn.Conv2d(24, 4, 3, padding=2, dilation=2, groups=2), 1),
    (torch.nn.Conv2d(32, 4, 3, padding=2, dilation=2, groups=2), 0),
    (torch.nn.Conv2d(16, 4, 3, padding=2, dilation=2), 0),
    (torch.nn.Conv2d(12, 4, 3, padding=2, dilation=2), 0),
    (torch.nn.Conv2d(24, 4, 3, padding=1), 0),
    (torch.nn.Conv2d(24, 4, 3, 2, padding=2, dilation=2), 0),
    (torch.nn.Conv2d(24, 24, 3, padding=2, dilation=2, groups=24), 0),
    (torch.nn.Conv2d(24, 4, 3, padding=2, dilation=2, padding_mode='reflect'), 0),
])
def test_which_are_changed(conv, count):
    assert repair_dilated(conv) == count


def test_espnet_keeps_its_values_and_names():
    network = zoo.create('espnet', 11).eval()
    names, x = list(network.state_dict()), torch.rand(1, 3, 128, 128)
    with torch.no_grad():
        before = network(x)
        # Dilations 2 to 16 of the eight residual ESP blocks at 1/8 and of the one before.
        assert repair_dilated(network) == 36
        after = network(x)
    assert list(network.state_dict()) == names
    assert torch.equal(before, after)
