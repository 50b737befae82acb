# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The rewrites: the same numbers, in fewer operations."""

from __future__ import annotations

from typing import Any

import pytest

import small_model

torch = pytest.importorskip('torch')

from torch import fx, nn  # noqa: E402
import torch.nn.functional as F  # noqa: E402

from segnode.runtimes.rewrite import simplify  # noqa: E402

SIZE = (32, 48)


def _settled(module: nn.Module) -> nn.Module:
    """Give batch normalisation statistics that are not 0 and 1."""
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.running_mean, -1, 1)
            nn.init.uniform_(layer.running_var, 0.5, 2)
            nn.init.uniform_(layer.weight, 0.5, 2)
            nn.init.uniform_(layer.bias, -1, 1)
    return module.eval()


def _check(module: nn.Module, size: tuple[int, int] = SIZE) -> fx.GraphModule:
    """Compare on two images and return what became of the module."""
    module = _settled(module)
    before = {k: v.clone() for k, v in module.state_dict().items()}
    made = simplify(module, size)
    assert isinstance(made, fx.GraphModule)
    x = torch.randn(2, 3, *size)
    with torch.no_grad():
        expected, found = module(x), made(x)
    assert found.shape == expected.shape
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))
    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())
    return made


def _count(module: nn.Module, *kinds: type[nn.Module]) -> int:
    return sum(isinstance(m, kinds) for m in module.modules())


def test_fsffnet() -> None:
    network = small_model.network()
    made = simplify(network, (256, 384))
    assert _count(made, nn.BatchNorm2d, nn.Dropout) == 0
    x = torch.randn(2, 3, 256, 384)
    with torch.no_grad():
        expected, found = network(x), made(x)
    assert torch.allclose(found, expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))
    # up1 and up2 begin with a convolution of dilation 2 on an enlarged map.
    small = [
        m for m in made.modules()
        if isinstance(m, nn.Conv2d) and m.groups == 64 and m.dilation == m.stride == (1, 1)
    ]
    assert len(small) == 2
    assert not [n for n in made.graph.nodes if n.target is getattr and n.args[1] == 'shape']


class _Net(nn.Module):
    """Enlarges by ``factor`` and runs ``after``."""

    def __init__(self, factor: float, after: nn.Module, mode: str = 'nearest') -> None:
        super().__init__()
        self.before = nn.Conv2d(3, 4, 3, padding=1)
        self.factor, self.mode, self.after = factor, mode, after

    def forward(self, x: Any) -> Any:
        return self.after(F.interpolate(self.before(x), scale_factor=self.factor, mode=self.mode))


def _size_behind(made: fx.GraphModule) -> bool:
    """Tell whether the enlargement is the last operation before the output."""
    (output,) = [n for n in made.graph.nodes if n.op == 'output']
    return bool(output.args[0].target is F.interpolate)


@pytest.mark.parametrize('after, moves', [
    (nn.Conv2d(4, 4, 3, padding=2, dilation=2, groups=4), True),
    (nn.Conv2d(4, 6, 3, padding=4, dilation=4), True),
    (nn.Conv2d(4, 6, 5, padding=8, dilation=4), True),
    (nn.Conv2d(4, 6, (1, 3), padding=(0, 2), dilation=(1, 2)), True),
    (nn.Conv2d(4, 6, 1), True),
    (nn.SiLU(), True),
    (nn.Sequential(nn.Conv2d(4, 4, 3, padding=2, dilation=2), nn.BatchNorm2d(4), nn.SiLU(),
                   nn.Conv2d(4, 8, 1)), True),
    (nn.Conv2d(4, 6, 3, padding=1), False),
    (nn.Conv2d(4, 6, 3, padding=2), False),
    (nn.Conv2d(4, 6, 3, padding=0, dilation=2), False),
    (nn.Conv2d(4, 6, 3, padding=2, dilation=2, stride=2), False),
    (nn.Conv2d(4, 6, 3, padding=2, dilation=2, padding_mode='reflect'), False),
    (nn.Conv2d(4, 6, 3, padding=3, dilation=3), False),
    (nn.MaxPool2d(2), False),
])
def test_enlargement_moves_where_it_commutes(after: nn.Module, moves: bool) -> None:
    assert _size_behind(_check(_Net(2.0, after))) == moves


def test_other_enlargements_stay() -> None:
    conv = nn.Conv2d(4, 4, 3, padding=2, dilation=2)
    assert not _size_behind(_check(_Net(1.5, conv)))
    assert not _size_behind(_check(_Net(4.0, conv)))
    assert not _size_behind(_check(_Net(2.0, conv, 'bilinear')))
    assert _size_behind(_check(_Net(3.0, nn.Conv2d(4, 4, 3, padding=3, dilation=3))))


class _Twice(nn.Module):
    """Uses one convolution behind an enlargement and before it, one batch norm twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 3, 3, padding=2, dilation=2)
        self.norm = nn.BatchNorm2d(3)

    def forward(self, x: Any) -> Any:
        y = self.norm(self.first(x))
        z = F.interpolate(y, scale_factor=2.0, mode='nearest')
        return self.norm(self.first(z)) + F.interpolate(y, scale_factor=2.0, mode='nearest')


def test_shared_layers_are_left_alone() -> None:
    made = _check(_Twice())
    assert _count(made, nn.BatchNorm2d) == 1


class _Branching(nn.Module):
    """Has control flow that depends on values."""

    def forward(self, x: Any) -> Any:
        return x + 1 if x.mean() > 0 else x - 1


def test_what_cannot_be_traced_is_returned_as_it_is() -> None:
    network = _Branching()
    assert simplify(network, SIZE) is network


class _Sizes(nn.Module):
    """Reads sizes, the batch's among them."""

    def forward(self, x: Any) -> Any:
        n, _, h, w = x.shape
        mean = torch.mean(x, dim=(2, 3), keepdim=True)
        return x.reshape(n, 3, h * w).reshape(n, 3, h, w) + mean.expand(-1, -1, h, w)


def test_sizes_become_constants_but_not_the_batch() -> None:
    made = _check(_Sizes())
    assert f'{SIZE[0]}, {SIZE[1]}' in made.code
    with torch.no_grad():
        assert made(torch.zeros(5, 3, *SIZE)).shape == (5, 3, *SIZE)
