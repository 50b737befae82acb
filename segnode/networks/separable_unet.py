# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Separable UNet: the baseline of the FANet paper."""

from __future__ import annotations

import torch
from torch import nn, Tensor
import torch.nn.functional as F

from segnode.networks.blocks import conv_bn, keras_batch_norm, separable_conv_bn, upsample2


class EvenSeparableConv(nn.Module):
    """Separable 2x2 convolution, batch normalisation, ReLU, at the size of the input.

    An even kernel has no centre: as in Keras, one row and one column of zeros are added behind
    the map and none before it.

    Shape:
        (N, in_channels, H, W) -> (N, out_channels, H, W).
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(
            in_channels, in_channels, 2, padding=1, groups=in_channels, bias=False
        )
        self.pointwise = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 1), keras_batch_norm(out_channels), nn.ReLU()
        )

    def forward(self, x: Tensor) -> Tensor:
        # Padding at one side only is an operation of its own, which not every converter has.
        return self.pointwise(self.depthwise(x)[:, :, 1:, 1:])


class _UpStep(nn.Module):
    """Enlarge, halve the channels, concatenate the encoder's map, convolve twice."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.up = EvenSeparableConv(in_channels, out_channels)
        self.convs = nn.Sequential(
            separable_conv_bn(2 * out_channels, out_channels, activation=nn.ReLU),
            separable_conv_bn(out_channels, out_channels, activation=nn.ReLU),
        )

    def forward(self, skip: Tensor, x: Tensor) -> Tensor:
        return self.convs(torch.cat([skip, self.up(upsample2(x))], 1))


class SeparableUNet(nn.Module):
    """UNet (Ronneberger et al., MICCAI 2015) with depthwise-separable convolutions.

    The baseline of the FANet and ESPNet papers of the FSFFNet authors, from J. Dunstan's
    ImageSegmentation project. Encoder and decoder mirror each other over five levels and
    share each level's map; separable convolutions make that affordable.

    Args:
        num_classes: channels of the logits.
        width: channels of the first level, doubled at each of the next four. 16 is the authors',
            32 (1.0 M parameters) is comparable with the other networks of this collection, 64 is
            the UNet paper's.
        authors: the form of the authors' file, in which the first convolution of levels 1 to 4 is
            not separable and two channels stand before the classifier (a relic of a binary UNet
            that cripples it).
        dropout: probability of the dropout after levels 4 and 5.

    Shape:
        float (N, 3, H, W), H and W multiples of 16 -> logits (N, num_classes, H, W).
        No auxiliary head.

    Parameters at 19 classes: 260,174 (width 16), 999,534 (32), 3,915,950 (64); ``authors`` at 20
    classes and width 16: 345,570.

    Published (theirs, not ours): Cityscapes val 23.3 mIoU at 512x1024 in the authors' form ("just
    over 300,000" parameters; J. Dunstan's README).

    Reference:
        architecture: models/separable_unet.py (github SkyWa7ch3r/ImageSegmentation, 3f31e7e).
        Unsettled: FANet's README says that every convolution is separable, the code differs; which
        one the papers' tables used, and their figures.
    """

    output_stride = 1
    size_multiple = 16
    upsampling = 'nearest'

    def __init__(
        self,
        num_classes: int,
        *,
        width: int = 16,
        authors: bool = False,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        if width < 1:
            raise ValueError('width is at least 1')

        def first(in_channels: int, out_channels: int) -> nn.Sequential:
            if authors:
                return conv_bn(in_channels, out_channels, 3, activation=nn.ReLU)
            return separable_conv_bn(in_channels, out_channels, activation=nn.ReLU)

        def second(in_channels: int, out_channels: int) -> nn.Sequential:
            return separable_conv_bn(in_channels, out_channels, activation=nn.ReLU)

        c1, c2, c3, c4, c5 = (width * 2**level for level in range(5))
        self.level1 = nn.Sequential(first(3, c1), second(c1, c1))
        self.level2 = nn.Sequential(first(c1, c2), second(c2, c2))
        self.level3 = nn.Sequential(first(c2, c3), second(c3, c3))
        self.level4 = nn.Sequential(first(c3, c4), second(c4, c4), nn.Dropout(dropout))
        self.level5 = nn.Sequential(second(c4, c5), second(c5, c5), nn.Dropout(dropout))
        self.up4 = _UpStep(c5, c4)
        self.up3 = _UpStep(c4, c3)
        self.up2 = _UpStep(c3, c2)
        self.up1 = _UpStep(c2, c1)
        self.classifier = nn.Sequential(
            conv_bn(c1, 2, 3, activation=nn.ReLU) if authors else nn.Identity(),
            nn.Conv2d(2 if authors else c1, num_classes, 1),
        )
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d) and layer.groups == 1:
                nn.init.kaiming_normal_(layer.weight, nonlinearity='relu')
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        k1 = self.level1(x)
        k2 = self.level2(F.max_pool2d(k1, kernel_size=2, stride=2))
        k3 = self.level3(F.max_pool2d(k2, kernel_size=2, stride=2))
        k4 = self.level4(F.max_pool2d(k3, kernel_size=2, stride=2))
        out = self.level5(F.max_pool2d(k4, kernel_size=2, stride=2))
        out = self.up2(k2, self.up3(k3, self.up4(k4, out)))
        return self.classifier(self.up1(k1, out))
