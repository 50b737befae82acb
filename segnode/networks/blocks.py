# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Building blocks that several networks share.

Every block is written so that torch2trt and the ONNX exporters convert it: no in-place
activation, no adaptive pooling, functions called through ``F`` and ``torch`` so that
torch2trt's patching reaches them.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn, Tensor
import torch.nn.functional as F

# Keras' BatchNormalization defaults (epsilon 1e-3, momentum 0.99), in PyTorch's convention.
KERAS_BN_EPS = 1e-3
KERAS_BN_MOMENTUM = 0.01


def keras_batch_norm(channels: int) -> nn.BatchNorm2d:
    """Batch normalisation with Keras' default epsilon and momentum."""
    return nn.BatchNorm2d(channels, eps=KERAS_BN_EPS, momentum=KERAS_BN_MOMENTUM)


def same_conv(
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    stride: int = 1,
    *,
    dilation: int = 1,
    groups: int = 1,
    bias: bool = False,
) -> nn.Conv2d:
    """Convolution with 'same' padding: (N, C, H, W) -> (N, C', H / stride, W / stride)."""
    return nn.Conv2d(
        in_channels,
        out_channels,
        kernel_size,
        stride=stride,
        padding=dilation * (kernel_size // 2),
        dilation=dilation,
        groups=groups,
        bias=bias,
    )


def conv_bn(
    in_channels: int,
    out_channels: int,
    kernel_size: int = 1,
    stride: int = 1,
    *,
    groups: int = 1,
    dilation: int = 1,
    bias: bool = True,
    norm: Callable[[int], nn.BatchNorm2d] = keras_batch_norm,
    activation: type[nn.Module] | None = None,
) -> nn.Sequential:
    """Convolution with 'same' padding, batch normalisation, optional activation.

    The defaults are Keras': a bias though a normalisation follows, and its constants.
    """
    layers: list[nn.Module] = [
        same_conv(
            in_channels, out_channels, kernel_size, stride,
            dilation=dilation, groups=groups, bias=bias,
        ),
        norm(out_channels),
    ]
    if activation is not None:
        layers.append(activation())
    return nn.Sequential(*layers)


def conv_norm(
    in_channels: int,
    out_channels: int,
    kernel_size: int = 1,
    stride: int = 1,
    *,
    dilation: int = 1,
    groups: int = 1,
    activation: type[nn.Module] | None = nn.ReLU,
) -> nn.Sequential:
    """The same in PyTorch's manner: no bias, its batch normalisation, ReLU by default."""
    return conv_bn(
        in_channels, out_channels, kernel_size, stride, groups=groups, dilation=dilation,
        bias=False, norm=nn.BatchNorm2d, activation=activation,
    )


def norm_relu_conv(
    in_channels: int, out_channels: int, kernel_size: int = 1, *, groups: int = 1
) -> nn.Sequential:
    """Batch normalisation, ReLU, convolution without bias: the pre-activated order."""
    return nn.Sequential(
        nn.BatchNorm2d(in_channels),
        nn.ReLU(),
        same_conv(in_channels, out_channels, kernel_size, groups=groups),
    )


def separable_conv(
    in_channels: int,
    out_channels: int,
    kernel_size: int = 3,
    stride: int = 1,
    dilation: int = 1,
) -> nn.Sequential:
    """Depthwise then pointwise convolution with nothing between them.

    Keras' SeparableConv2D: the depthwise part has no bias, the pointwise part has one.
    """
    return nn.Sequential(
        same_conv(
            in_channels, in_channels, kernel_size, stride, dilation=dilation, groups=in_channels
        ),
        nn.Conv2d(in_channels, out_channels, 1),
    )


def separable_conv_bn(
    in_channels: int,
    out_channels: int,
    kernel_size: int = 3,
    stride: int = 1,
    dilation: int = 1,
    activation: type[nn.Module] = nn.SiLU,
) -> nn.Sequential:
    """Separable convolution, batch normalisation, activation (DSConv)."""
    return nn.Sequential(
        separable_conv(in_channels, out_channels, kernel_size, stride, dilation),
        keras_batch_norm(out_channels),
        activation(),
    )


class InvertedResidual(nn.Module):
    """One inverted residual unit: expand 1x1, depthwise 3x3, project 1x1 without activation.

    The expansion is present even for ``expansion=1``, as in the Singha group's networks.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        stride: stride of the depthwise convolution.
        expansion: hidden channels are ``expansion * in_channels``.
        dilation: of the depthwise convolution.
        skip: add the input to the output (needs stride 1 and equal channels).
        activation: after the first two convolutions.
        unit: makes convolution and normalisation: ``conv_bn`` or ``conv_norm``.

    Shape:
        (N, in_channels, H, W) -> (N, out_channels, H / stride, W / stride).

    Reference:
        Sandler et al., MobileNetV2 (CVPR 2018).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        stride: int = 1,
        expansion: int = 6,
        dilation: int = 1,
        skip: bool = False,
        activation: type[nn.Module] = nn.SiLU,
        unit: Callable[..., nn.Sequential] = conv_bn,
    ) -> None:
        super().__init__()
        if skip and (stride != 1 or in_channels != out_channels):
            raise ValueError('skip needs stride 1 and as many input as output channels')
        hidden = expansion * in_channels
        self.skip = skip
        self.expand = unit(in_channels, hidden, activation=activation)
        self.depthwise = unit(
            hidden, hidden, 3, stride, groups=hidden, dilation=dilation, activation=activation
        )
        self.project = unit(hidden, out_channels, activation=None)

    def forward(self, x: Tensor) -> Tensor:
        out = self.project(self.depthwise(self.expand(x)))
        return x + out if self.skip else out


def inverted_residuals(
    in_channels: int,
    out_channels: int,
    repeats: int,
    *,
    stride: int = 1,
    expansion: int = 6,
    dilation: int = 1,
    skips: bool = True,
    activation: type[nn.Module] = nn.SiLU,
) -> nn.Sequential:
    """``repeats`` inverted residuals.

    The first has the stride and the dilation and never a skip; all others have one if ``skips``.
    """
    first = InvertedResidual(
        in_channels, out_channels, stride=stride, expansion=expansion, dilation=dilation,
        activation=activation,
    )
    others = (
        InvertedResidual(
            out_channels, out_channels, expansion=expansion, skip=skips, activation=activation
        )
        for _ in range(repeats - 1)
    )
    return nn.Sequential(first, *others)


class DilatedCascade(nn.Module):
    """A 1x1 reduction and dilated separable convolutions in a chain, all side by side.

    Args:
        channels: of the input and of the output; each part has its share of them.
        dilations: of the chain's convolutions.
        reuse: all but the first take the reduced map as well, added to what the one before gives.

    Shape:
        (N, channels, H, W) -> (N, channels, H, W).
    """

    def __init__(
        self, channels: int, dilations: tuple[int, ...] = (6, 12, 18), *, reuse: bool = False
    ) -> None:
        super().__init__()
        part = channels // (len(dilations) + 1)
        self.reuse = reuse
        self.reduce = conv_bn(channels, part, bias=False, activation=nn.ReLU)
        self.cascade = nn.ModuleList(
            separable_conv_bn(part, part, 3, dilation=d, activation=nn.ReLU) for d in dilations
        )

    def forward(self, x: Tensor) -> Tensor:
        parts = [self.reduce(x)]
        for index, conv in enumerate(self.cascade):
            again = self.reuse and index > 0
            parts.append(conv(parts[0] + parts[-1] if again else parts[-1]))
        return torch.cat(parts, 1)


class FusionNode(nn.Module):
    """Sum of equally sized maps -> SiLU -> separable 3x3 (dilation 2) -> batch norm.

    Args:
        channels: channels of every input and of the output.
        activate: apply the SiLU.

    Shape:
        k tensors (N, channels, H, W) -> (N, channels, H, W).

    Reference:
        the node of FSFFNet, FANet and SCMNet, after EfficientDet's BiFPN node, whose batch
        normalisation constants (epsilon 1e-4, momentum 0.997) it keeps.
    """

    def __init__(self, channels: int, *, activate: bool = True) -> None:
        super().__init__()
        self.activate = activate
        self.conv = separable_conv(channels, channels, 3, dilation=2)
        self.bn = nn.BatchNorm2d(channels, eps=1e-4, momentum=0.003)

    def forward(self, *inputs: Tensor) -> Tensor:
        total = inputs[0]
        for other in inputs[1:]:
            total = total + other
        if self.activate:
            total = F.silu(total)
        return self.bn(self.conv(total))


class ReLU6(nn.Module):
    """min(max(x, 0), 6), by the function that torch2trt converts (nn.ReLU6 calls another)."""

    def forward(self, x: Tensor) -> Tensor:
        return F.relu6(x)


def resize(x: Tensor, factor: float, *, align_corners: bool = False) -> Tensor:
    """Bilinear: (N, C, H, W) -> (N, C, factor * H, factor * W)."""
    return F.interpolate(
        x, scale_factor=float(factor), mode='bilinear', align_corners=align_corners
    )


def resize_like(x: Tensor, other: Tensor, *, align_corners: bool = False) -> Tensor:
    """Bilinear, to the height and width of ``other``."""
    return F.interpolate(
        x, size=(other.shape[2], other.shape[3]), mode='bilinear', align_corners=align_corners
    )


def upsample2(x: Tensor) -> Tensor:
    """Nearest-neighbour enlargement by 2: (N, C, H, W) -> (N, C, 2H, 2W)."""
    return F.interpolate(x, scale_factor=2.0, mode='nearest')


def max_pool2(x: Tensor) -> Tensor:
    """3x3 maximum with stride 2: (N, C, H, W) -> (N, C, H / 2, W / 2) for even sides."""
    return F.max_pool2d(x, kernel_size=3, stride=2, padding=1)


def global_average(x: Tensor) -> Tensor:
    """Mean over the map: (N, C, H, W) -> (N, C, 1, 1)."""
    return torch.mean(x, dim=(2, 3), keepdim=True)


def init_keras(module: nn.Module) -> None:
    """Keras' default initialisation: Glorot uniform kernels, zero biases."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def init_kaiming(module: nn.Module) -> None:
    """Initialise as torchvision's ResNet: Kaiming normal kernels (fan out), zero biases."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode='fan_out', nonlinearity='relu')
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
