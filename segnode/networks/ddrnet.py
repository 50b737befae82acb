# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""DDRNet-23-slim, and the blocks that it shares with its successor PIDNet."""

from __future__ import annotations

import torch
from torch import nn, Tensor
import torch.nn.functional as F

from segnode.networks.blocks import (
    conv_norm,
    global_average,
    init_kaiming,
    norm_relu_conv,
    resize,
    resize_like,
)


class ResidualBlock(nn.Module):
    """3x3, 3x3, sum with the input (through a 1x1 where the shape changes), ReLU.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        stride: of the first convolution and of the shortcut.
        activate: apply the ReLU behind the sum; the last block of a stage leaves it to its user.

    Shape:
        (N, in_channels, H, W) -> (N, out_channels, H / stride, W / stride).
    """

    def __init__(
        self, in_channels: int, out_channels: int, stride: int = 1, *, activate: bool = True
    ) -> None:
        super().__init__()
        self.activate = activate
        self.conv1 = conv_norm(in_channels, out_channels, 3, stride)
        self.conv2 = conv_norm(out_channels, out_channels, 3, activation=None)
        self.shortcut = _shortcut(in_channels, out_channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv2(self.conv1(x)) + self.shortcut(x)
        return F.relu(out) if self.activate else out


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 to twice the channels, sum with the input; no ReLU behind the sum.

    Shape:
        (N, in_channels, H, W) -> (N, 2 * channels, H / stride, W / stride).
    """

    def __init__(self, in_channels: int, channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = conv_norm(in_channels, channels)
        self.conv2 = conv_norm(channels, channels, 3, stride)
        self.conv3 = conv_norm(channels, 2 * channels, activation=None)
        self.shortcut = _shortcut(in_channels, 2 * channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv3(self.conv2(self.conv1(x))) + self.shortcut(x)


def _shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Module:
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    return conv_norm(in_channels, out_channels, 1, stride, activation=None)


def residual_stage(
    in_channels: int, out_channels: int, repeats: int, stride: int = 1, *, activate: bool = False
) -> nn.Sequential:
    """``repeats`` residual blocks; the first has the stride, ``activate`` is the last one's."""
    return nn.Sequential(*(
        ResidualBlock(
            out_channels if i else in_channels,
            out_channels,
            1 if i else stride,
            activate=activate or i + 1 < repeats,
        )
        for i in range(repeats)
    ))


def convolution_stem(channels: int) -> nn.Sequential:
    """Two strided 3x3 convolutions (with biases, as the authors have it): 3 -> channels at 1/4."""
    return nn.Sequential(
        nn.Conv2d(3, channels, 3, 2, 1), nn.BatchNorm2d(channels), nn.ReLU(),
        nn.Conv2d(channels, channels, 3, 2, 1), nn.BatchNorm2d(channels), nn.ReLU(),
    )


class PoolingBranches(nn.Module):
    """The four pooled copies of the deepest map in DDRNet's and PIDNet's context modules.

    Averages over 5, 9 and 17 pixels (strides 2, 4, 8; zeros beyond the border count) and over
    the whole map, each with its own 1x1 convolution.

    Shape:
        (N, in_channels, H, W) -> three maps (N, channels, H, W) and one (N, channels, 1, 1),
        which stands for a constant map.
    """

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.pools = nn.ModuleList(
            nn.AvgPool2d(size, stride, size // 2) for size, stride in ((5, 2), (9, 4), (17, 8))
        )
        self.convs = nn.ModuleList(norm_relu_conv(in_channels, channels) for _ in range(4))

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = [resize_like(conv(pool(x)), x) for pool, conv in zip(self.pools, self.convs)]
        return [*maps, self.convs[3](global_average(x))]


class PooledContext(nn.Module):
    """The frame of both context modules: the map and its pooled copies, compressed, plus the map.

    Args:
        in_channels: channels of the input.
        channels: of the map and of each pooled copy before the compression.
        out_channels: channels of the output.
        process: what a subclass's ``scales`` puts the pooled copies through.

    Shape:
        (N, in_channels, H, W) -> (N, out_channels, H, W).
    """

    def __init__(
        self, in_channels: int, channels: int, out_channels: int, process: nn.Module
    ) -> None:
        super().__init__()
        self.scale0 = norm_relu_conv(in_channels, channels)
        self.branches = PoolingBranches(in_channels, channels)
        self.process = process
        self.compression = norm_relu_conv(5 * channels, out_channels)
        self.shortcut = norm_relu_conv(in_channels, out_channels)

    def scales(self, x: Tensor) -> list[Tensor]:
        """Return maps of the size of ``x`` with 5 * channels together."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        return self.compression(torch.cat(self.scales(x), 1)) + self.shortcut(x)


class ContextModule(PooledContext):
    """DAPPM: the pooled maps are added one after the other, from fine to coarse.

    Shape:
        (N, in_channels, H, W) -> (N, out_channels, H, W).
    """

    def __init__(self, in_channels: int, channels: int, out_channels: int) -> None:
        steps = nn.ModuleList(norm_relu_conv(channels, channels, 3) for _ in range(4))
        super().__init__(in_channels, channels, out_channels, steps)

    def scales(self, x: Tensor) -> list[Tensor]:
        scales = [self.scale0(x)]
        for step, pooled in zip(self.process.children(), self.branches(x)):
            scales.append(step(scales[-1] + pooled))
        return scales


def segmentation_head(in_channels: int, channels: int, num_classes: int) -> nn.Sequential:
    """Pre-activated 3x3 to ``channels``, then a pre-activated 1x1 (with bias) to the logits."""
    return nn.Sequential(
        *norm_relu_conv(in_channels, channels, 3),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        nn.Conv2d(channels, num_classes, 1),
    )


class DualResolutionNet(nn.Module):
    """What DDRNet and PIDNet have in common: sizes, and the trunk up to where branches part.

    Args:
        width: channels of the stem.

    Shape:
        ``trunk``: (N, 3, H, W) -> (N, 2 * width, H / 8, W / 8), rectified.
    """

    output_stride = 8
    size_multiple = 64
    upsampling = 'bilinear'

    def __init__(self, width: int) -> None:
        super().__init__()
        self.stem = convolution_stem(width)
        self.layer1 = residual_stage(width, width, 2)
        self.layer2 = residual_stage(width, 2 * width, 2, 2)

    def trunk(self, x: Tensor) -> Tensor:
        return F.relu(self.layer2(F.relu(self.layer1(self.stem(x)))))


class DDRNet23Slim(DualResolutionNet):
    """DDRNet-23-slim, the deep dual-resolution network.

    Hong, Pan, Sun, Jia: "Deep Dual-resolution Networks for Real-time and Accurate Semantic
    Segmentation of Road Scenes" (2021, arXiv 2101.06085). After a common trunk one branch stays
    at 1/8 for the detail while the other goes down to 1/64 for the context; they are fused in
    both directions twice, and the deep one ends in a module of stacked poolings (DAPPM).

    Args:
        num_classes: channels of the logits.
        auxiliary: have the auxiliary head that training uses (38,355 parameters).

    Shape:
        float (N, 3, H, W), H and W multiples of 64 -> logits (N, num_classes, H/8, W/8), in
        training mode the tuple (logits, auxiliary logits) of equal shape. The caller enlarges
        bilinearly (align_corners=False), as published. A batch that is trained on needs two
        images at least: batch normalisation follows a pooling to 1x1.

    Parameters:
        5,695,987 with 19 classes in inference form, 5,734,342 with the auxiliary head.

    Published (theirs, not ours): Cityscapes val 77.8 / test 77.4 mIoU at 1024x2048 with
    ImageNet pretraining, 102 FPS on an RTX 2080 Ti; CamVid test 74.7 at 230 FPS (the abstract,
    and the README of github ydhongHIT/DDRNet).

    Reference:
        architecture: the authors' code (github ydhongHIT/DDRNet, de0db31), whose outputs ours
        equals bit by bit with equal weights; its slim file builds the network without the
        auxiliary head. Loss of the training code that the authors point to: cross entropy on
        hard pixels (probability under 0.9, 131,072 at least), the auxiliary with weight 0.4.
        Unsettled: nothing of the architecture.
    """

    def __init__(self, num_classes: int, *, auxiliary: bool = True) -> None:
        width = 32
        super().__init__(width)
        self.low3 = residual_stage(2 * width, 4 * width, 2, 2)
        self.low4 = residual_stage(4 * width, 8 * width, 2, 2)
        self.low5 = Bottleneck(8 * width, 8 * width, 2)
        self.high3 = residual_stage(2 * width, 2 * width, 2)
        self.high4 = residual_stage(2 * width, 2 * width, 2)
        self.high5 = Bottleneck(2 * width, 2 * width)
        self.down3 = conv_norm(2 * width, 4 * width, 3, 2, activation=None)
        self.down4 = nn.Sequential(
            conv_norm(2 * width, 4 * width, 3, 2),
            conv_norm(4 * width, 8 * width, 3, 2, activation=None),
        )
        self.up3 = conv_norm(4 * width, 2 * width, activation=None)
        self.up4 = conv_norm(8 * width, 2 * width, activation=None)
        self.context = ContextModule(16 * width, 128, 4 * width)
        self.head = segmentation_head(4 * width, 64, num_classes)
        self.auxiliary = segmentation_head(2 * width, 64, num_classes) if auxiliary else None
        self.auxiliary_kinds = ('classes',) if auxiliary else ()
        init_kaiming(self)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        common = self.trunk(x)

        low = self.low3(common)
        high = self.high3(common)
        high_fused = high + resize(self.up3(F.relu(low)), 2)
        low_fused = low + self.down3(F.relu(high))
        tap = high_fused

        low = self.low4(F.relu(low_fused))
        high = self.high4(F.relu(high_fused))
        high_fused = high + resize(self.up4(F.relu(low)), 4)
        low_fused = low + self.down4(F.relu(high))

        context = self.context(self.low5(F.relu(low_fused)))
        logits = self.head(self.high5(F.relu(high_fused)) + resize(context, 8))
        if self.training and self.auxiliary is not None:
            return logits, self.auxiliary(tap)
        return logits
