# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""ResNet: torchvision's names and counts, and every variant's strides."""

import pytest

torch = pytest.importorskip('torch')

from segnode.networks.backbones import Bottleneck, ResNet, resnet  # noqa: E402


@pytest.mark.parametrize(
    'depth, parameters, channels',
    # torchvision's 11,689,512 and 25,557,032 less the classifier's.
    [
        (18, 11_689_512 - 513_000, (64, 128, 256, 512)),
        (50, 25_557_032 - 2_049_000, (256, 512, 1024, 2048)),
    ],
)
def test_counts_and_names_are_torchvisions(depth, parameters, channels):
    with torch.device('meta'):
        network = ResNet(depth)
    assert sum(p.numel() for p in network.parameters()) == parameters
    assert network.channels == channels
    names = set(network.state_dict())
    last = {18: 'layer4.1.bn2', 50: 'layer4.2.bn3'}[depth]
    assert {
        'conv1.weight', 'bn1.running_var', 'layer1.0.conv1.weight', 'layer2.0.downsample.0.weight',
        'layer2.0.downsample.1.running_mean', f'{last}.weight',
    } <= names
    assert ('layer1.0.downsample.0.weight' in names) == (depth == 50)


def test_strides_and_dilations():
    torch.manual_seed(0)
    image = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        usual = ResNet(18, width=8).eval()(image)
        dilated = ResNet(18, width=8, strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4)).eval()(image)
    assert [tuple(o.shape[1:]) for o in usual] == [
        (8, 16, 24), (16, 8, 12), (32, 4, 6), (64, 2, 3)
    ]
    assert [tuple(o.shape[1:]) for o in dilated] == [
        (8, 16, 24), (16, 8, 12), (32, 8, 12), (64, 8, 12)
    ]


def test_deep_stem():
    with torch.device('meta'):
        network = ResNet(18, stem=(64, 64, 128))
    assert [tuple(m.weight.shape[:2]) for m in network.conv1 if hasattr(m, 'kernel_size')] == [
        (64, 3), (64, 64), (128, 64)
    ]
    assert network.bn1.num_features == 128


def test_where_the_stride_of_a_bottleneck_is():
    with torch.device('meta'):
        caffe, usual = Bottleneck(64, 32, 2, stride_in_1x1=True), Bottleneck(64, 32, 2)
    assert (caffe.conv1.stride, caffe.conv2.stride) == ((2, 2), (1, 1))
    assert (usual.conv1.stride, usual.conv2.stride) == ((1, 1), (2, 2))


def test_refusals():
    with pytest.raises(ValueError, match='18 or 50'):
        ResNet(34)
    with pytest.raises(ValueError, match='basic blocks'):
        ResNet(18, stride_in_1x1=True)
    with pytest.raises(ValueError, match='three convolutions'):
        ResNet(18, stem=(64, 64))


@pytest.mark.parametrize(
    'depth, variant, millions',
    # Of timm's results/results-imagenet.csv, with the classifier.
    [(18, 'b', 11.69), (18, 'd', 11.71), (50, 'b', 25.56), (50, 'c', 25.58), (50, 'd', 25.58),
     (50, 's', 25.68)],
)
def test_variants_have_the_size_of_timms(depth, variant, millions):
    with torch.device('meta'):
        network = resnet(depth, variant)
    classifier = 1000 * (network.channels[-1] + 1)
    count = sum(p.numel() for p in network.parameters()) + classifier
    assert round(count / 1e6, 2) == millions
    averages = [name for name, m in network.named_modules() if isinstance(m, torch.nn.AvgPool2d)]
    halving = [f'layer{stage}.0.downsample.0' for stage in (2, 3, 4)]
    assert averages == (halving if variant == 'd' else [])


def test_no_such_variant():
    with pytest.raises(ValueError, match="variant b, c, d, s, not 'x'"):
        resnet(18, 'x')
