# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""What torch2trt converts is let through; what it drops, mistakes or refuses is named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip('torch')

from torch import nn, Tensor  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from torch.nn.functional import relu  # noqa: E402

from segnode.runtimes.torch2trt_functions import CONVERTED, unconverted_calls  # noqa: E402

IMAGE = torch.randn(2, 4, 10, 14, generator=torch.Generator().manual_seed(0))


class Does(nn.Module):
    """A network that is one function of its input."""

    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(x)


ones = torch.ones(3, 10)
kernel = torch.ones(1, 4, 3, 3)
parameter = nn.Parameter(torch.ones(1, 1, 3, 10))

CAUGHT = {
    # Left out of the engine without an error: its input and its output are one tensor.
    'ReLU6 in place': (nn.ReLU6(inplace=True), 'F.hardtanh'),
    'Hardswish in place': (nn.Hardswish(inplace=True), 'F.hardswish'),
    'add_': (Does(lambda x: (x * 1.0).add_(x)), 'Tensor.add_'),
    '+=': (Does(lambda x: (x * 1.0).__iadd__(x)), 'Tensor.add_'),
    'relu in place': (Does(lambda x: F.relu(x * 1.0, inplace=True)), 'F.relu: in place'),
    # Converted to something else.
    'adaptive to 3': (nn.AdaptiveAvgPool2d(3), 'F.adaptive_avg_pool2d: to another size than 1x1'),
    'output_padding': (
        nn.ConvTranspose2d(4, 4, 3, 2, 1, output_padding=1),
        'F.conv_transpose2d: output_padding, which is ignored',
    ),
    'transposed, channels': (
        nn.ConvTranspose2d(4, 6, 2, 2),
        'F.conv_transpose2d: to another number of channels, which is mistaken',
    ),
    'dilated pooling': (
        nn.MaxPool2d(3, 1, dilation=2), 'F.max_pool2d: dilation, which is ignored'),
    'ceil_mode': (
        nn.MaxPool2d(3, 2, 1, ceil_mode=True),
        'F.max_pool2d: ceil_mode, whose last window differs',
    ),
    'divisor': (
        nn.AvgPool2d(2, divisor_override=3), 'F.avg_pool2d: divisor_override, which is ignored'),
    'alpha': (Does(lambda x: torch.add(x, x, alpha=2)), 'torch.add: alpha, which is ignored'),
    'nearest by half': (
        Does(lambda x: F.interpolate(x, scale_factor=0.5)),
        'F.interpolate: nearest by no whole factor, which is rounded otherwise',
    ),
    'unsqueeze at the end': (
        Does(lambda x: x.unsqueeze(-1)),
        'Tensor.unsqueeze: a negative dim, which is misplaced',
    ),
    'squeeze': (Does(lambda x: torch.mean(x, 1, True).squeeze(1)), 'Tensor.squeeze'),
    'last rows': (
        Does(lambda x: x[:, :, -3:]),
        'Tensor.__getitem__: a slice that counts from the end or beyond it',
    ),
    'a number of its own': (Does(lambda x: x * torch.sum(x, (0, 1, 2, 3)).item()), 'Tensor.item'),
    # Refused.
    'argmax': (Does(lambda x: torch.argmax(x, 1)), 'torch.argmax'),
    'argmax of a tensor': (Does(lambda x: x.argmax(1)), 'Tensor.argmax'),
    'pad': (Does(lambda x: F.pad(x, (1, 1, 1, 1))), 'F.pad'),
    'padding mode': (nn.Conv2d(4, 4, 3, padding=1, padding_mode='reflect'), 'F.pad'),
    'same': (nn.Conv2d(4, 4, 3, padding='same'), 'F.conv2d: padding by name'),
    'largest of all': (Does(lambda x: torch.max(x)), 'torch.max: of other than two tensors'),
    'largest of a dim': (
        Does(lambda x: torch.max(x, 1)[0]), 'torch.max: of other than two tensors'),
    'no stride': (Does(lambda x: F.max_pool2d(x, 2)), 'F.max_pool2d: no stride'),
    'indices': (nn.MaxPool2d(2, return_indices=True), 'F.max_pool2d: return_indices'),
    'area': (
        Does(lambda x: F.interpolate(x, size=(5, 7), mode='area')), 'F.interpolate: mode area'),
    'matmul of ranks': (
        Does(lambda x: torch.matmul(ones, x)), 'torch.matmul: of 2 and 4 dimensions'),
    'add as a method': (Does(lambda x: x.add(x)), 'Tensor.add'),
    'reshape as a function': (Does(lambda x: torch.reshape(x, (2, -1))), 'torch.reshape'),
    'softmax of torch': (Does(lambda x: torch.softmax(x, 1)), 'torch.softmax'),
    'cat by name': (
        Does(lambda x: torch.cat(tensors=[x, x], dim=1)), 'torch.cat: nothing by position'),
    'negative dim': (
        Does(lambda x: x.mean(-1)),
        'Tensor.mean: dim must be a number or a tuple, not negative',
    ),
    'bare norm': (
        nn.BatchNorm2d(4, affine=False).eval(),
        'F.batch_norm: without weight and bias, or without running statistics',
    ),
    'imported by name': (
        Does(lambda x: relu(x)),
        'F.relu: by a reference of its own, which torch2trt does not replace',
    ),
    'under another name': (
        Does(lambda x: torch.conv2d(x, kernel)),
        'F.conv2d: by a reference of its own, which torch2trt does not replace',
    ),
    'made in the network': (Does(lambda x: x + torch.ones(4, 1, 1)), 'torch.ones'),
    'property': (Does(lambda x: x.mT), 'Tensor.mT.__get__'),
}


@pytest.mark.parametrize('name', CAUGHT)
def test_caught(name: str) -> None:
    network, *problems = CAUGHT[name]
    assert unconverted_calls(network, IMAGE) == problems


def test_a_constant_loses_its_leading_ones() -> None:
    network = Does(lambda x: torch.matmul(parameter, x))
    assert unconverted_calls(network, IMAGE) == []  # it cannot know that this is a constant
    network.matrix = parameter
    assert unconverted_calls(network, IMAGE) == [
        'torch.matmul: with a parameter or buffer whose first dimension is 1, which is dropped']


LET_THROUGH = {
    'convolutions': nn.Sequential(
        nn.Conv2d(4, 8, 3, 2, 1, groups=2), nn.BatchNorm2d(8), nn.ReLU(),
        nn.ConvTranspose2d(8, 8, 2, 2, bias=False), nn.PReLU(8), nn.SiLU(), nn.Dropout(0.5),
    ).eval(),
    'poolings': nn.Sequential(nn.MaxPool2d(3, 2, 1), nn.AvgPool2d(2), nn.AdaptiveAvgPool2d(1)),
    'activations': Does(lambda x: F.softmax(F.relu6(x) * torch.sigmoid(x) + x.relu(), dim=1)),
    'enlargements': Does(lambda x: torch.cat([
        F.interpolate(x, scale_factor=2.0),
        F.interpolate(x, size=(20, 28), mode='bilinear', align_corners=True),
    ], 1)),
    'matrices': Does(
        lambda x: torch.matmul(torch.tensor([[[[0.1] * 10] * 3]]), torch.transpose(x, 2, 3)
                               .permute(0, 1, 3, 2))),
    'arithmetic': Does(lambda x: 1.0 - 2 * (x + 1) / 3 - torch.pow(x * x + 1.0, 0.75)),
    'reductions': Does(lambda x: torch.mean(x, dim=(2, 3), keepdim=True) + torch.sum(x, 1, True)),
    'largest of two': Does(lambda x: torch.max(x, 1.0 - x)),
    'shapes': Does(
        lambda x: torch.stack([x, x], 4).reshape(-1, x.shape[1], x.size(2), 2 * x.shape[3])
        [:, 1:3, ::2].unsqueeze(1).expand(-1, 2, -1, -1, -1)),
}


@pytest.mark.parametrize('name', LET_THROUGH)
def test_let_through(name: str) -> None:
    assert unconverted_calls(LET_THROUGH[name], IMAGE) == []


def test_every_call_counts_once_and_in_order() -> None:
    network = Does(lambda x: torch.argmax(F.gelu(F.gelu(x)).mul(x), 1))
    assert unconverted_calls(network, IMAGE) == ['F.gelu', 'Tensor.mul', 'torch.argmax']


def test_torch_is_as_before_even_after_an_error() -> None:
    before = dict(vars(torch)), dict(vars(Tensor)), dict(vars(F))

    def fails(x: Tensor) -> Tensor:
        raise RuntimeError('no')

    with pytest.raises(RuntimeError, match='no'):
        unconverted_calls(Does(fails), IMAGE)
    assert unconverted_calls(nn.ReLU(), IMAGE) == []
    assert (dict(vars(torch)), dict(vars(Tensor)), dict(vars(F))) == before


def test_the_results_are_the_networks() -> None:
    seen = []

    def watching(x: Tensor) -> Tensor:
        seen.append(F.max_pool2d(2.0 - x[:, 1:], kernel_size=2, stride=2))
        return seen[0]

    assert unconverted_calls(Does(watching), IMAGE) == []
    assert torch.equal(seen[0], F.max_pool2d(2.0 - IMAGE[:, 1:], 2))


def test_every_name_is_a_function() -> None:
    for name in CONVERTED:
        space, attribute = name.split('.')
        assert callable(getattr({'torch': torch, 'Tensor': Tensor, 'F': F}[space], attribute))
