# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""SwiftNet against its specification."""

import pytest

torch = pytest.importorskip('torch')

from networks.network_cases import NetworkCase  # noqa: E402

from segnode.networks.swiftnet import SwiftNet  # noqa: E402


class TestSwiftNet(NetworkCase):
    factory = SwiftNet
    parameters = 11_797_071
    export_size = (160, 224)  # 5x7 at 1/32, which no number of bins divides


class TestSwiftNetOnResNet18D(NetworkCase):
    """With a deep stem, and shortcuts that average."""

    factory = SwiftNet
    args = {'resnet_variant': 'd'}
    # Three 3x3 convolutions and two normalisations instead of one 7x7 convolution.
    parameters = 11_797_071 - 9_408 + 864 + 9_216 + 18_432 + 2 * 64


def test_parameters_of_the_parts():
    with torch.device('meta'):
        network = SwiftNet(19)
    counts = {
        name: sum(p.numel() for p in part.parameters())
        for name, part in network.named_children()
    }
    assert (counts['backbone'], counts['pyramid']) == (11_176_512, 116_476)
