# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Depthwise-separable blocks of Fast-SCNN and ContextNet.

They differ from those in ``blocks.py`` in that convolutions before a batch normalisation have
no bias, the batch normalisation has PyTorch's constants, and it also stands between the
depthwise and the pointwise part.
"""

from __future__ import annotations

from torch import nn, Tensor

from segnode.networks.backbones import conv_norm


def ds_conv(
    in_channels: int,
    out_channels: int,
    stride: int = 1,
    *,
    activation: type[nn.Module] = nn.ReLU,
) -> nn.Sequential:
    """DSConv: depthwise 3x3 without activation, pointwise 1x1 with one; both normalised."""
    return nn.Sequential(
        conv_norm(in_channels, in_channels, 3, stride, groups=in_channels, activation=None),
        conv_norm(in_channels, out_channels, activation=activation),
    )


class Bottleneck(nn.Module):
    """Inverted residual of MobileNetV2; the expansion is present even for ``expansion=1``.

    The input is added where it has the shape of the output (stride 1, equal channels).

    Shape:
        (N, in_channels, H, W) -> (N, out_channels, H / stride, W / stride).

    Reference:
        Sandler et al., MobileNetV2 (CVPR 2018).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        *,
        expansion: int = 6,
        activation: type[nn.Module] = nn.ReLU,
    ) -> None:
        super().__init__()
        hidden = expansion * in_channels
        self.skip = stride == 1 and in_channels == out_channels
        self.expand = conv_norm(in_channels, hidden, activation=activation)
        self.depthwise = conv_norm(
            hidden, hidden, 3, stride, groups=hidden, activation=activation
        )
        self.project = conv_norm(hidden, out_channels, activation=None)

    def forward(self, x: Tensor) -> Tensor:
        out = self.project(self.depthwise(self.expand(x)))
        return x + out if self.skip else out


def bottlenecks(
    in_channels: int,
    out_channels: int,
    repeats: int,
    stride: int = 1,
    *,
    expansion: int = 6,
    activation: type[nn.Module] = nn.ReLU,
) -> nn.Sequential:
    """``repeats`` bottlenecks, of which the first has the stride and changes the channels."""
    units = [
        Bottleneck(
            in_channels, out_channels, stride, expansion=expansion, activation=activation
        )
    ]
    for _ in range(repeats - 1):
        units.append(
            Bottleneck(out_channels, out_channels, expansion=expansion, activation=activation)
        )
    return nn.Sequential(*units)
