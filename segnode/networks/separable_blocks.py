# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Depthwise-separable blocks of Fast-SCNN and ContextNet.

They differ from those in ``blocks.py`` in that convolutions before a batch normalisation have
no bias, the batch normalisation has PyTorch's constants, and it also stands between the
depthwise and the pointwise part.
"""

from __future__ import annotations

from torch import nn

from segnode.networks.blocks import conv_norm, InvertedResidual


def ds_conv(
    in_channels: int,
    out_channels: int,
    stride: int = 1,
    *,
    activation: type[nn.Module] = nn.ReLU,
    depthwise_activation: type[nn.Module] | None = None,
) -> nn.Sequential:
    """DSConv: depthwise 3x3, by default not activated, and pointwise 1x1; both normalised."""
    return nn.Sequential(
        conv_norm(
            in_channels, in_channels, 3, stride,
            groups=in_channels, activation=depthwise_activation,
        ),
        conv_norm(in_channels, out_channels, activation=activation),
    )


def bottlenecks(
    in_channels: int,
    out_channels: int,
    repeats: int,
    stride: int = 1,
    *,
    expansion: int = 6,
    activation: type[nn.Module] = nn.ReLU,
) -> nn.Sequential:
    """``repeats`` inverted residuals; the first has the stride and changes the channels."""
    def unit(channels: int, step: int, skip: bool) -> InvertedResidual:
        return InvertedResidual(
            channels, out_channels, stride=step, expansion=expansion, skip=skip,
            activation=activation, unit=conv_norm,
        )

    first = unit(in_channels, stride, stride == 1 and in_channels == out_channels)
    return nn.Sequential(first, *(unit(out_channels, 1, True) for _ in range(repeats - 1)))
