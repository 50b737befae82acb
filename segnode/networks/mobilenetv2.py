# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""MobileNetV2 as a backbone."""

from __future__ import annotations

from torch import nn, Tensor

from segnode.networks.blocks import conv_norm, ReLU6

# Expansion, channels, repeats, stride of the first.
STAGES = (
    (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
    (6, 320, 1, 1),
)


class Unit(nn.Module):
    """Inverted residual; the expansion is left out where it would not expand.

    Shape:
        (N, in_channels, H, W) -> (N, out_channels, H / stride, W / stride).
    """

    def __init__(
        self, in_channels: int, out_channels: int, stride: int, expansion: int
    ) -> None:
        super().__init__()
        hidden = expansion * in_channels
        self.skip = stride == 1 and in_channels == out_channels
        layers: list[nn.Module] = []
        if expansion != 1:
            layers += conv_norm(in_channels, hidden, activation=ReLU6)
        layers += conv_norm(hidden, hidden, 3, stride, groups=hidden, activation=ReLU6)
        self.conv = nn.Sequential(*layers, *conv_norm(hidden, out_channels, activation=None))

    def with_depthwise(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the output, and what the depthwise convolution gives (not yet normalised)."""
        out = depthwise = x
        for layer in self.conv:
            out = layer(out)
            if isinstance(layer, nn.Conv2d) and layer.groups > 1:
                depthwise = out
        return (x + out if self.skip else out), depthwise

    def forward(self, x: Tensor) -> Tensor:
        return self.with_depthwise(x)[0]


class MobileNetV2(nn.Module):
    """MobileNetV2 without its classifier.

    The keys are those of torchvision's first releases (``features.2.conv.3.weight``), so that
    ImageNet weights in that layout load without renaming.

    Shape:
        float (N, 3, H, W) -> (N, 144, H/8, W/8): the depthwise convolution of the first unit at
        1/8, as it comes; and (N, 1280, H/32, W/32).

    Reference:
        Sandler et al., MobileNetV2: Inverted Residuals and Linear Bottlenecks (CVPR 2018).
        2,223,872 parameters.
    """

    low_channels = 144
    channels = 1280

    def __init__(self) -> None:
        super().__init__()
        units: list[nn.Module] = [conv_norm(3, 32, 3, 2, activation=ReLU6)]
        channels, stride, self.tapped = 32, 2, 0
        for expansion, width, repeats, first in STAGES:
            for index in range(repeats):
                step = first if index == 0 else 1
                stride *= step
                if stride == 8 and step == 2:
                    self.tapped = len(units)
                units.append(Unit(channels, width, step, expansion))
                channels = width
        units.append(conv_norm(channels, self.channels, activation=ReLU6))
        self.features = nn.Sequential(*units)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        low = x
        for index, unit in enumerate(self.features):
            if index == self.tapped:
                assert isinstance(unit, Unit)
                x, low = unit.with_depthwise(x)
            else:
                x = unit(x)
        return low, x
