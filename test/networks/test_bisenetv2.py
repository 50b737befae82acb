# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""BiSeNetV2 against its specification."""

import pytest

torch = pytest.importorskip('torch')

from networks.network_cases import NetworkCase  # noqa: E402

from segnode.networks.bisenetv2 import BiSeNetV2  # noqa: E402


class TestBiSeNetV2(NetworkCase):
    factory = BiSeNetV2
    parameters = 5_231_487
    inference_parameters = 3_358_627
    training_only = ('auxiliary',)
    auxiliary = 4


def test_auxiliary_logits_are_at_twice_their_taps_size():
    network = BiSeNetV2(5).train()
    with torch.no_grad():
        outputs = network(torch.rand(2, 3, 64, 32))
    assert [tuple(o.shape[1:]) for o in outputs] == [
        (5, 8, 4), (5, 32, 16), (5, 16, 8), (5, 8, 4), (5, 4, 2)
    ]
