# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""FANet of the FSFFNet authors (not the network of the same name by Hu et al.)."""

from __future__ import annotations

from torch import nn, Tensor

from segnode.networks.blocks import (
    conv_bn,
    FusionNode,
    init_keras,
    inverted_residuals,
    max_pool2,
    separable_conv_bn,
    upsample2,
)


class FeatureAggregation(nn.Module):
    """Bidirectional feature pyramid with plain sums, and a second pass from the top.

    Shape:
        c3 at 1/8, c4 at 1/16, p5a and p5b at 1/32, p6 at 1/64, p7 at 1/128 -> map at 1/8; all
        with ``channels``.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        names = ('t6', 't5', 't4', 'o3', 'o4', 'o5', 'o6', 'o7', 'u6', 'u5', 'u4', 'u3')
        self.nodes = nn.ModuleDict({name: FusionNode(channels) for name in names})

    def forward(
        self, c3: Tensor, c4: Tensor, p5a: Tensor, p5b: Tensor, p6: Tensor, p7: Tensor
    ) -> Tensor:
        node = self.nodes
        t6 = node['t6'](p6, upsample2(p7))
        t5 = node['t5'](p5a, upsample2(t6))
        t4 = node['t4'](c4, upsample2(t5))
        o3 = node['o3'](c3, upsample2(t4))
        o4 = node['o4'](c4, t4, max_pool2(o3))
        o5 = node['o5'](p5b, t5, max_pool2(o4))
        o6 = node['o6'](p6, t6, max_pool2(o5))
        o7 = node['o7'](p7, max_pool2(o6))
        u6 = node['u6'](upsample2(o7), o6, p6)
        u5 = node['u5'](o5, upsample2(u6))
        u4 = node['u4'](o4, upsample2(u5))
        return node['u3'](c3, o3, upsample2(u4))


class FANet(nn.Module):
    """Feature Aggregation Network.

    Singha, Pham, Krishna: "FANet: Feature Aggregation Network for Semantic Segmentation"
    (DICTA 2020, doi 10.1109/DICTA51227.2020.9363370). Fast-SCNN's encoder without its pyramid
    pooling gives levels down to 1/128, which a bidirectional feature pyramid with a second
    top-down pass fuses into one map at 1/8.

    Args:
        num_classes: channels of the logits. The authors' file has one more, for the void class.
        dropout: probability of the dropout on the logits (0.35 in the authors' file).

    Shape:
        float (N, 3, H, W), H and W multiples of 128 -> logits (N, num_classes, H/8, W/8). The
        caller enlarges by nearest neighbour, as published. No auxiliary head.

    Parameters at 19 classes: 1,128,019 (1,151,411 with the batch-norm statistics).

    Published (theirs, not ours): Cityscapes val 65.9 / test 64.08 mIoU at 1024x2048, 1.1 M
    parameters, 5.8 G operations (README and test server file of github tanmaysingha/FANet); 74
    images/s at 1024x2048, TensorRT FP16, TITAN RTX, batch 4 (github tanmaysingha/SFRSeg).

    Reference:
        architecture: the authors' models/FANet.py (github tanmaysingha/FANet, 80cdddc). A picture
        beside it shows a pyramid of dilations that belongs to the later M2FANet. Unsettled: the
        published CamVid score.
    """

    output_stride = 8
    size_multiple = 128
    upsampling = 'nearest'

    def __init__(self, num_classes: int, *, dropout: float = 0.35) -> None:
        super().__init__()
        width = 64
        self.stem = nn.Sequential(
            conv_bn(3, 32, 3, 2, activation=nn.SiLU),
            separable_conv_bn(32, 48, 3, 2),
            separable_conv_bn(48, width, 3, 2),
        )
        self.c4 = inverted_residuals(width, width, 3, stride=2)
        self.c5 = nn.Sequential(
            inverted_residuals(width, 96, 3, stride=2), inverted_residuals(96, 128, 3)
        )
        self.p5a = conv_bn(128, width)
        self.p5b = conv_bn(128, width)
        self.p6 = conv_bn(128, width)
        self.aggregation = FeatureAggregation(width)
        self.classifier = nn.Sequential(
            separable_conv_bn(width, width),
            separable_conv_bn(width, width),
            nn.Conv2d(width, num_classes, 1),
            nn.Dropout(dropout),
        )
        init_keras(self)

    def forward(self, x: Tensor) -> Tensor:
        c3 = self.stem(x)
        c4 = self.c4(c3)
        c5 = self.c5(c4)
        p6 = max_pool2(self.p6(c5))
        fused = self.aggregation(c3, c4, self.p5a(c5), self.p5b(c5), p6, max_pool2(p6))
        return self.classifier(fused)
