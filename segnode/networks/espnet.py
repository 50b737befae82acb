# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""ESPNet and its encoder ESPNet-C."""

from __future__ import annotations

import torch
from torch import nn, Tensor
import torch.nn.functional as F

from segnode.networks.blocks import init_kaiming, same_conv

DILATIONS = (1, 2, 4, 8, 16)


def norm_prelu(channels: int) -> nn.Sequential:
    """Batch normalisation and a PReLU with one slope per channel."""
    return nn.Sequential(nn.BatchNorm2d(channels, eps=1e-3), nn.PReLU(channels))


def _enlarging(channels: int) -> nn.ConvTranspose2d:
    """Learned enlargement by 2: (N, channels, H, W) -> (N, channels, 2H, 2W)."""
    return nn.ConvTranspose2d(channels, channels, 2, stride=2, bias=False)


def _halve(image: Tensor) -> Tensor:
    """Average 3x3 pixels around every second one; the zeros at the border count."""
    return F.avg_pool2d(image, kernel_size=3, stride=2, padding=1)


class ESP(nn.Module):
    """Efficient spatial pyramid: reduce, five parallel dilated convolutions, fuse, concatenate.

    The outputs of dilations 2 to 16 are summed one into the next before the concatenation,
    which removes the gridding of dilated kernels.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output; a fifth of them (rounded down) per dilation, the
            rest to the undilated branch.
        stride: 1 reduces by a 1x1 convolution, 2 by a strided 3x3.
        residual: add the input to the output (needs stride 1 and equal channels).

    Shape:
        (N, in_channels, H, W) -> (N, out_channels, H / stride, W / stride).
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, stride: int = 1, residual: bool = False
    ) -> None:
        super().__init__()
        if out_channels < len(DILATIONS):
            raise ValueError(f'an ESP block has at least {len(DILATIONS)} output channels')
        share = out_channels // len(DILATIONS)
        rest = out_channels - share * (len(DILATIONS) - 1)
        self.residual = residual
        self.reduce = same_conv(in_channels, share, 1 if stride == 1 else 3, stride)
        self.branches = nn.ModuleList(
            same_conv(share, rest if d == 1 else share, 3, dilation=d) for d in DILATIONS
        )
        self.norm = norm_prelu(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        reduced = self.reduce(x)
        outputs = [branch(reduced) for branch in self.branches]
        for index in range(2, len(outputs)):
            outputs[index] = outputs[index - 1] + outputs[index]
        out = torch.cat(outputs, 1)
        return self.norm(x + out if self.residual else out)


class ESPNetC(nn.Module):
    """ESPNet-C: the encoder of ESPNet with a classifier at 1/8.

    Mehta, Rastegari, Caspi, Shapiro, Hajishirzi: "ESPNet: Efficient Spatial Pyramid of Dilated
    Convolutions for Semantic Segmentation" (ECCV 2018). A convolution is split into a reduction
    and a pyramid of dilated kernels, so that a large field of view costs few weights; the shrunk
    image itself joins the features at 1/2 and 1/4.

    Args:
        num_classes: channels of the logits (the authors train 20: Cityscapes' 19 and void).
        p: ESP blocks at 1/4.
        q: ESP blocks at 1/8 (3, 5 and 8 in the paper).

    Shape:
        float (N, 3, H, W), H and W multiples of 8 -> logits (N, num_classes, H/8, W/8), to be
        enlarged bilinearly. Trained with labels reduced to 1/8.

    Published: no figure of ESPNet-C is quoted here, none was at hand at its source. 349,193
    parameters with 19 classes; 349,449 with 20, as many as the authors' weights have.

    Reference:
        the authors' code (github sacmehta/ESPNet afe71c3). Their images are BGR, mean 72.39
        82.91 73.16, std 45.32 46.15 44.91, then divided by 255. Unsettled: nothing.
    """

    output_stride = 8
    size_multiple = 8
    upsampling = 'bilinear'

    def __init__(self, num_classes: int, *, p: int = 2, q: int = 8) -> None:
        super().__init__()
        self.stem = nn.Sequential(same_conv(3, 16, 3, 2), *norm_prelu(16))
        self.join1 = norm_prelu(16 + 3)
        self.down2 = ESP(16 + 3, 64, stride=2)
        self.level2 = nn.Sequential(*(ESP(64, 64, residual=True) for _ in range(p)))
        self.join2 = norm_prelu(64 + 64 + 3)
        self.down3 = ESP(64 + 64 + 3, 128, stride=2)
        self.level3 = nn.Sequential(*(ESP(128, 128, residual=True) for _ in range(q)))
        self.join3 = norm_prelu(128 + 128)
        self.classifier = same_conv(256, num_classes, 1)
        init_kaiming(self)

    def features(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the stem at 1/2 (16), joined maps at 1/2 (19), 1/4 (131); logits at 1/8."""
        half = _halve(x)
        stem = self.stem(x)
        joined1 = self.join1(torch.cat([stem, half], 1))
        down2 = self.down2(joined1)
        joined2 = self.join2(torch.cat([self.level2(down2), down2, _halve(half)], 1))
        down3 = self.down3(joined2)
        joined3 = self.join3(torch.cat([down3, self.level3(down3)], 1))
        return stem, joined1, joined2, self.classifier(joined3)

    def forward(self, x: Tensor) -> Tensor:
        return self.features(x)[3]


class ESPNet(nn.Module):
    """ESPNet: ESPNet-C and a light decoder up to full size.

    Mehta, Rastegari, Caspi, Shapiro, Hajishirzi: "ESPNet: Efficient Spatial Pyramid of Dilated
    Convolutions for Semantic Segmentation" (ECCV 2018). The encoder's class scores are enlarged
    by learned steps of 2 and corrected at 1/4 and 1/2 by its finer maps, reduced to one channel
    per class, so that the decoder adds only some 15,000 weights.

    Args:
        num_classes: channels of the logits, at least 5 (the authors train 20: Cityscapes' 19
            and void).
        p: ESP blocks at 1/4.
        q: ESP blocks at 1/8 (3, 5 and 8 in the paper).
        image_in_detail: the decoder's finest correction takes the stem joined with the image (19
            channels: the authors' training file and their CamVid weights) instead of the stem
            alone (16 channels: their test file and their Cityscapes weights).
        width: channels of the decoder and of the encoder's scores, by default ``num_classes``.
            More of them than classes is what is left of the authors' weights, which were trained
            with void as a class, when that output is dropped: the last layer alone gets smaller.
            torch2trt does not convert a last layer of that kind, ONNX does.

    Shape:
        float (N, 3, H, W), H and W multiples of 8 -> logits (N, num_classes, H, W).

    Published (theirs, not ours): Cityscapes test 60.3 mIoU, category IoU 82.2, 112 frames/s on
    a TitanX (README of their code, which states no input size for the speed; trained at
    512x1024). 362,949 parameters with 19 classes; 364,569 with 20, as many as their weights have.

    Reference:
        the authors' code (github sacmehta/ESPNet afe71c3). Unsettled: ``image_in_detail``, where
        their own files differ; the default is what the published count belongs to.
    """

    output_stride = 1
    size_multiple = 8
    upsampling = 'bilinear'

    def __init__(
        self,
        num_classes: int,
        *,
        p: int = 2,
        q: int = 8,
        image_in_detail: bool = False,
        width: int | None = None,
    ) -> None:
        super().__init__()
        width = num_classes if width is None else width
        self.image_in_detail = image_in_detail
        self.encoder = ESPNetC(width, p=p, q=q)
        self.score_norm = nn.BatchNorm2d(width, eps=1e-3)
        self.up3 = _enlarging(width)
        self.lateral2 = same_conv(64 + 64 + 3, width, 1)
        self.fuse2 = nn.Sequential(norm_prelu(2 * width), ESP(2 * width, width))
        self.up2 = nn.Sequential(_enlarging(width), *norm_prelu(width))
        detail = 16 + 3 if image_in_detail else 16
        self.fuse1 = nn.Sequential(same_conv(width + detail, width, 3), *norm_prelu(width))
        self.up1 = nn.ConvTranspose2d(width, num_classes, 2, stride=2, bias=False)
        init_kaiming(self)

    def forward(self, x: Tensor) -> Tensor:
        stem, joined1, joined2, scores = self.encoder.features(x)
        coarse = self.up3(self.score_norm(scores))
        out = self.fuse2(torch.cat([self.lateral2(joined2), coarse], 1))
        detail = joined1 if self.image_in_detail else stem
        out = self.fuse1(torch.cat([self.up2(out), detail], 1))
        return self.up1(out)
