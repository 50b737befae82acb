# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""SCMNet: a deep and a shallow branch that share what they learn of the context."""

from __future__ import annotations

import torch
from torch import nn, Tensor
import torch.nn.functional as F

from segnode.networks.blocks import (
    conv_bn,
    FusionNode,
    global_average,
    init_keras,
    inverted_residuals,
    max_pool2,
    resize,
    separable_conv_bn,
    upsample2,
)


class ContextMining(nn.Module):
    """CMM: four views of the map, of a quarter of the channels each, side by side.

    They are a 1x1 convolution, a separable one of dilation 6, the mean over the map, and 2x2
    means enlarged bilinearly.

    Shape:
        (N, channels, H, W), H and W even -> (N, channels, H, W).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()

        def project() -> nn.Sequential:
            return conv_bn(channels, channels // 4, bias=False, activation=nn.ReLU)

        self.point = project()
        self.dilated = separable_conv_bn(
            channels, channels // 4, 3, dilation=6, activation=nn.ReLU
        )
        self.image = project()
        self.coarse = project()

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2], x.shape[3]
        image = self.image(global_average(x)).expand(-1, -1, height, width)
        coarse = resize(self.coarse(F.avg_pool2d(x, kernel_size=2, stride=2)), 2.0)
        return torch.cat([self.point(x), self.dilated(x), image, coarse], 1)


class DeepShallowFusion(nn.Module):
    """DS-FFM: the deep levels from the top and the shallow ones from below meet at 1/8.

    From there the sums go up to 1/64 and all the way down to 1/2.

    Shape:
        f6 at 1/64, f5 at 1/32, f4 at 1/16, f2 at 1/8, f1 at 1/4, f0 at 1/2 -> map at 1/2; all
        with ``channels``.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        names = (
            'a5', 'a4', 'b1', 'b2', 'm2', 'c4', 'c5', 'c6', 'e5', 'e4', 'e2', 'e1', 'e0'
        )
        self.nodes = nn.ModuleDict({name: FusionNode(channels) for name in names})

    def forward(
        self, f6: Tensor, f5: Tensor, f4: Tensor, f2: Tensor, f1: Tensor, f0: Tensor
    ) -> Tensor:
        node = self.nodes
        a5 = node['a5'](upsample2(f6), f5)
        a4 = node['a4'](upsample2(a5), f4)
        b1 = node['b1'](max_pool2(f0), f1)
        b2 = node['b2'](max_pool2(b1), f2)
        m2 = node['m2'](upsample2(a4), b2)
        c4 = node['c4'](max_pool2(m2), a4, f4)
        c5 = node['c5'](max_pool2(c4), a5, f5)
        c6 = node['c6'](max_pool2(c5), f6)
        e5 = node['e5'](upsample2(c6), c5, f5)
        e4 = node['e4'](upsample2(e5), c4, f4)
        e2 = node['e2'](upsample2(e4), m2, f2)
        e1 = node['e1'](upsample2(e2), b1, f1)
        return node['e0'](upsample2(e1), f0)


class SCMNet(nn.Module):
    """Shared Context Mining Network.

    Singha, Bergemann, Pham, Krishna: "SCMNet: Shared Context Mining Network for Real-time
    Semantic Segmentation" (DICTA 2021, doi 10.1109/DICTA52665.2021.9647401). A deep branch on
    the half-size image and a shallow one on the whole image are summed at three levels, where a
    context mining module serves both; six levels are then fused upwards and downwards to 1/2.

    Args:
        num_classes: channels of the logits.
        skips: identity skips in repeated inverted residuals. In the authors' file an argument in
            the wrong place leaves them out, and so does this network by default.
        dropout: probability of the dropout before the classifier (0.45 in the authors' file).

    Shape:
        float (N, 3, H, W), H and W multiples of 64 -> logits (N, num_classes, H/2, W/2). The
        caller enlarges by nearest neighbour, as published. The half-size image is made inside.
        No auxiliary head.

    Parameters at 19 classes, with skips or without: 1,230,391 (1,255,687 with the batch-norm
    statistics).

    Published (theirs, not ours): Cityscapes val 66.5 mIoU at 1024x2048, BDD100K val 51.2 at
    768x1280, CamVid (11 classes) val 78.6 / test 71.3 at 640x896; 1.2 M parameters (the README
    of github tanmaysingha/SCMNet); 27 images/s at 1024x2048, TensorRT FP16, TITAN RTX, batch 4
    (of a later variant, github tanmaysingha/SFRSeg).

    Reference:
        architecture: the authors' models/SCMNet.py (github tanmaysingha/SCMNet, d0403e0).
        Unsettled: whether the published figures are with ``skips``; how the half-size image is
        made (here bilinearly); test mIoU on Cityscapes.
    """

    output_stride = 2
    size_multiple = 64
    upsampling = 'nearest'

    def __init__(
        self, num_classes: int, *, skips: bool = False, dropout: float = 0.45
    ) -> None:
        super().__init__()
        act = nn.ReLU
        width = 64

        def units(
            in_channels: int, out_channels: int, repeats: int, stride: int, expansion: int = 6
        ) -> nn.Sequential:
            return inverted_residuals(
                in_channels, out_channels, repeats,
                stride=stride, expansion=expansion, skips=skips, activation=act,
            )

        def shallow(in_channels: int, out_channels: int) -> nn.Sequential:
            return separable_conv_bn(in_channels, out_channels, 3, 2, activation=act)

        self.d1 = conv_bn(3, 32, 3, 2, activation=act)
        self.d2 = nn.Sequential(units(32, 32, 1, 2, expansion=1), units(32, 48, 2, 1))
        self.s0 = conv_bn(3, 24, 3, 2, activation=act)
        self.s1 = shallow(24, 32)
        self.s2 = shallow(32, 48)
        self.context2 = ContextMining(48)
        self.d3 = nn.Sequential(units(48, 64, 3, 2), units(64, 96, 1, 1))
        self.s3 = shallow(48, 96)
        self.context4 = ContextMining(96)
        self.d4 = nn.Sequential(units(96, 128, 3, 2), units(128, 160, 1, 1))
        self.s4 = shallow(96, 160)
        self.context5 = ContextMining(160)
        self.laterals = nn.ModuleList(
            conv_bn(channels, width) for channels in (160, 160, 96, 48, 32, 24)
        )
        self.fusion = DeepShallowFusion(width)
        # Published: enlarge, then classify at full size. The classifier is 1x1, so this order
        # gives the same values with a quarter of the work.
        self.classifier = nn.Sequential(
            separable_conv_bn(width, width, activation=act),
            separable_conv_bn(width, 48, 3, dilation=2, activation=act),
            nn.Dropout(dropout),
            nn.Conv2d(48, num_classes, 1),
        )
        init_keras(self)

    def forward(self, x: Tensor) -> Tensor:
        d2 = self.d2(self.d1(resize(x, 0.5)))
        s0 = self.s0(x)
        s1 = self.s1(s0)
        f2 = self.context2(F.relu(self.s2(s1) + d2))
        f4 = self.context4(F.relu(self.s3(f2) + self.d3(f2)))
        f5 = self.context5(F.relu(self.s4(f4) + self.d4(f4)))
        levels = (max_pool2(f5), f5, f4, f2, s1, s0)
        lateral = [project(level) for project, level in zip(self.laterals, levels)]
        return self.classifier(self.fusion(*lateral))
