# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""ICNet, half and full width, against its specification."""

import pytest

torch = pytest.importorskip('torch')

from networks.network_cases import NetworkCase  # noqa: E402

from segnode.networks.icnet import ICNet, ICNetFull  # noqa: E402


class TestICNet(NetworkCase):
    factory = ICNet
    parameters = 6_704_889
    inference_parameters = 6_699_987
    training_only = ('auxiliary',)
    auxiliary = 2
    export_size = (160, 224)  # 5x7 at 1/32, which no number of bins divides


@pytest.mark.slow
class TestICNetFull(NetworkCase):
    factory = ICNetFull
    parameters = 47_489_241
    inference_parameters = 47_489_241 - 2 * (128 * 19 + 19)
    training_only = ('auxiliary',)
    auxiliary = 2
    export_size = (160, 224)  # 5x7 at 1/32, which no number of bins divides


@pytest.mark.slow
class TestICNetFullAsFastSeg(NetworkCase):
    factory = ICNetFull
    args = {'classifier_bias': False, 'ceil_mode': True, 'auxiliary': False}
    parameters = 47_489_184 - 2 * 128 * 19
    export_size = (160, 224)  # 5x7 at 1/32, which no number of bins divides
    # Its weights were trained with it; through ONNX it converts.
    not_converted = ('F.max_pool2d: ceil_mode, whose last window differs',)


def test_full_width_is_fast_segs_but_for_the_biases():
    with torch.device('meta'):
        ours, theirs = ICNetFull(19), ICNetFull(19, classifier_bias=False)
    assert sum(p.numel() for p in ours.parameters()) == 47_489_241
    assert sum(p.numel() for p in theirs.parameters()) == 47_489_184


def test_sizes_inside():
    """The tap at 1/16 and the deepest map at 1/32 of the image; the detail branch at 1/8."""
    network = ICNet(5).eval()
    sizes = {}
    for name in ('tap', 'pyramid', 'detail'):
        getattr(network, name).register_forward_hook(
            lambda module, args, out, name=name: sizes.update({name: tuple(out.shape[1:])})
        )
    with torch.no_grad():
        network(torch.rand(1, 3, 96, 160))
    assert sizes == {'tap': (256, 6, 10), 'pyramid': (256, 3, 5), 'detail': (64, 12, 20)}


def test_rounding_up_makes_the_maps_behind_the_pooling_larger_but_not_the_logits():
    network = ICNet(5, ceil_mode=True).eval()
    sizes = []
    network.tap.register_forward_hook(lambda module, args, out: sizes.append(out.shape[2:]))
    with torch.no_grad():
        logits = network(torch.rand(1, 3, 96, 160))
    assert logits.shape == (1, 5, 24, 40) and sizes == [(7, 11)]
