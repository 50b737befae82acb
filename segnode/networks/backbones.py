# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""ResNet backbones.

Attribute names are torchvision's (``conv1``, ``bn1``, ``layer1`` ...), so that a file of ImageNet
weights in its layout loads without renaming. Nothing is downloaded.
"""

from __future__ import annotations

from torch import nn, Tensor
import torch.nn.functional as F

from segnode.networks.blocks import conv_norm, init_kaiming, same_conv

# Forms of a ResNet by the letters that Gluon's model zoo gave them and timm keeps (timm/models/
# resnet.py): channels of the deep stem's three convolutions, () being the one 7x7 convolution,
# and whether shortcuts halve by averaging.
VARIANTS: dict[str, tuple[tuple[int, ...], bool]] = {
    'b': ((), False),  # torchvision's
    'c': ((32, 32, 64), False),
    'd': ((32, 32, 64), True),
    's': ((64, 64, 128), False),
}


def _shortcut(
    in_channels: int, out_channels: int, stride: int, average: bool
) -> nn.Sequential | None:
    """Projection of the identity, or None where nothing changes."""
    if stride == 1 and in_channels == out_channels:
        return None
    if not average:
        return conv_norm(in_channels, out_channels, 1, stride, activation=None)
    # Something in front of the convolution even without stride: timm numbers the layers so.
    halve = nn.AvgPool2d(stride) if stride > 1 else nn.Identity()
    return nn.Sequential(halve, *conv_norm(in_channels, out_channels, activation=None))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut.

    Args:
        in_channels: channels of the input.
        width: channels of both convolutions and of the output.
        stride: of the first convolution (and of the shortcut).
        dilation: of both.
        average_shortcut: the shortcut averages over stride x stride pixels instead of striding.

    Shape:
        (N, in_channels, H, W) -> (N, width, H / stride, W / stride).

    Reference:
        He et al., Deep Residual Learning for Image Recognition (CVPR 2016).
    """

    expansion = 1

    def __init__(
        self,
        in_channels: int,
        width: int,
        stride: int = 1,
        *,
        dilation: int = 1,
        average_shortcut: bool = False,
    ) -> None:
        super().__init__()
        self.conv1 = same_conv(in_channels, width, 3, stride, dilation=dilation)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = same_conv(width, width, 3, dilation=dilation)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _shortcut(in_channels, width, stride, average_shortcut)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        out = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(out)) + shortcut)


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolution and a shortcut; the output has ``4 * width`` channels.

    Args:
        in_channels: channels of the input.
        width: channels of the first two convolutions.
        stride: of the block.
        dilation: of the 3x3 convolution.
        stride_in_1x1: the stride is in the first 1x1 convolution, as in the original Caffe
            models, instead of in the 3x3 convolution as in torchvision's.
        average_shortcut: as in :class:`BasicBlock`.

    Shape:
        (N, in_channels, H, W) -> (N, 4 * width, H / stride, W / stride).

    Reference:
        He et al., Deep Residual Learning for Image Recognition (CVPR 2016).
    """

    expansion = 4

    def __init__(
        self,
        in_channels: int,
        width: int,
        stride: int = 1,
        *,
        dilation: int = 1,
        stride_in_1x1: bool = False,
        average_shortcut: bool = False,
    ) -> None:
        super().__init__()
        out_channels = self.expansion * width
        first, second = (stride, 1) if stride_in_1x1 else (1, stride)
        self.conv1 = same_conv(in_channels, width, 1, first)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = same_conv(width, width, 3, second, dilation=dilation)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = same_conv(width, out_channels, 1)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.downsample = _shortcut(in_channels, out_channels, stride, average_shortcut)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        out = F.relu(self.bn1(self.conv1(x)))
        out = F.relu(self.bn2(self.conv2(out)))
        return F.relu(self.bn3(self.conv3(out)) + shortcut)


class ResNet(nn.Module):
    """A ResNet without its classifier.

    Args:
        depth: 18 (basic blocks) or 50 (bottlenecks).
        width: channels of the first stage's convolutions; each next stage has twice as many.
        stem: channels of a deep stem's three 3x3 convolutions, the first with stride 2;
            () is the one 7x7 convolution of the original. (64, 64, 128) is the deep stem of the
            PSPNet family.
        strides: of the four stages.
        dilations: of every 3x3 convolution of the four stages.
        stride_in_1x1: see :class:`Bottleneck`.
        average_shortcut: see :class:`BasicBlock`.

    Shape:
        (N, 3, H, W) -> four maps, after stages 1 to 4; at 1/4, 1/8, 1/16 and 1/32 by default.

    Reference:
        He et al., Deep Residual Learning for Image Recognition (CVPR 2016). Depth 18 has
        11,176,512 parameters.
    """

    def __init__(
        self,
        depth: int,
        *,
        width: int = 64,
        stem: tuple[int, ...] = (),
        strides: tuple[int, int, int, int] = (1, 2, 2, 2),
        dilations: tuple[int, int, int, int] = (1, 1, 1, 1),
        stride_in_1x1: bool = False,
        average_shortcut: bool = False,
    ) -> None:
        super().__init__()
        if depth not in (18, 50):
            raise ValueError(f'a ResNet has a depth of 18 or 50 here, not {depth}')
        if stride_in_1x1 and depth == 18:
            raise ValueError('basic blocks have no 1x1 convolution that could have the stride')
        self.conv1, channels = _stem(stem, width)
        self.bn1 = nn.BatchNorm2d(channels)
        repeats = (2, 2, 2, 2) if depth == 18 else (3, 4, 6, 3)
        self.channels: tuple[int, ...] = ()
        for stage in range(4):
            blocks: list[nn.Module] = []
            for index in range(repeats[stage]):
                stride = strides[stage] if index == 0 else 1
                planes = width * 2**stage
                if depth == 18:
                    blocks.append(
                        BasicBlock(
                            channels, planes, stride,
                            dilation=dilations[stage], average_shortcut=average_shortcut,
                        )
                    )
                    channels = planes
                else:
                    blocks.append(
                        Bottleneck(
                            channels, planes, stride,
                            dilation=dilations[stage], stride_in_1x1=stride_in_1x1,
                            average_shortcut=average_shortcut,
                        )
                    )
                    channels = Bottleneck.expansion * planes
            self.add_module(f'layer{stage + 1}', nn.Sequential(*blocks))
            self.channels += (channels,)
        init_kaiming(self)

    def forward_stem(self, x: Tensor, *, ceil_mode: bool = False) -> Tensor:
        """Return the map that goes into stage 1: (N, 3, H, W) -> (N, C, H / 4, W / 4).

        With ``ceil_mode`` the pooling rounds its size up: (N, C, H / 4 + 1, W / 4 + 1).
        """
        x = F.relu(self.bn1(self.conv1(x)))
        return F.max_pool2d(x, kernel_size=3, stride=2, padding=1, ceil_mode=ceil_mode)

    def stage(self, number: int) -> nn.Sequential:
        """Return stage ``number``, 1 to 4."""
        module = getattr(self, f'layer{number}')
        assert isinstance(module, nn.Sequential)
        return module

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        c2 = self.stage(1)(self.forward_stem(x))
        c3 = self.stage(2)(c2)
        c4 = self.stage(3)(c3)
        return c2, c3, c4, self.stage(4)(c4)


def resnet(depth: int, variant: str = 'b') -> ResNet:
    """Return the ResNet of a depth and a letter of ``VARIANTS``, with its usual strides.

    Raises:
        ValueError: there is no such depth or letter.
    """
    if variant not in VARIANTS:
        raise ValueError(f'a ResNet is of variant {", ".join(VARIANTS)}, not {variant!r}')
    stem, average_shortcut = VARIANTS[variant]
    return ResNet(depth, stem=stem, average_shortcut=average_shortcut)


def _stem(stem: tuple[int, ...], width: int) -> tuple[nn.Module, int]:
    """Return the convolutions before ``bn1``, and how many channels they give."""
    if not stem:
        return same_conv(3, width, 7, 2), width
    if len(stem) != 3:
        raise ValueError(f'a deep stem has three convolutions, not {len(stem)}')
    first, second, third = stem
    layers = nn.Sequential(
        *conv_norm(3, first, 3, 2), *conv_norm(first, second, 3), same_conv(second, third, 3)
    )
    return layers, third
