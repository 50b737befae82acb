# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""SFRSeg: four sub-encoders, each starting finer than the one before it has ended."""

from __future__ import annotations

from torch import nn, Tensor
import torch.nn.functional as F

from segnode.networks.blocks import (
    conv_bn,
    DilatedCascade,
    FusionNode,
    init_keras,
    inverted_residuals,
    max_pool2,
    resize,
    separable_conv_bn,
    upsample2,
)

# Channels of the encoder's maps, by the logarithm of their stride: 3 is 1/8, 6 is 1/64.
CHANNELS = {1: 24, 2: 32, 3: 48, 4: 80, 5: 96, 6: 128}


class Reentry(nn.Module):
    """The end of one sub-encoder, enlarged to where the next one starts.

    Args:
        level: of the next one's start, see ``CHANNELS``.

    Shape:
        (N, 128, H/64, W/64) -> (N, CHANNELS[level], H / 2^level, W / 2^level).
    """

    def __init__(self, level: int) -> None:
        super().__init__()
        channels = CHANNELS[6]
        self.factor = 2 ** (6 - level)
        self.smooth = conv_bn(
            channels, channels, 3, groups=channels, dilation=self.factor, activation=nn.ReLU
        )
        self.project = nn.Conv2d(channels, CHANNELS[level], 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.project(self.smooth(resize(x, self.factor)))


class SubEncoders(nn.Module):
    """Four encoders a to d that start at 1/8, 1/8, 1/16 and 1/32, and all end at 1/64.

    A map is named by its encoder and level: b4 is the second encoder's at 1/16. Each takes the
    maps of the same level from the encoders before it as well. The first has a shallow branch
    beside the deep one.

    Args:
        skips, renew_c5: see :class:`SFRSeg`.

    Shape:
        x2 (N, 32, H/4, W/4) -> b3 (N, 48, H/8, W/8), c4 (N, 80, H/16, W/16),
        d5 (N, 96, H/32, W/32), d6 (N, 128, H/64, W/64).
    """

    def __init__(self, *, skips: bool = False, renew_c5: bool = False) -> None:
        super().__init__()

        def units(
            in_channels: int, out_channels: int, repeats: int = 1, *,
            stride: int = 2, expansion: int = 6, dilation: int = 1,
        ) -> nn.Sequential:
            return inverted_residuals(
                in_channels, out_channels, repeats, stride=stride, expansion=expansion,
                dilation=dilation, skips=skips, activation=nn.ReLU,
            )

        self.renew_c5 = renew_c5
        deep = {
            'a3': nn.Sequential(
                units(32, 32, expansion=1), units(32, 48, 2, stride=1, dilation=2)
            ),
            'a4': nn.Sequential(units(48, 64, 2), units(64, 80, stride=1, dilation=2)),
            'a5': units(80, 96),
            'a6': units(96, 128),
            'b4': nn.Sequential(units(48, 64, 3), units(64, 80, stride=1, dilation=2)),
            'b5': units(80, 96),
            'b6': units(96, 128),
            'c6': units(96, 128),
            'd6': units(96, 128, 2),
        }
        if renew_c5:
            deep['c5'] = units(80, 96, 2)
        self.deep = nn.ModuleDict(deep)
        self.shallow = nn.ModuleDict({
            f'a{level}': separable_conv_bn(
                CHANNELS[level - 1], CHANNELS[level], 3, 2, activation=nn.ReLU
            )
            for level in (3, 4, 5)
        })
        self.reentry = nn.ModuleDict({'b3': Reentry(3), 'c4': Reentry(4), 'd5': Reentry(5)})
        self.context = nn.ModuleDict({
            name: DilatedCascade(CHANNELS[int(name[1])], reuse=True)
            for name in ('a3', 'a4', 'a5', 'b3', 'b4', 'b5', 'c4', 'c5', 'd5')
        })

    def forward(self, x2: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        deep, shallow, reentry, context = self.deep, self.shallow, self.reentry, self.context
        a3 = context['a3'](F.relu(deep['a3'](x2) + shallow['a3'](x2)))
        a4 = context['a4'](F.relu(deep['a4'](a3) + shallow['a4'](a3)))
        a5 = context['a5'](F.relu(deep['a5'](a4) + shallow['a5'](a4)))
        a6 = deep['a6'](a5)
        b3 = context['b3'](F.relu(reentry['b3'](a6) + a3))
        b4 = context['b4'](F.relu(deep['b4'](b3) + a4))
        b5 = context['b5'](F.relu(deep['b5'](b4) + a5))
        b6 = F.relu(deep['b6'](b5) + a6)
        c4 = context['c4'](F.relu(reentry['c4'](b6) + b4 + a4))
        c5 = context['c5'](F.relu(deep['c5'](c4) + b5 + a5) if self.renew_c5 else a5)
        c6 = F.relu(deep['c6'](c5) + b6 + a6)
        d5 = context['d5'](F.relu(reentry['d5'](c6) + c5 + b5 + a5))
        d6 = F.relu(deep['d6'](d5) + c6 + b6 + a6)
        return b3, c4, d5, d6


class HybridPathAggregation(nn.Module):
    """HPA-SA: paths from the top and from below meet at 1/16, go up to 1/128 and down to 1/2.

    Shape:
        l6 at 1/64, l5 at 1/32, l4 at 1/16, l3 at 1/8, l2 at 1/4, l1 at 1/2 -> map at 1/2; all
        with ``channels``.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        names = (
            't6', 't5', 't4', 'm2', 'm3', 'm4', 'o5', 'o6', 'o7', 'u6', 'u5', 'u4', 'u3', 'u2',
            'u1',
        )
        self.nodes = nn.ModuleDict({name: FusionNode(channels) for name in names})
        self.context = DilatedCascade(channels, reuse=True)

    def forward(
        self, l6: Tensor, l5: Tensor, l4: Tensor, l3: Tensor, l2: Tensor, l1: Tensor
    ) -> Tensor:
        node = self.nodes
        l7 = max_pool2(l6)
        t6 = node['t6'](l6, upsample2(l7))
        t5 = node['t5'](l5, upsample2(t6))
        t4 = node['t4'](l4, upsample2(t5))
        m2 = node['m2'](l2, max_pool2(l1))
        m3 = node['m3'](l3, max_pool2(m2))
        m4 = self.context(node['m4'](t4, max_pool2(m3)))
        o5 = node['o5'](l5, t5, max_pool2(m4))
        o6 = node['o6'](l6, max_pool2(o5))
        o7 = node['o7'](l7, max_pool2(o6))
        u6 = node['u6'](l6, o6, upsample2(o7))
        u5 = node['u5'](l5, o5, upsample2(u6))
        u4 = node['u4'](l4, m4, upsample2(u5))
        u3 = node['u3'](l3, m3, upsample2(u4))
        u2 = node['u2'](l2, m2, upsample2(u3))
        return node['u1'](l1, upsample2(u2))


class SFRSeg(nn.Module):
    """Shared Feature Reuse Segmentation.

    Singha, Pham, Krishna: "A real-time semantic segmentation model using iteratively shared
    features in multiple sub-encoders" (Pattern Recognition 140, 2023, 109557, doi
    10.1016/j.patcog.2023.109557). A short encoder is followed by three more that process its
    end again from 1/8, 1/16 and 1/32, each with the maps of those before it and a cascade of
    dilations after every sum. Paths from the top and from below then aggregate six levels down
    to 1/2.

    Args:
        num_classes: channels of the logits.
        skips: identity skips in repeated inverted residuals. In the authors' file an argument in
            the wrong place leaves them out, and so does this network by default.
        renew_c5: give the third sub-encoder its own map at 1/32. The authors' file computes one,
            adds those of the first two, and then goes on with the first's alone (perhaps an
            oversight); with the block that drops out there it is 1,766,755 parameters.
        dropout: probability of the dropout before the classifier (0.35 in the authors' file).

    Shape:
        float (N, 3, H, W), H and W multiples of 128 -> logits (N, num_classes, H/2, W/2). The
        caller enlarges bilinearly (align_corners=False), as published. No auxiliary head.

    Parameters:
        1,555,267 with 19 classes (1,592,115 with batch-norm statistics), what the authors' file
        gives when it is run, and the published 1.6 M.

    Published (theirs, not ours): Cityscapes test 70.6 mIoU at 1024x2048 from the fine labels
    alone, KITTI test 49.3 at 384x1280, CamVid (11 classes, pretrained on the same classes of
    Cityscapes) test 74.7 at 640x896; 1.6 M parameters, 37.9 GFLOPs at 1024x2048 in TensorFlow's
    counting: two for a multiply-add, and the additions of poolings; 54 images/s at 1024x2048,
    TensorRT FP16, TITAN RTX, batch 4 (README, supplement and notebooks of github
    tanmaysingha/SFRSeg).

    Reference:
        architecture: the authors' models/SFRSeg.py (github tanmaysingha/SFRSeg, 432377d), run
        beside ours with equal weights and its padding: the same label at every pixel. Its
        strided convolutions and poolings pad below and right only, ours on both sides.
        Unsettled: whether the published figures are with ``skips``. That they are without
        ``renew_c5`` follows from the parameters.
    """

    output_stride = 2
    size_multiple = 128
    upsampling = 'bilinear'

    def __init__(
        self,
        num_classes: int,
        *,
        skips: bool = False,
        renew_c5: bool = False,
        dropout: float = 0.35,
    ) -> None:
        super().__init__()
        act = nn.ReLU
        width = 64
        self.x1 = conv_bn(3, CHANNELS[1], 3, 2, activation=act)
        self.x2 = separable_conv_bn(CHANNELS[1], CHANNELS[2], 3, 2, activation=act)
        self.encoders = SubEncoders(skips=skips, renew_c5=renew_c5)
        self.laterals = nn.ModuleList(
            conv_bn(CHANNELS[level], width) for level in (6, 5, 4, 3, 2, 1)
        )
        self.aggregation = HybridPathAggregation(width)
        # Published: enlarge, then classify at full size. The classifier is 1x1, so this order
        # gives the same values with a quarter of the work.
        self.classifier = nn.Sequential(
            separable_conv_bn(width, width, 3, dilation=4, activation=act),
            separable_conv_bn(width, 48, 3, dilation=4, activation=act),
            nn.Dropout(dropout),
            nn.Conv2d(48, num_classes, 1),
        )
        init_keras(self)

    def forward(self, x: Tensor) -> Tensor:
        x1 = self.x1(x)
        x2 = self.x2(x1)
        b3, c4, d5, d6 = self.encoders(x2)
        levels = (d6, d5, c4, b3, x2, x1)
        lateral = [project(level) for project, level in zip(self.laterals, levels)]
        return self.classifier(self.aggregation(*lateral))
