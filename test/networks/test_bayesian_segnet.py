# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Bayesian SegNet against its specification, and its unpooling against PyTorch's."""

from networks.network_cases import NetworkCase
import numpy as np
import pytest

torch = pytest.importorskip('torch')

import torch.nn.functional as F  # noqa: E402

from segnode.networks.bayesian_segnet import (  # noqa: E402
    BayesianSegNet,
    pool_with_places,
    unpool,
)


@pytest.mark.slow
class TestBayesianSegNet(NetworkCase):
    factory = BayesianSegNet
    parameters = 29_453_971


@pytest.mark.slow
class TestSinghaForm(NetworkCase):
    factory = BayesianSegNet
    args = {'singha_form': True}
    parameters = 29_481_299


def test_count():
    with torch.device('meta'):
        assert sum(p.numel() for p in BayesianSegNet(19).parameters()) == 29_453_971


@pytest.mark.parametrize('args', [{}, {'singha_form': True}])
def test_width_scales_every_unit(args):
    with torch.device('meta'):
        whole, half = BayesianSegNet(5, **args), BayesianSegNet(5, width=0.5, **args)
    convolutions = [[layer for layer in network.modules() if isinstance(layer, torch.nn.Conv2d)]
                    for network in (whole, half)]
    widths = [[layer.out_channels for layer in layers] for layers in convolutions]
    assert widths[1] == [width // 2 for width in widths[0][:-1]] + [5]
    with pytest.raises(ValueError, match='width must be above 0'):
        BayesianSegNet(5, width=0)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float16, torch.float64])
def test_unpooling_is_pytorchs_with_indices(dtype):
    """Ties, which a ReLU makes in plenty, go to the first pixel; the smallest step counts."""
    generator = torch.Generator().manual_seed(0)
    x = F.relu(torch.randn(2, 3, 8, 12, generator=generator, dtype=torch.float64)).to(dtype)
    step = torch.finfo(dtype).eps
    x[0, 0, :2, :2] = torch.tensor([[1.0, 1.0], [1.0 + step, 0.0]], dtype=dtype)
    x[0, 1, :2, :2] = torch.tensor([[0.0, 3.0], [6e4, 3.0]], dtype=dtype)
    value = torch.randn(2, 3, 4, 6, generator=generator, dtype=torch.float64).to(dtype)
    pooled, places = pool_with_places(x)
    expected, indices = F.max_pool2d(x, 2, 2, return_indices=True)
    assert torch.equal(pooled, expected)
    assert torch.equal(sum(places), torch.ones_like(pooled))
    found = unpool(value, places)
    assert torch.equal(found.double(), F.max_unpool2d(value.double(), indices, 2, 2))
    assert found[0, 0, 1, 0] == value[0, 0, 0, 0] == found[0, 0, :2, :2].sum()


def test_float16_keeps_the_places():
    """In ONNX Runtime, whose CPU rounds some of the values that meet and others not."""
    pytest.importorskip('onnx')
    pytest.importorskip('onnxruntime')
    from networks.network_cases import onnx_content

    from segnode.onnx_half import in_half_precision
    from segnode.runtimes.graph import deploy_graph
    from segnode.runtimes.session import open_session
    from small_bayesian import frames, network, record, SIZE

    images = frames(4)
    content = onnx_content(deploy_graph(network(), record(), SIZE), torch.from_numpy(images))
    labels, halved = (
        open_session(graph, threads=1).run(None, {'image': images})[0]
        for graph in (content, in_half_precision(content)))
    shares = np.bincount(labels.ravel()) / labels.size
    assert (shares > 0.01).sum() > 5
    assert (labels == halved).mean() > 0.95


def test_gradients_are_pytorchs():
    torch.manual_seed(0)
    x = F.relu(torch.randn(1, 2, 6, 8)).requires_grad_()
    value = torch.randn(1, 2, 3, 4, requires_grad=True)
    weight = torch.randn(1, 2, 6, 8)
    pooled, places = pool_with_places(x)
    found = torch.autograd.grad((unpool(value * pooled, places) * weight).sum(), (x, value))
    pooled, indices = F.max_pool2d(x, 2, 2, return_indices=True)
    expected = torch.autograd.grad(
        (F.max_unpool2d(value * pooled, indices, 2, 2) * weight).sum(), (x, value))
    for ours, theirs in zip(found, expected):
        assert torch.allclose(ours, theirs)


def test_dropout_is_at_the_six_central_places():
    """Behind the poolings of units 3 to 5 and behind the first three units of the decoder."""
    network = BayesianSegNet(2, width=0.25).train()
    shapes = []
    for layer in network.dropouts:
        layer.register_forward_hook(lambda _, inputs, out: shapes.append(tuple(out.shape[1:])))
    with torch.no_grad():
        network(torch.rand(2, 3, 64, 32))
    assert [layer.p for layer in network.dropouts] == [0.5] * 6
    assert shapes == [(64, 8, 4), (128, 4, 2), (128, 2, 1),
                      (128, 4, 2), (64, 8, 4), (32, 16, 8)]


def test_local_response_by_hand():
    from segnode.networks.bayesian_segnet import _local_response
    pixel = torch.tensor([100.0, -50.0, 20.0]).view(1, 3, 1, 1)
    expected = torch.nn.functional.local_response_norm(pixel, 11, alpha=11e-4, beta=0.75, k=1.0)
    assert torch.allclose(_local_response(pixel), expected)
