# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""BiSeNet against its specification."""

import pytest

torch = pytest.importorskip('torch')

from networks.network_cases import NetworkCase  # noqa: E402

from segnode.networks.bisenet import BiSeNet  # noqa: E402


class TestBiSeNet(NetworkCase):
    factory = BiSeNet
    parameters = 13_490_745
    inference_parameters = 13_340_563
    training_only = ('auxiliary',)
    auxiliary = 2


@pytest.mark.parametrize(
    'arguments, parameters',
    # The second is the fusion gate of a quarter of the width: two layers of 256 x 64.
    [
        ({'head_width': 64}, 12_894_163),
        ({'reduction': 4}, 13_340_563 - 2 * 256 * (256 - 64)),
        ({'reduction': None}, 13_275_539),
    ],
)
def test_other_readings(arguments, parameters):
    with torch.device('meta'):
        network = BiSeNet(19, auxiliary=False, **arguments)
    assert sum(p.numel() for p in network.parameters()) == parameters


def test_enlargement_inside_is_an_option_without_parameters():
    torch.manual_seed(0)
    bilinear, nearest = BiSeNet(3).eval(), BiSeNet(3, nearest=True).eval()
    nearest.load_state_dict(bilinear.state_dict())
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert not torch.equal(bilinear(image), nearest(image))
