# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Separable UNet against its specification."""

from networks.network_cases import NetworkCase
import pytest

torch = pytest.importorskip('torch')

from segnode.networks.separable_unet import EvenSeparableConv, SeparableUNet  # noqa: E402


class TestSeparableUNet(NetworkCase):
    factory = SeparableUNet
    parameters = 260_174


class TestAuthorsForm(NetworkCase):
    factory = SeparableUNet
    args = {'authors': True}
    parameters = 345_567  # at 20 classes 345,570, as the specification states


@pytest.mark.parametrize(
    'classes, options, parameters',
    [
        (19, {'width': 32}, 999_534),
        (19, {'width': 64}, 3_915_950),
        (20, {'authors': True}, 345_570),
    ],
)
def test_parameters_of_the_variants(classes, options, parameters) -> None:
    with torch.device('meta'):
        made = SeparableUNet(classes, **options)
    assert sum(p.numel() for p in made.parameters()) == parameters


def test_an_even_kernel_sees_itself_and_what_is_behind() -> None:
    layer = EvenSeparableConv(1, 1).eval()
    with torch.no_grad():
        layer.depthwise.weight.copy_(torch.tensor([[1.0, 10.0], [100.0, 1000.0]])[None, None])
        layer.pointwise[0].weight.fill_(1.0)
        layer.pointwise[0].bias.zero_()
        out = layer(torch.tensor([[1.0, 2.0], [3.0, 4.0]])[None, None])
    expected = torch.tensor([[4321.0, 402.0], [43.0, 4.0]]) / 1.001**0.5
    assert torch.allclose(out[0, 0], expected)
