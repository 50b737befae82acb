# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""ContextNet against its specification."""

from networks.network_cases import NetworkCase
import pytest

torch = pytest.importorskip('torch')

from segnode.errors import SegnodeError  # noqa: E402
from segnode.networks.contextnet import ContextNet  # noqa: E402
from segnode.networks.zoo import network_info  # noqa: E402


class TestContextNet(NetworkCase):
    factory = ContextNet
    parameters = 858_259


@pytest.mark.parametrize('last, parameters', [('pointwise', 856_851), ('dense', 987_923)])
def test_parameters_of_the_other_readings(last: str, parameters: int) -> None:
    with torch.device('meta'):
        made = ContextNet(19, last=last, relu6=False)
    assert sum(p.numel() for p in made.parameters()) == parameters


@pytest.mark.parametrize('shrink, size', [(2, (16, 48)), (8, (64, 192))])
def test_other_sizes_of_the_deep_branch(shrink: int, size: tuple[int, int]) -> None:
    network = ContextNet(3, shrink=shrink).eval()
    multiple = size[0]
    assert network.size_multiple == multiple
    with torch.no_grad():
        assert network(torch.rand(1, 3, *size)).shape == (1, 3, size[0] // 8, size[1] // 8)
    info = network_info('contextnet')
    info.check_input_size(size, {'shrink': shrink})
    wrong = multiple // 2, multiple
    with pytest.raises(SegnodeError, match=f'multiples of {multiple}, not {wrong[0]}x{multiple}'):
        info.check_input_size(wrong, {'shrink': shrink})
    for args in (None, {}, {'shrink': 4}, {'relu6': False}):
        with pytest.raises(SegnodeError, match='multiples of 32'):
            info.check_input_size((16, 32), args)


def test_the_deep_branch_sees_a_quarter() -> None:
    network = ContextNet(3).eval()
    seen = []
    network.deep.register_forward_hook(lambda _, images, out: seen.extend([images[0], out]))
    image = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        network(image)
    # A quarter by bilinear interpolation is the mean of the middle four of sixteen pixels.
    middle = torch.nn.functional.avg_pool2d(image[:, :, 1:-1, 1:-1], 2, stride=4)
    assert torch.allclose(seen[0], middle, atol=1e-6)
    assert seen[1].shape == (1, 128, 2, 3)


def test_wrong_options() -> None:
    for options in ({'shrink': 3}, {'last': 'none'}):
        with pytest.raises(ValueError):
            ContextNet(3, **options)


def test_relu6() -> None:
    x = torch.tensor([-1.0, 3.0, 7.0])
    assert ContextNet(2).classifier[0](x).tolist() == [0.0, 3.0, 6.0]
    assert ContextNet(2, relu6=False).classifier[0](x).tolist() == [0.0, 3.0, 7.0]
