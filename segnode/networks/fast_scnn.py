# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Fast-SCNN: a full-resolution stem that both branches share."""

from __future__ import annotations

import functools

from torch import nn, Tensor
import torch.nn.functional as F

from segnode.networks.blocks import conv_norm, resize
from segnode.networks.pooling import PyramidPooling
from segnode.networks.separable_blocks import bottlenecks, ds_conv


class FastSCNN(nn.Module):
    """Fast Segmentation Convolutional Neural Network.

    Poudel, Liwicki, Cipolla: "Fast-SCNN: Fast Semantic Segmentation Network" (BMVC 2019,
    arXiv 1902.04502). The first layers of a two-branch network are computed once ("learning to
    downsample", 1/8): their output goes straight to the fusion as detail, and through
    inverted residuals and pyramid pooling at 1/32 as context.

    Args:
        num_classes: channels of the logits.
        projection: the pyramid's four pooled maps are concatenated with its input and projected
            to 128 channels, as in MMSegmentation's and Tramac's implementations. False: the
            output is the four 32-channel maps side by side and nothing else, which comes nearest
            to the published count. The paper does not say which.
        fusion_dilation: dilation of the depthwise convolution in the fusion (4 in the
            FSFFNet authors' code; 1 in most open implementations).
        dropout: probability of the dropout before the classifier (the paper gives no rate).
        projection_size: kernel size of the pyramid's projection (3 in MMSegmentation's).
        depthwise_activation: a ReLU between the two parts of the separable convolutions too
            (Tramac's; the paper says none).
        padded_stem: the first convolution pads (Tramac's does not).
        align_corners: of the enlargements inside (Tramac's has aligned corners).
        auxiliary: in training mode also give the logits of two auxiliary heads.

    Shape:
        float (N, 3, H, W), H and W multiples of 32 -> logits (N, num_classes, H/8, W/8), to be
        enlarged bilinearly. In training mode (logits, at 1/8 from the stem, at 1/32 from the
        context): the paper weights the last two by 0.4.

    Parameters at 19 classes without the auxiliary heads: 1,138,051; without projection
    1,105,027. The auxiliary heads add 56,678.

    Published (theirs, not ours): Cityscapes val 68.62 from scratch, test 68.0 mIoU at 1024x2048,
    123.5 fps on a Titan; 62.8 mIoU and 285.8 fps at 512x1024, 51.9 and 485.4 at 256x512;
    1.11 M parameters (the paper).

    Reference:
        architecture: the paper; MMSegmentation's and Tramac's implementations for the pyramid
        and the auxiliary heads, whose form the paper does not give. Unsettled: ``projection``,
        ``dropout``.
        With the arguments that ``import-weights`` sets, the logits equal those of either
        implementation for equal weights.
    """

    output_stride = 8
    size_multiple = 32
    upsampling = 'bilinear'
    training_only = ('auxiliary.',)

    def __init__(
        self,
        num_classes: int,
        *,
        projection: bool = True,
        fusion_dilation: int = 4,
        dropout: float = 0.1,
        projection_size: int = 1,
        depthwise_activation: bool = False,
        padded_stem: bool = True,
        align_corners: bool = False,
        auxiliary: bool = True,
    ) -> None:
        super().__init__()
        width = 128
        self.align_corners = align_corners
        separable = functools.partial(
            ds_conv, depthwise_activation=nn.ReLU if depthwise_activation else None
        )
        first = nn.Conv2d(3, 32, 3, 2, padding=int(padded_stem), bias=False)
        self.stem = nn.Sequential(
            nn.Sequential(first, nn.BatchNorm2d(32), nn.ReLU()),
            separable(32, 48, 2),
            separable(48, 64, 2),
        )
        self.bottlenecks = nn.Sequential(
            bottlenecks(64, 64, 3, 2), bottlenecks(64, 96, 3, 2), bottlenecks(96, width, 3)
        )
        pooled = [conv_norm(width, width // 4, activation=nn.ReLU) for _ in range(4)]
        self.pyramid = PyramidPooling(
            pooled, (1, 2, 3, 6), identity=projection, align_corners=align_corners
        )
        self.projection = (
            conv_norm(2 * width, width, projection_size) if projection else nn.Identity()
        )
        self.low = nn.Sequential(
            conv_norm(
                width, width, 3, groups=width, dilation=fusion_dilation, activation=nn.ReLU
            ),
            _biased(width, width),
        )
        self.high = _biased(64, width)
        self.classifier = nn.Sequential(
            separable(width, width), separable(width, width),
            nn.Dropout(dropout), nn.Conv2d(width, num_classes, 1),
        )
        self.auxiliary = nn.ModuleList(
            _auxiliary_head(channels, num_classes) for channels in (64, width)
        ) if auxiliary else None
        self.auxiliary_kinds = ('classes', 'classes') if auxiliary else ()

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        high = self.stem(x)
        low = self.projection(self.pyramid(self.bottlenecks(high)))
        low_enlarged = resize(low, 4, align_corners=self.align_corners)
        logits = self.classifier(F.relu(self.high(high) + self.low(low_enlarged)))
        if not self.training or self.auxiliary is None:
            return logits
        return logits, self.auxiliary[0](high), self.auxiliary[1](low)


def _biased(in_channels: int, out_channels: int) -> nn.Sequential:
    """1x1 convolution with a bias before its batch normalisation; the counts above include it."""
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 1), nn.BatchNorm2d(out_channels))


def _auxiliary_head(in_channels: int, num_classes: int) -> nn.Sequential:
    return nn.Sequential(
        conv_norm(in_channels, 32, 3, activation=nn.ReLU),
        nn.Dropout(0.1),
        nn.Conv2d(32, num_classes, 1),
    )
