# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""FSFFNet, the network that segnode is built around."""

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
    keras_batch_norm,
    max_pool2,
    separable_conv,
    separable_conv_bn,
    upsample2,
)


class FeatureScaling(nn.Module):
    """FSM: three dilated separable convolutions and a pooled branch, side by side.

    There is no 1x1 branch and no projection after the concatenation, unlike in ASPP.

    Shape:
        (N, channels, H, W) -> (N, channels, H, W); each branch has ``channels / 4``.
    """

    def __init__(self, channels: int, dilations: tuple[int, ...] = (6, 12, 18)) -> None:
        super().__init__()
        branch = channels // (len(dilations) + 1)
        self.scales = nn.ModuleList(
            separable_conv_bn(channels, branch, 3, dilation=d, activation=nn.ReLU)
            for d in dilations
        )
        self.pooled = conv_bn(channels, branch, bias=False, activation=nn.ReLU)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2], x.shape[3]
        branches = [scale(x) for scale in self.scales]
        branches.append(self.pooled(global_average(x)).expand(-1, -1, height, width))
        return torch.cat(branches, 1)


class FeatureFusion(nn.Module):
    """FFM: top-down, bottom-up and top-down again over five levels (strides 8 to 128).

    Args:
        channels: channels of every level.
        u4_activation: apply the SiLU in the last pass's stride-16 node. The authors' file
            leaves it out (probably an oversight); as published is the default.

    Shape:
        c3, p3 at 1/8, p4 at 1/16, p5 at 1/32, p6 at 1/64, p7 at 1/128 -> map at 1/8.
    """

    def __init__(self, channels: int, *, u4_activation: bool = False) -> None:
        super().__init__()
        names = ('t6', 't5', 't4', 'o3', 'o4', 'o5', 'o6', 'o7', 'u6', 'u5', 'u4', 'u3')
        self.nodes = nn.ModuleDict(
            {n: FusionNode(channels, activate=n != 'u4' or u4_activation) for n in names}
        )

    def forward(
        self, c3: Tensor, p3: Tensor, p4: Tensor, p5: Tensor, p6: Tensor, p7: Tensor
    ) -> Tensor:
        node = self.nodes
        t6 = node['t6'](p6, upsample2(p7))
        t5 = node['t5'](p5, upsample2(t6))
        t4 = node['t4'](p4, upsample2(t5))
        o3 = node['o3'](p3, upsample2(t4))
        o4 = node['o4'](t4, max_pool2(o3))
        o5 = node['o5'](t5, max_pool2(o4))
        o6 = node['o6'](t6, max_pool2(o5))
        o7 = node['o7'](p7, max_pool2(o6))
        u6 = node['u6'](p6, upsample2(o7), o6)
        u5 = node['u5'](p5, o5, upsample2(u6))
        u4 = node['u4'](p4, o4, upsample2(u5))
        return node['u3'](c3, o3, upsample2(u4))


class FSFFNet(nn.Module):
    """Feature Scaling Feature Fusion Network.

    Singha, Pham, Krishna, Gedeon: "A Lightweight Multi-scale Feature Fusion Network for
    Real-Time Semantic Segmentation" (ICONIP 2021, LNCS 13109, 193-205). An encoder of
    inverted residuals ends in a feature scaling module; its five levels are then fused in
    three passes before two light upsampling steps bring the detail of the first stages back.

    Args:
        num_classes: channels of the logits.
        dropout: probability of the dropout on the logits (0.35 in the authors' file).
        u4_activation: see :class:`FeatureFusion`.

    Shape:
        float (N, 3, H, W), H and W multiples of 128 -> logits (N, num_classes, H/2, W/2).
        The caller enlarges by nearest neighbour, as published. No auxiliary head.

    Parameters at 19 classes: 1,226,051 (1,253,075 with the batch-norm statistics).

    Published (theirs, not ours): Cityscapes val 71.8 / test 69.4 mIoU at 1024x2048, the latter
    with the coarse annotations too; BDD100K val 55.2 at 768x1280; 1.3 M parameters (the README
    of github tanmaysingha/FSFFNet).

    Reference:
        architecture: the authors' models/FSFFNet.py (github tanmaysingha/FSFFNet, 4778b40).
        Unsettled: that file pools the 160-channel FSM map into 64-channel sums and does not
        run; here stride 64 has its own 1x1 projection as in the authors' FANet, the only
        reading whose count with the statistics rounds to the published 1.3 M. Unsettled too:
        ``u4_activation``, and whether the val figure is with other data than Cityscapes' fine
        annotations.
    """

    output_stride = 2
    size_multiple = 128
    upsampling = 'nearest'

    def __init__(
        self, num_classes: int, *, dropout: float = 0.35, u4_activation: bool = False
    ) -> None:
        super().__init__()
        act = nn.SiLU
        width = 64
        self.c1 = conv_bn(3, 32, 3, 2, activation=act)
        self.c2 = nn.Sequential(
            inverted_residuals(32, 24, 1, stride=2, expansion=1),
            inverted_residuals(24, 32, 2),
        )
        self.c3 = nn.Sequential(
            inverted_residuals(32, 48, 3, stride=2), inverted_residuals(48, 64, 2)
        )
        self.c4 = nn.Sequential(
            inverted_residuals(64, 96, 3, stride=2), inverted_residuals(96, 128, 2)
        )
        self.c5 = inverted_residuals(128, 160, 1, stride=2)
        self.fsm = FeatureScaling(160)
        self.p3 = conv_bn(64, width)
        self.p4 = conv_bn(128, width)
        self.p5 = conv_bn(160, width)
        self.p6 = conv_bn(160, width)
        self.ffm = FeatureFusion(width, u4_activation=u4_activation)

        # Published: enlarge by 2, then a depthwise 3x3 of dilation 2. Over repeated pixels that
        # is the undilated convolution of the small map, then enlarged: the same values, a
        # quarter of the work. So every smoothing (and 1x1) comes before its enlargement here.
        def smooth() -> nn.Sequential:
            return conv_bn(width, width, 3, groups=width, activation=act)

        self.up1 = smooth()
        self.lateral2 = conv_bn(32, width)
        self.up2 = nn.Sequential(smooth(), nn.Conv2d(width, 48, 1))
        self.lateral1 = conv_bn(32, 48)
        self.classifier = nn.Sequential(
            separable_conv(48, 48, 3, dilation=2), keras_batch_norm(48), act(),
            separable_conv(48, 32, 3, dilation=2), keras_batch_norm(32), act(),
            nn.Conv2d(32, num_classes, 1),
            nn.Dropout(dropout),
        )
        init_keras(self)

    def forward(self, x: Tensor) -> Tensor:
        c1 = self.c1(x)
        c2 = self.c2(c1)
        c3 = self.c3(c2)
        c4 = self.c4(c3)
        scaled = self.fsm(self.c5(c4))
        p6 = max_pool2(self.p6(scaled))
        fused = self.ffm(c3, self.p3(c3), self.p4(c4), self.p5(scaled), p6, max_pool2(p6))
        out = F.silu(upsample2(self.up1(fused)) + self.lateral2(c2))
        out = F.silu(upsample2(self.up2(out)) + self.lateral1(c1))
        return self.classifier(out)
