# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""DeepLabV3+ with depthwise separable convolutions, on Xception-65 and on MobileNetV2."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn, Tensor

from segnode.networks.blocks import (
    conv_bn,
    global_average,
    init_kaiming,
    resize,
    same_conv,
    separable_conv_bn,
)
from segnode.networks.mobilenetv2 import MobileNetV2
from segnode.networks.xception import split_separable, Xception65

WIDTH = 256
LOW_WIDTH = 48
DILATIONS = (6, 12, 18)

# Makes a separable 3x3 convolution from in_channels, out_channels and dilation.
Separable = Callable[[int, int, int], nn.Module]


def _split(in_channels: int, out_channels: int, dilation: int) -> nn.Module:
    return split_separable(in_channels, out_channels, dilation=dilation, activation=nn.ReLU)


def _bare(in_channels: int, out_channels: int, dilation: int) -> nn.Module:
    depthwise = same_conv(in_channels, in_channels, 3, dilation=dilation, groups=in_channels)
    pointwise = conv_bn(in_channels, out_channels, bias=False, activation=nn.ReLU)
    return nn.Sequential(depthwise, *pointwise)


def _joint(in_channels: int, out_channels: int, dilation: int) -> nn.Module:
    return separable_conv_bn(
        in_channels, out_channels, dilation=dilation, activation=nn.ReLU
    )


class SpatialPyramid(nn.Module):
    """ASPP: the map's mean, a 1x1 and three dilated separable convolutions, joined by a 1x1.

    Shape:
        (N, in_channels, H, W) -> (N, 256, H, W). While training, N is at least 2: batch
        normalisation has one value per image in the branch of the mean.
    """

    def __init__(self, in_channels: int, separable: Separable, dropout: float) -> None:
        super().__init__()

        def pointwise(channels: int) -> nn.Sequential:
            return conv_bn(channels, WIDTH, bias=False, activation=nn.ReLU)

        self.pooled = pointwise(in_channels)
        self.plain = pointwise(in_channels)
        self.dilated = nn.ModuleList(separable(in_channels, WIDTH, d) for d in DILATIONS)
        self.project = pointwise(WIDTH * (2 + len(DILATIONS)))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        mean = self.pooled(global_average(x)).expand(-1, -1, x.shape[2], x.shape[3])
        branches = [mean, self.plain(x), *(branch(x) for branch in self.dilated)]
        return self.dropout(self.project(torch.cat(branches, 1)))


class Decoder(nn.Module):
    """Spatial pyramid, enlarged by 4 and joined with the low-level map, then the classifier.

    Shape:
        low (N, low_channels, H, W), deep (N, channels, H/4, W/4) -> (N, num_classes, H, W).
    """

    def __init__(
        self,
        low_channels: int,
        channels: int,
        num_classes: int,
        separable: Separable,
        dropout: float,
        *,
        separable_in_pyramid: Separable | None = None,
    ) -> None:
        super().__init__()
        self.aspp = SpatialPyramid(channels, separable_in_pyramid or separable, dropout)
        self.low = conv_bn(low_channels, LOW_WIDTH, bias=False, activation=nn.ReLU)
        self.fuse = nn.Sequential(
            separable(WIDTH + LOW_WIDTH, WIDTH, 1), separable(WIDTH, WIDTH, 1)
        )
        self.classifier = nn.Conv2d(WIDTH, num_classes, 1)

    def forward(self, low: Tensor, deep: Tensor) -> Tensor:
        joined = torch.cat([resize(self.aspp(deep), 4), self.low(low)], 1)
        return self.classifier(self.fuse(joined))


class DeepLabV3PlusXception65(nn.Module):
    """DeepLabV3+ on Xception-65, in its authors' form.

    Chen, Zhu, Papandreou, Schroff, Adam: "Encoder-Decoder with Atrous Separable Convolution for
    Semantic Image Segmentation" (ECCV 2018). Parallel dilated convolutions see the deepest map
    at several scales; a small decoder joins the result with a map at 1/4 for sharp borders.

    Args:
        num_classes: channels of the logits.
        dropout: probability behind the spatial pyramid.
        split_pyramid: normalise and activate between the depthwise and the 1x1 part of the
            spatial pyramid's convolutions too, as the authors' code does; without it there are
            41,042,611 parameters.

    Shape:
        float (N, 3, H, W), H and W multiples of 16 -> logits (N, num_classes, H/4, W/4), to be
        enlarged bilinearly.

    Published (theirs, not ours): Cityscapes val 78.79 mIoU, single scale, fine annotations only,
    1025x2049, 418.6 G multiply-adds (tensorflow/models' model zoo). 41,054,899 parameters with 19
    classes; training and inference form are the same.

    Reference:
        tensorflow/models research/deeplab (core/xception.py, core/utils.py, model zoo),
        output stride 16. Differences and unsettled: bilinear enlargement without aligned
        corners; strided convolutions pad both sides; batch normalisation has epsilon 1e-3 and
        momentum 0.01 everywhere (theirs 1e-5 and 0.0003 behind the backbone); no source at
        hand confirms the dropout probability.
    """

    output_stride = 4
    size_multiple = 16
    upsampling = 'bilinear'

    def __init__(
        self, num_classes: int, *, dropout: float = 0.1, split_pyramid: bool = True
    ) -> None:
        super().__init__()
        self.backbone = Xception65()
        self.decoder = Decoder(
            Xception65.low_channels,
            Xception65.channels,
            num_classes,
            _split,
            dropout,
            separable_in_pyramid=_split if split_pyramid else _bare,
        )
        init_kaiming(self)

    def forward(self, x: Tensor) -> Tensor:
        low, deep = self.backbone(x)
        return self.decoder(low, deep)


class DeepLabV3PlusMobileNetV2(nn.Module):
    """DeepLabV3+ on MobileNetV2, as the FANet authors' baseline has it.

    Chen, Zhu, Papandreou, Schroff, Adam: "Encoder-Decoder with Atrous Separable Convolution for
    Semantic Image Segmentation" (ECCV 2018), on Sandler et al.'s MobileNetV2 (CVPR 2018).
    The spatial pyramid reads the whole backbone's 1280 channels at 1/32, and the decoder joins it
    with a map at 1/8. Google's own released MobileNetV2 model has neither and is another network.

    Args:
        num_classes: channels of the logits.
        dropout: probability behind the spatial pyramid; the baseline has none.

    Shape:
        float (N, 3, H, W), H and W multiples of 32 -> logits (N, num_classes, H/8, W/8), to be
        enlarged bilinearly.

    Published (theirs, not ours): Cityscapes val 42.3 mIoU at 1024x2048 after 500 epochs (github
    SkyWa7ch3r/ImageSegmentation, where the baseline comes from). 4.390 M parameters with 19
    classes (4,390,179 here; training and inference form are the same).

    Reference:
        github tanmaysingha/FANet models/deeplabv3plus.py: which convolutions have a bias (the
        separable ones and the classifier), the order of the branches and the low-level map (the
        bare depthwise convolution of the first unit at 1/8). Differences: the backbone's
        batch normalisation has epsilon 1e-5, which PyTorch's ImageNet weights were trained with;
        strided convolutions pad both sides; logits instead of softmax values are enlarged.
        Unsettled: what the tables of their papers give for it.
    """

    output_stride = 8
    size_multiple = 32
    upsampling = 'bilinear'

    def __init__(self, num_classes: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.backbone = MobileNetV2()
        self.decoder = Decoder(
            MobileNetV2.low_channels, MobileNetV2.channels, num_classes, _joint, dropout
        )
        init_kaiming(self)

    def forward(self, x: Tensor) -> Tensor:
        low, deep = self.backbone(x)
        return self.decoder(low, deep)
