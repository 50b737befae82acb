# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Classifiers written out as plain function calls on tensors by their origin's names.

Nothing here knows our networks. A ``Tensors`` makes every tensor when it is first asked for, so
that running a forward pass gives both the state dict and its features.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

STAGES = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}


class Tensors(dict):
    """A state dict that fills itself, seeded; ``given`` instead uses what there is."""

    def __init__(self, seed=0, given=None):
        super().__init__(given or {})
        self.random = None if given else torch.Generator().manual_seed(seed)

    def tensor(self, name, shape, low, high):
        if name not in self:
            assert self.random is not None, f'{name} is not in the file'
            self[name] = torch.rand(shape, generator=self.random) * (high - low) + low
        assert tuple(self[name].shape) == tuple(shape), name
        return self[name].double()

    def conv(self, name, x, out, kernel=1, stride=1, dilation=1, groups=1, bias=False):
        per = x.shape[1] // groups
        bound = (6 / (per * kernel**2)) ** 0.5
        weight = self.tensor(f'{name}.weight', (out, per, kernel, kernel), -bound, bound)
        offset = self.tensor(f'{name}.bias', (out,), -0.1, 0.1) if bias else None
        return F.conv2d(x, weight, offset, stride, dilation * (kernel // 2), dilation, groups)

    def norm(self, name, x, eps=1e-5):
        size = (x.shape[1],)
        return F.batch_norm(
            x,
            self.tensor(f'{name}.running_mean', size, -0.3, 0.3),
            self.tensor(f'{name}.running_var', size, 0.5, 1.5),
            self.tensor(f'{name}.weight', size, 0.5, 1.5),
            self.tensor(f'{name}.bias', size, -0.3, 0.3),
            eps=eps,
        )

    def linear(self, name, inputs, outputs=1000):
        return (
            self.tensor(f'{name}.weight', (outputs, inputs), -0.1, 0.1),
            self.tensor(f'{name}.bias', (outputs,), -0.1, 0.1),
        )


def resnet(t, x, depth, stem=(), average=False, csail=False, width=64,
           strides=(1, 2, 2, 2), dilations=(1, 1, 1, 1), caffe=False, classifier=True):
    """Maps of the four stages; ``stem`` and ``average`` as timm's deep stems and avg_down."""
    if not stem:
        x = F.relu(t.norm('bn1', t.conv('conv1', x, width, 7, 2)))
    elif csail:
        for number, channels in enumerate(stem, 1):
            x = F.relu(t.norm(f'bn{number}', t.conv(f'conv{number}', x, channels, 3,
                                                    2 if number == 1 else 1)))
    else:
        x = F.relu(t.norm('conv1.1', t.conv('conv1.0', x, stem[0], 3, 2)))
        x = F.relu(t.norm('conv1.4', t.conv('conv1.3', x, stem[1], 3)))
        x = F.relu(t.norm('bn1', t.conv('conv1.6', x, stem[2], 3)))
    x = F.max_pool2d(x, 3, 2, 1)
    maps = []
    for stage, repeats in enumerate(STAGES[depth]):
        planes, d = width * 2**stage, dilations[stage]
        out = planes * (4 if depth == 50 else 1)
        for block in range(repeats):
            name = f'layer{stage + 1}.{block}'
            stride = strides[stage] if block == 0 else 1
            if depth == 50:  # the stride is in the 3x3 convolution, in Caffe's in the 1x1 before
                first, second = (stride, 1) if caffe else (1, stride)
                y = F.relu(t.norm(f'{name}.bn1', t.conv(f'{name}.conv1', x, planes, 1, first)))
                y = F.relu(t.norm(f'{name}.bn2', t.conv(f'{name}.conv2', y, planes, 3, second, d)))
                y = t.norm(f'{name}.bn3', t.conv(f'{name}.conv3', y, out))
            else:
                y = F.relu(t.norm(f'{name}.bn1', t.conv(f'{name}.conv1', x, planes, 3, stride, d)))
                y = t.norm(f'{name}.bn2', t.conv(f'{name}.conv2', y, planes, 3, 1, d))
            if stride != 1 or x.shape[1] != out:
                if average:
                    x = F.avg_pool2d(x, 2) if stride == 2 else x
                    x = t.norm(f'{name}.downsample.2', t.conv(f'{name}.downsample.1', x, out))
                else:
                    x = t.conv(f'{name}.downsample.0', x, out, 1, stride)
                    x = t.norm(f'{name}.downsample.1', x)
            x = F.relu(x + y)
        maps.append(x)
    if classifier:
        t.linear('fc', x.shape[1])
    return maps


# Per stage: expansion, channels, repeats, stride.
MOBILENET = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1),
             (6, 160, 3, 2), (6, 320, 1, 1))


def mobilenetv2(t, x, names):
    """Depthwise map of the first unit at 1/8 and the last map; names: flat, nested or timm."""
    timm = names == 'timm'

    def unit(x, index, stage, block, expansion, out, stride):
        at = f'blocks.{stage}.{block}' if timm else f'features.{index}.conv'
        if expansion == 1:
            depth, project = {
                'flat': (('0', '1'), ('3', '4')), 'nested': (('0.0', '0.1'), ('1', '2')),
                'timm': (('conv_dw', 'bn1'), ('conv_pw', 'bn2')),
            }[names]
            y, hidden = x, x.shape[1]
        else:
            expand, depth, project = {
                'flat': (('0', '1'), ('3', '4'), ('6', '7')),
                'nested': (('0.0', '0.1'), ('1.0', '1.1'), ('2', '3')),
                'timm': (('conv_pw', 'bn1'), ('conv_dw', 'bn2'), ('conv_pwl', 'bn3')),
            }[names]
            hidden = expansion * x.shape[1]
            y = F.relu6(t.norm(f'{at}.{expand[1]}', t.conv(f'{at}.{expand[0]}', x, hidden)))
        raw = t.conv(f'{at}.{depth[0]}', y, hidden, 3, stride, groups=hidden)
        y = F.relu6(t.norm(f'{at}.{depth[1]}', raw))
        y = t.norm(f'{at}.{project[1]}', t.conv(f'{at}.{project[0]}', y, out))
        return (x + y if stride == 1 and x.shape[1] == out else y), raw

    first = ('conv_stem', 'bn1') if timm else ('features.0.0', 'features.0.1')
    last = ('conv_head', 'bn2') if timm else ('features.18.0', 'features.18.1')
    x = F.relu6(t.norm(first[1], t.conv(first[0], x, 32, 3, 2)))
    index, low = 1, None
    for stage, (expansion, out, repeats, stride) in enumerate(MOBILENET):
        for block in range(repeats):
            x, raw = unit(x, index, stage, block, expansion, out, stride if block == 0 else 1)
            if (stage, block) == (2, 0):
                low = raw
            index += 1
    x = F.relu6(t.norm(last[1], t.conv(last[0], x, 1280)))
    if t.random is not None:
        t.linear('classifier' if timm else 'classifier.1', 1280)
    return low, x


def xception65(t, x):
    """Second convolution of block 1 and the last map, kept at 1/16; names are timm's."""
    eps = 1e-3

    def separable(at, x, out, stride, dilation, activate):
        y = t.conv(f'{at}.conv_dw', x, x.shape[1], 3, stride, dilation, groups=x.shape[1])
        y = t.norm(f'{at}.bn_dw', y, eps)
        y = F.relu(y) if activate else y
        y = t.norm(f'{at}.bn_pw', t.conv(f'{at}.conv_pw', y, out), eps)
        return F.relu(y) if activate else y

    x = F.relu(t.norm('stem.0.bn', t.conv('stem.0.conv', x, 32, 3, 2), eps))
    x = F.relu(t.norm('stem.1.bn', t.conv('stem.1.conv', x, 64, 3), eps))
    blocks = [((128,) * 3, 2), ((256,) * 3, 2), ((728,) * 3, 2), *[((728,) * 3, 1)] * 16,
              ((728, 1024, 1024), 1)]
    low = None
    for index, (widths, stride) in enumerate(blocks):
        at, y = f'blocks.{index}', x
        for number, out in enumerate(widths, 1):
            y = separable(f'{at}.stack.conv{number}', F.relu(y), out,
                          stride if number == 3 else 1, 1, False)
            if (index, number) == (1, 2):
                low = y
        if stride != 1 or x.shape[1] != widths[2]:
            x = t.norm(f'{at}.shortcut.bn', t.conv(f'{at}.shortcut.conv', x, widths[2], 1, stride),
                       eps)
        x = x + y
    for number, out in enumerate((1536, 1536, 2048), 1):
        x = separable(f'blocks.20.stack.conv{number}', x, out, 1, 2, True)
    t.linear('head.fc', 2048)
    return low, x


def xception_a(t, x, widths=(48, 96, 192)):
    """Maps of the three groups and the attended last; names are Fast_Seg's."""
    def separable(at, x, out, stride):
        y = t.conv(f'{at}.conv1', x, x.shape[1], 3, stride, groups=x.shape[1])
        return t.conv(f'{at}.pointwise', t.norm(f'{at}.bn', y), out)

    x = F.relu(t.norm('conv1.1', t.conv('conv1.0', x, 8, 3, 2)))
    maps = []
    for group, out, repeats in zip(('enc2', 'enc3', 'enc4'), widths, (4, 6, 4)):
        for block in range(repeats):
            at, stride = f'{group}.block.{block}', 2 if block == 0 else 1
            y = t.norm(f'{at}.rep.2', separable(f'{at}.rep.1', F.relu(x), out // 4, 1))
            y = t.norm(f'{at}.rep.5', separable(f'{at}.rep.4', F.relu(y), out // 4, 1))
            y = t.norm(f'{at}.rep.8', separable(f'{at}.rep.7', F.relu(y), out, stride))
            if block == 0:
                x = t.norm(f'{at}.skipbn', t.conv(f'{at}.skip', x, out, 1, stride))
            x = x + y
        maps.append(x)
    weight, bias = t.linear('fca.fc', x.shape[1])
    gate = F.linear(x.mean((2, 3)), weight, bias)[:, :, None, None]
    gate = F.relu(t.norm('fca.conv.1', t.conv('fca.conv.0', gate, x.shape[1])))
    t.linear('fc', x.shape[1])
    return [*maps, x * gate]


# Per stage: its name in Fast_Seg, channels, blocks, stride; and the stages that are tapped.
DF1 = ((('stage2', 64, 3, 2), ('stage3', 128, 3, 2), ('stage4', 256, 3, 2), ('stage5', 512, 1, 1)),
       ('stage2', 'stage3', 'stage5'))
DF2 = ((('stage2_1', 64, 2, 2), ('stage2_2', 128, 1, 1), ('stage3_1', 128, 10, 2),
        ('stage3_2', 256, 1, 1), ('stage4_1', 256, 4, 2), ('stage4_2', 512, 2, 1)),
       ('stage2_2', 'stage3_2', 'stage4_2'))


def dfnet(t, x, stages):
    """Maps at 1/8, 1/16 and 1/32; names are Fast_Seg's."""
    x = F.relu(t.norm('stage1.1', t.conv('stage1.0', x, 32, 3, 2)))
    x = F.relu(t.norm('stage1.4', t.conv('stage1.3', x, 64, 3, 2)))
    maps = []
    for name, out, blocks, stride in stages[0]:
        for block in range(blocks):
            at, step = f'{name}.{block}', stride if block == 0 else 1
            y = F.relu(t.norm(f'{at}.bn1', t.conv(f'{at}.conv1', x, out, 3, step)))
            y = t.norm(f'{at}.bn2', t.conv(f'{at}.conv2', y, out, 3))
            if step != 1 or x.shape[1] != out:
                x = t.norm(f'{at}.downsample.1', t.conv(f'{at}.downsample.0', x, out, 1, step))
            x = F.relu(x + y)
        if name in stages[1]:
            maps.append(x)
    t.linear('fc', 512)
    return maps


def vgg16_bn(t, x):
    """Maps before the five poolings."""
    index, maps = 0, []
    for out, repeats in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(repeats):
            x = t.conv(f'features.{index}', x, out, 3, bias=True)
            x = F.relu(t.norm(f'features.{index + 1}', x))
            index += 3
        maps.append(x)
        x = F.max_pool2d(x, 2)
        index += 1
    t.linear('classifier.6', 64)  # of its three layers, which all stay behind, the last
    return maps
