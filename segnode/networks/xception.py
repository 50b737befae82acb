# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Xception-65 as DeepLab's backbone."""

from __future__ import annotations

from torch import nn, Tensor

from segnode.networks.blocks import conv_bn


def split_separable(
    in_channels: int,
    out_channels: int,
    stride: int = 1,
    dilation: int = 1,
    *,
    activation: type[nn.Module] | None = None,
) -> nn.Sequential:
    """Depthwise 3x3, then 1x1 convolution; both normalised and activated, both without bias."""
    return nn.Sequential(
        conv_bn(
            in_channels, in_channels, 3, stride,
            groups=in_channels, dilation=dilation, bias=False, activation=activation,
        ),
        conv_bn(in_channels, out_channels, bias=False, activation=activation),
    )


class XceptionModule(nn.Module):
    """ReLU and separable convolution, three times, around which goes a shortcut.

    Args:
        in_channels: channels of the input.
        channels: of the three separable convolutions.
        stride: of the third.

    Shape:
        (N, in_channels, H, W) -> (N, channels[2], H / stride, W / stride). The shortcut is the
        identity where the shape does not change, else a 1x1 convolution.
    """

    def __init__(
        self, in_channels: int, channels: tuple[int, int, int], stride: int = 1
    ) -> None:
        super().__init__()
        first, second, third = channels
        self.begin = nn.Sequential(
            nn.ReLU(), split_separable(in_channels, first),
            nn.ReLU(), split_separable(first, second),
        )
        self.end = nn.Sequential(nn.ReLU(), split_separable(second, third, stride))
        self.shortcut = (
            conv_bn(in_channels, third, 1, stride, bias=False)
            if stride != 1 or in_channels != third
            else None
        )

    def with_second(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the output, and what the second separable convolution gives."""
        second = self.begin(x)
        identity = x if self.shortcut is None else self.shortcut(x)
        return self.end(second) + identity, second

    def forward(self, x: Tensor) -> Tensor:
        return self.with_second(x)[0]


class Xception65(nn.Module):
    """Xception-65 without its classifier, its last module dilated to keep 1/16.

    Shape:
        float (N, 3, H, W) -> (N, 256, H/4, W/4): the second separable convolution of the second
        module, not yet activated; and (N, 2048, H/16, W/16).

    Reference:
        Chen et al., DeepLabV3+ (ECCV 2018), after Chollet, Xception (CVPR 2017); as in
        tensorflow/models research/deeplab core/xception.py.
    """

    low_channels = 256
    channels = 2048

    def __init__(self) -> None:
        super().__init__()
        act = nn.ReLU
        self.stem = nn.Sequential(
            conv_bn(3, 32, 3, 2, bias=False, activation=act),
            conv_bn(32, 64, 3, bias=False, activation=act),
        )
        self.entry1 = XceptionModule(64, (128, 128, 128), 2)
        self.entry2 = XceptionModule(128, (256, 256, 256), 2)
        self.entry3 = XceptionModule(256, (728, 728, 728), 2)
        self.middle = nn.Sequential(*(XceptionModule(728, (728, 728, 728)) for _ in range(16)))
        self.exit1 = XceptionModule(728, (728, 1024, 1024))
        self.exit2 = nn.Sequential(*(
            split_separable(i, o, dilation=2, activation=act)
            for i, o in ((1024, 1536), (1536, 1536), (1536, 2048))
        ))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x, low = self.entry2.with_second(self.entry1(self.stem(x)))
        return low, self.exit2(self.exit1(self.middle(self.entry3(x))))
