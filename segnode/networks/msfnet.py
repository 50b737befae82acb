# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""MSFNet as we propose to fill in what its paper leaves unreadable: not the authors' network."""

from __future__ import annotations

import torch
from torch import nn, Tensor

from segnode.networks.backbones import resnet
from segnode.networks.blocks import conv_norm, init_kaiming, resize

TAP_STRIDES = (4, 8, 16, 32)
LEVEL_STRIDES = (8, 16, 32, 64)


class SpatialAwarePooling(nn.Module):
    """SAP: brings the maps of several stages to one level by overlapping averages.

    A map at 1/s is brought to 1/t by windows of r + 1 pixels every r = t / s pixels; zeros
    beyond the border count.

    Args:
        strides: of the maps.
        level: stride to bring them to, at least each of theirs.

    Shape:
        maps (N, C, H / s, W / s) -> (N, C * len(strides), H / level, W / level).
    """

    def __init__(self, strides: tuple[int, ...], level: int) -> None:
        super().__init__()
        ratios = [level // stride for stride in strides]
        self.pools = nn.ModuleList(
            nn.AvgPool2d(r + 1, r, r // 2) if r > 1 else nn.Identity() for r in ratios
        )

    def forward(self, maps: list[Tensor]) -> Tensor:
        return torch.cat([pool(x) for pool, x in zip(self.pools, maps)], 1)


class MultiFeatureFusion(nn.Module):
    """MFM: at every level, what all stages of at least its resolution have to say.

    Args:
        channels: of every input and output map.

    Shape:
        maps (N, channels, ...) at 1/4, 1/8, 1/16, 1/32 -> maps at 1/8, 1/16, 1/32, 1/64.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.poolings = nn.ModuleList()
        self.fusions = nn.ModuleList()
        for level in LEVEL_STRIDES:
            strides = tuple(s for s in TAP_STRIDES if s <= level)
            wide = channels * len(strides)
            self.poolings.append(SpatialAwarePooling(strides, level))
            self.fusions.append(nn.Sequential(
                conv_norm(wide, wide, 3, groups=wide, activation=None),
                conv_norm(wide, channels),
            ))

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        # Every level takes the finest maps: zip ends where its poolings end.
        return [fusion(pool(maps)) for pool, fusion in zip(self.poolings, self.fusions)]


class UpsamplingStream(nn.Module):
    """From the coarsest level to the finest, one 3x3 convolution each, then the logits.

    Shape:
        maps (N, channels, ...) at 1/8, 1/16, 1/32, 1/64 -> (N, outputs, H / 8, W / 8).
    """

    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(conv_norm(channels, channels, 3) for _ in LEVEL_STRIDES)
        self.classifier = nn.Conv2d(channels, outputs, 1)

    def forward(self, levels: list[Tensor]) -> Tensor:
        out = self.convs[3](levels[3])
        for index in (2, 1, 0):
            out = self.convs[index](levels[index] + resize(out, 2))
        return self.classifier(out)


class MSFNet(nn.Module):
    """MSFNet - OUR PROPOSAL of it: no code was published and its details could not be read.

    Si, Zhang, Lv, Yu, Lu: "Real-Time Semantic Segmentation via Multiply Spatial Fusion
    Network" (2019, arXiv 1911.07217). Poolings after each stage of a ResNet-18 bring features
    of many stages to every level, where they are fused; from there two equal, independent
    streams lead up to 1/8, one for the segmentation and one that learns the classes' boundaries.

    Args:
        num_classes: channels of the logits.
        channels: of every map behind the backbone.
        auxiliary: have the boundary stream, which only training runs (590,977 parameters).
        resnet_variant: form of the ResNet-18, see ``backbones.VARIANTS``.

    Shape:
        float (N, 3, H, W), H and W multiples of 64 -> logits (N, num_classes, H/8, W/8); in
        training mode the tuple (logits, boundary logit (N, 1, H/8, W/8)). The caller enlarges
        bilinearly (align_corners=False).

    Parameters:
        12,126,035 with 19 classes in inference form, 12,717,012 with the boundary stream: counts
        of this proposal, the paper's abstract gives none.

    Published (the authors' network, neither ours nor this proposal): Cityscapes test 77.1 mIoU at
    1024x2048 and 41 FPS; CamVid 75.4 at 91 FPS (the abstract).

    Reference:
        settled by what could be read: that there is a pooling after each stage, that maps of
        equal resolution are fused, that upsampling ends at 1/8, and the two streams. Everything
        else is our choice: backbone and taps, window r + 1 every r pixels, 128 channels, which
        stages reach which level, depthwise then 1x1 fusion, one boundary channel (one per class
        is as compatible). Loss meant for it: cross entropy on hard pixels (probability under
        0.7, 100,000 at least), and 1.0 x class-balanced binary cross entropy of the boundary,
        1 where a 4-neighbour has another label, 3 pixels wide, brought to 1/8 by maximum.
    """

    output_stride = 8
    size_multiple = 64
    upsampling = 'bilinear'

    def __init__(
        self,
        num_classes: int,
        *,
        channels: int = 128,
        auxiliary: bool = True,
        resnet_variant: str = 'b',
    ) -> None:
        super().__init__()
        self.backbone = resnet(18, resnet_variant)
        self.reduce = nn.ModuleList(conv_norm(c, channels) for c in self.backbone.channels)
        self.fusion = MultiFeatureFusion(channels)
        self.segmentation = UpsamplingStream(channels, num_classes)
        self.auxiliary = UpsamplingStream(channels, 1) if auxiliary else None
        self.auxiliary_kinds = ('boundary',) if auxiliary else ()
        for part in (self.reduce, self.fusion, self.segmentation, self.auxiliary):
            if part is not None:
                init_kaiming(part)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        taps = self.backbone(x)
        levels = self.fusion([reduce(tap) for reduce, tap in zip(self.reduce, taps)])
        logits = self.segmentation(levels)
        if self.training and self.auxiliary is not None:
            return logits, self.auxiliary(levels)
        return logits
