# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""DF-Seg against its specification."""

import pytest

torch = pytest.importorskip('torch')

from networks.network_cases import NetworkCase  # noqa: E402

from segnode.networks.dfnet import DF1, DF1Seg, DF2, DF2Seg1, DF2Seg2, DFNet  # noqa: E402


class TestDF1Seg(NetworkCase):
    factory = DF1Seg
    parameters = 13_107_243
    export_size = (160, 224)  # 5x7 at 1/32, which no number of bins divides


@pytest.mark.slow
class TestDF2Seg1(NetworkCase):
    factory = DF2Seg1
    parameters = 22_498_216
    export_size = (160, 224)  # 5x7 at 1/32, which no number of bins divides


@pytest.mark.slow
class TestDF2Seg2(NetworkCase):
    factory = DF2Seg2
    parameters = 24_115_147
    export_size = (160, 224)  # 5x7 at 1/32, which no number of bins divides


@pytest.mark.parametrize(
    'stages, parameters, channels',
    [(DF1, 8_020_128, (64, 128, 512)), (DF2, 17_474_208, (128, 256, 512))],
)
def test_backbone(stages, parameters, channels):
    with torch.device('meta'):
        backbone = DFNet(stages)
    assert sum(p.numel() for p in backbone.parameters()) == parameters
    assert backbone.channels == channels
