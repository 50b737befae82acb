# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""BiSeNetV2: a shallow wide branch for detail, a deep narrow one for meaning."""

from __future__ import annotations

import torch
from torch import nn, Tensor
import torch.nn.functional as F

from segnode.networks.blocks import conv_norm, global_average, init_kaiming, max_pool2


def _depthwise(
    in_channels: int,
    out_channels: int,
    stride: int = 1,
    activation: type[nn.Module] | None = None,
) -> nn.Sequential:
    return conv_norm(
        in_channels, out_channels, 3, stride, groups=in_channels, activation=activation
    )


def _detail_branch() -> nn.Sequential:
    """(N, 3, H, W) -> (N, 128, H / 8, W / 8)."""
    return nn.Sequential(
        conv_norm(3, 64, 3, 2), conv_norm(64, 64, 3),
        conv_norm(64, 64, 3, 2), conv_norm(64, 64, 3), conv_norm(64, 64, 3),
        conv_norm(64, 128, 3, 2), conv_norm(128, 128, 3), conv_norm(128, 128, 3),
    )


class Stem(nn.Module):
    """Two ways of halving side by side: (N, 3, H, W) -> (N, 16, H / 4, W / 4)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = conv_norm(3, 16, 3, 2)
        self.left = nn.Sequential(conv_norm(16, 8), conv_norm(8, 16, 3, 2))
        self.fuse = conv_norm(32, 16, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return self.fuse(torch.cat([self.left(x), max_pool2(x)], 1))


class GatherExpand(nn.Module):
    """Gather-and-expansion layer: 3x3, depthwise expansion, 1x1 projection, shortcut.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output; as many as the input with stride 1.
        stride: 1, or 2, which adds a second depthwise convolution and a separable shortcut.
        expansion: hidden channels are ``expansion * in_channels``.

    Shape:
        (N, in_channels, H, W) -> (N, out_channels, H / stride, W / stride).
    """

    def __init__(
        self, in_channels: int, out_channels: int, stride: int = 1, *, expansion: int = 6
    ) -> None:
        super().__init__()
        if stride == 1 and in_channels != out_channels:
            raise ValueError('stride 1 needs as many output as input channels')
        hidden = expansion * in_channels
        self.gather = conv_norm(in_channels, in_channels, 3)
        self.shortcut: nn.Sequential | None = None
        if stride == 1:
            self.expand = _depthwise(in_channels, hidden, activation=nn.ReLU)
        else:
            self.expand = nn.Sequential(
                _depthwise(in_channels, hidden, stride),
                _depthwise(hidden, hidden, activation=nn.ReLU),
            )
            self.shortcut = nn.Sequential(
                _depthwise(in_channels, in_channels, stride),
                conv_norm(in_channels, out_channels, activation=None),
            )
        self.project = conv_norm(hidden, out_channels, activation=None)

    def forward(self, x: Tensor) -> Tensor:
        out = self.project(self.expand(self.gather(x)))
        return F.relu(out + (x if self.shortcut is None else self.shortcut(x)))


class ContextEmbedding(nn.Module):
    """Adds the image's mean feature to every pixel: (N, C, H, W) -> the same shape."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(channels)
        self.pooled = conv_norm(channels, channels)
        self.conv = conv_norm(channels, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x + self.pooled(self.bn(global_average(x))))


class GuidedAggregation(nn.Module):
    """Bilateral guided aggregation: each branch is gated by the other, at 1/8 and at 1/32.

    Shape:
        detail (N, C, H, W), semantic (N, C, H / 4, W / 4) -> (N, C, H, W).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()

        def separable() -> nn.Sequential:
            return nn.Sequential(
                _depthwise(channels, channels), nn.Conv2d(channels, channels, 1, bias=False)
            )

        self.detail_keep = separable()
        self.detail_down = conv_norm(channels, channels, 3, 2, activation=None)
        self.semantic_up = conv_norm(channels, channels, 3, activation=None)
        self.semantic_keep = separable()
        self.fuse = conv_norm(channels, channels, 3)

    def forward(self, detail: Tensor, semantic: Tensor) -> Tensor:
        # Both enlargements repeat pixels, so the sigmoid comes before them.
        guide = torch.sigmoid(self.semantic_up(semantic))
        fine = self.detail_keep(detail) * F.interpolate(guide, scale_factor=4.0, mode='nearest')
        small = F.avg_pool2d(self.detail_down(detail), kernel_size=3, stride=2, padding=1)
        coarse = small * torch.sigmoid(self.semantic_keep(semantic))
        return self.fuse(fine + F.interpolate(coarse, scale_factor=4.0, mode='nearest'))


class AuxiliaryHead(nn.Module):
    """Head of a training-only output, which it enlarges by 2.

    Args:
        channels: of its input.
        stride: the input is at 1/stride of the image; the hidden width is ``stride ** 2``.
        num_classes: channels of the logits.

    Shape:
        (N, channels, H, W) -> (N, num_classes, 2 H, 2 W).
    """

    def __init__(self, channels: int, stride: int, num_classes: int) -> None:
        super().__init__()
        self.conv = conv_norm(channels, 128, 3)
        self.dropout = nn.Dropout(0.1)
        self.wide = conv_norm(128, stride**2, 3)
        self.classifier = nn.Conv2d(stride**2, num_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.interpolate(self.dropout(self.conv(x)), scale_factor=2.0, mode='nearest')
        return self.classifier(self.wide(x))


class BiSeNetV2(nn.Module):
    """BiSeNet V2, bilateral network with guided aggregation.

    Yu, Gao, Wang, Yu, Shen, Sang: "BiSeNet V2: Bilateral Network with Guided Aggregation for
    Real-time Semantic Segmentation" (arXiv 2004.02147, 2020; IJCV 2021). A shallow, wide branch
    keeps detail at 1/8 while a deep, narrow one of gather-and-expansion layers goes down to 1/32;
    each then gates the other before they are summed.

    Args:
        num_classes: channels of the logits.
        head_width: channels inside the main head.
        auxiliary: build the four training-only heads, on the semantic branch at 1/4, 1/8, 1/16
            and 1/32.

    Shape:
        float (N, 3, H, W), H and W multiples of 32 -> logits (N, num_classes, H/8, W/8). In
        training mode with ``auxiliary`` a tuple: these, and four more at 1/2, 1/4, 1/8 and 1/16.
        The caller enlarges bilinearly. The loss is the sum of all five, each with weight 1.

    Published (theirs, not ours): Cityscapes test 72.6 mIoU at 156 FPS on a GTX 1080 Ti for a
    2048x1024 input (paper's abstract); val 73.4 (the paper's, in the table of
    zh320/realtime-semantic-segmentation-pytorch), 74.95 (CoinCheung's implementation, trained on
    crops of 512x1024; its README). 3,358,627 parameters are counted without the auxiliary heads.

    Reference:
        architecture: github CoinCheung/BiSeNet 6b4b67a; the outputs equal those of that code for
        equal weights. Unsettled: the width of the main head, which the paper does not state
        (1024 as there), and some ReLUs that the paper does not show (as there).
    """

    output_stride = 8
    size_multiple = 32
    upsampling = 'bilinear'

    def __init__(
        self, num_classes: int, *, head_width: int = 1024, auxiliary: bool = True
    ) -> None:
        super().__init__()
        self.detail = _detail_branch()
        self.stem = Stem()
        self.stage3 = nn.Sequential(GatherExpand(16, 32, 2), GatherExpand(32, 32))
        self.stage4 = nn.Sequential(GatherExpand(32, 64, 2), GatherExpand(64, 64))
        self.stage5 = nn.Sequential(
            GatherExpand(64, 128, 2), *(GatherExpand(128, 128) for _ in range(3))
        )
        self.context = ContextEmbedding(128)
        self.aggregation = GuidedAggregation(128)
        self.head = nn.Sequential(
            conv_norm(128, head_width, 3),
            nn.Dropout(0.1),
            nn.Conv2d(head_width, num_classes, 1),
        )
        taps = ((16, 4), (32, 8), (64, 16), (128, 32))
        self.auxiliary = nn.ModuleList(
            AuxiliaryHead(channels, stride, num_classes)
            for channels, stride in (taps if auxiliary else ())
        )
        self.auxiliary_kinds = ('classes',) * len(self.auxiliary)
        init_kaiming(self)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        s2 = self.stem(x)
        s3 = self.stage3(s2)
        s4 = self.stage4(s3)
        s5 = self.stage5(s4)
        logits = self.head(self.aggregation(self.detail(x), self.context(s5)))
        if self.training and len(self.auxiliary):
            taps = (s2, s3, s4, s5)
            return (logits, *(head(tap) for head, tap in zip(self.auxiliary, taps)))
        return logits
