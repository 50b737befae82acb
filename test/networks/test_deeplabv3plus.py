# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""DeepLabV3+ on both backbones against its specification."""

from networks.network_cases import NetworkCase
import pytest

torch = pytest.importorskip('torch')

from segnode.networks.deeplabv3plus import (  # noqa: E402
    DeepLabV3PlusMobileNetV2,
    DeepLabV3PlusXception65,
)
from segnode.networks.mobilenetv2 import MobileNetV2  # noqa: E402
from segnode.networks.xception import Xception65  # noqa: E402


class TestMobileNetV2(NetworkCase):
    factory = DeepLabV3PlusMobileNetV2
    parameters = 4_390_179


@pytest.mark.slow
class TestXception65(NetworkCase):
    factory = DeepLabV3PlusXception65
    parameters = 41_054_899


def count(module):
    return sum(p.numel() for p in module.parameters())


def test_counts_of_the_parts():
    with torch.device('meta'):
        mobile = DeepLabV3PlusMobileNetV2(19)
        xception = DeepLabV3PlusXception65(19)
        bare = DeepLabV3PlusXception65(19, split_pyramid=False)
    statistics = sum(b.numel() for n, b in mobile.named_buffers() if 'running' in n)
    assert count(mobile.backbone) == 2_223_872
    assert round((count(mobile) + statistics) / 1e6, 3) == 4.428
    # Three depthwise normalisations of 2048 channels are the difference.
    assert count(bare) == 41_042_611 == count(xception) - 3 * 2 * 2048


def test_maps_of_the_backbones():
    with torch.device('meta'):
        x = torch.zeros(1, 3, 64, 96)
        low, deep = MobileNetV2().eval()(x)
        assert low.shape == (1, 144, 8, 12) and deep.shape == (1, 1280, 2, 3)
        low, deep = Xception65().eval()(x)
        assert low.shape == (1, 256, 16, 24) and deep.shape == (1, 2048, 4, 6)


def test_imagenet_weights_load_without_renaming(data_root):
    file = data_root / 'weights' / 'mobilenet_v2_imagenet_features.pt'
    if not file.exists():
        pytest.skip(f'{file.name} is not in the test data')
    MobileNetV2().load_state_dict(torch.load(file, map_location='cpu', weights_only=True))
