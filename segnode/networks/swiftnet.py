# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""SwiftNet: an ordinary classification backbone with a light ladder of skip connections."""

from __future__ import annotations

from torch import nn, Tensor
import torch.nn.functional as F

from segnode.networks.aspect_pooling import AspectPyramid
from segnode.networks.backbones import resnet
from segnode.networks.blocks import init_kaiming, norm_relu_conv, resize


class SpatialPyramid(nn.Sequential):
    """SPP: reduce, pool to grids of 8, 4 and 2 rows, project each, concatenate, project.

    Shape:
        (N, in_channels, H, W) -> (N, channels, H, W).
    """

    def __init__(self, in_channels: int, channels: int, bins: tuple[int, ...] = (8, 4, 2)) -> None:
        level = channels // len(bins)
        super().__init__(
            norm_relu_conv(in_channels, channels),
            AspectPyramid([norm_relu_conv(channels, level) for _ in bins], bins),
            norm_relu_conv(channels + level * len(bins), channels),
        )
        for layer in self.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.momentum = 0.005  # the authors' value, in this module only


class UpsamplingModule(nn.Module):
    """Enlarge by 2, add the projected skip connection, blend with a 3x3 convolution.

    Shape:
        x (N, C, H, W), skip (N, skip_channels, 2H, 2W) -> (N, C, 2H, 2W).
    """

    def __init__(self, skip_channels: int, channels: int) -> None:
        super().__init__()
        self.project = norm_relu_conv(skip_channels, channels)
        self.blend = norm_relu_conv(channels, channels, 3)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        return self.blend(resize(x, 2) + self.project(skip))


class SwiftNet(nn.Module):
    """SwiftNetRN-18, single scale.

    Orsic, Kreso, Bevandic, Segvic: "In Defense of Pre-trained ImageNet Architectures for
    Real-time Semantic Segmentation of Road-driving Images" (CVPR 2019). A ResNet-18 with
    ImageNet weights is the whole encoder; spatial pyramid pooling widens its view and three
    slim upsampling modules of a constant width bring the resolution back.

    Args:
        num_classes: channels of the logits.
        width: channels of the decoder.
        resnet_variant: form of the ResNet-18, see ``backbones.VARIANTS``.

    Shape:
        float (N, 3, H, W), H and W multiples of 32 -> logits (N, num_classes, H/4, W/4), in
        either mode: there is no auxiliary head. The caller enlarges bilinearly.

    Published (theirs, not ours): Cityscapes test 75.5 mIoU at 39.9 FPS on a GTX 1080 Ti at
    1024x2048, 11.8 M parameters, 104 G multiply-adds (FCHarDNet's table); val 75.4 (table of
    zh320/realtime-semantic-segmentation-pytorch). 11,797,071 parameters in training and in
    inference.

    Reference:
        architecture: the authors' github orsic/swiftnet 2b88990; the logits equal those of that
        code for equal weights. It normalises inside the model, for RGB of 0 to 255: mean (73.15,
        82.90, 72.3), std (47.67, 48.49, 47.73). That belongs to the model's record here.
        Unsettled: the paper taps the skip connections before the last ReLU of each stage; in
        the released code an in-place ReLU rectifies them, and its weights belong to that, so it
        is what is done here. The pyramid has three levels, as built there (its list of grids
        names a fourth, which is never used).
    """

    output_stride = 4
    size_multiple = 32
    upsampling = 'bilinear'

    def __init__(
        self, num_classes: int, *, width: int = 128, resnet_variant: str = 'b'
    ) -> None:
        super().__init__()
        self.backbone = resnet(18, resnet_variant)
        c2, c3, c4, c5 = self.backbone.channels
        self.pyramid = SpatialPyramid(c5, width)
        self.up16 = UpsamplingModule(c4, width)
        self.up8 = UpsamplingModule(c3, width)
        self.up4 = UpsamplingModule(c2, width)
        self.bn = nn.BatchNorm2d(width)
        self.classifier = nn.Conv2d(width, num_classes, 1)
        init_kaiming(self)

    def forward(self, x: Tensor) -> Tensor:
        c2, c3, c4, c5 = self.backbone(x)
        out = self.up4(self.up8(self.up16(self.pyramid(c5), c4), c3), c2)
        return self.classifier(F.relu(self.bn(out)))
