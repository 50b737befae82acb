# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""BiSeNet: a spatial path for detail, a context path for the receptive field."""

from __future__ import annotations

import torch
from torch import nn, Tensor

from segnode.networks.backbones import resnet
from segnode.networks.blocks import conv_norm, global_average, init_kaiming, resize, upsample2


class AttentionRefinement(nn.Module):
    """ARM: 3x3 convolution, scaled by one gate per channel: (N, in, H, W) -> (N, out, H, W)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = conv_norm(in_channels, out_channels, 3)
        self.gate = conv_norm(out_channels, out_channels, activation=None)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return x * torch.sigmoid(self.gate(global_average(x)))


class ContextPath(nn.Module):
    """ResNet-18, its two deepest maps refined and brought back up to 1/8.

    Args:
        channels: of the outputs.
        nearest: enlarge by nearest neighbour instead of bilinearly.
        resnet_variant: form of the ResNet-18, see ``backbones.VARIANTS``.

    Shape:
        (N, 3, H, W) -> (N, channels, H / 8, W / 8), (N, channels, H / 16, W / 16).
    """

    def __init__(self, channels: int, *, nearest: bool, resnet_variant: str = 'b') -> None:
        super().__init__()
        self.nearest = nearest
        self.backbone = resnet(18, resnet_variant)
        self.pooled = conv_norm(512, channels)
        self.refine16 = AttentionRefinement(256, channels)
        self.refine32 = AttentionRefinement(512, channels)
        self.up32 = conv_norm(channels, channels, 3)
        self.up16 = conv_norm(channels, channels, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        _, _, c16, c32 = self.backbone(x)
        y32 = self.refine32(c32) + self.pooled(global_average(c32))
        y16 = self.up32(self._enlarge(y32))
        return self.up16(self._enlarge(self.refine16(c16) + y16)), y16

    def _enlarge(self, x: Tensor) -> Tensor:
        return upsample2(x) if self.nearest else resize(x, 2)


class FeatureFusion(nn.Module):
    """FFM: concatenation, 1x1 convolution, and a gate per channel beside the identity.

    Args:
        in_channels: of both maps together.
        channels: of the output.
        reduction: the gate's hidden layer has ``channels / reduction`` channels; None is a gate
            of one layer with batch normalisation.

    Shape:
        two maps of one size -> (N, channels, H, W).
    """

    def __init__(self, in_channels: int, channels: int, reduction: int | None) -> None:
        super().__init__()
        self.mix = conv_norm(in_channels, channels)
        if reduction is None:
            self.gate = conv_norm(channels, channels, activation=None)
        else:
            hidden = channels // reduction
            self.gate = nn.Sequential(
                nn.Conv2d(channels, hidden, 1, bias=False),
                nn.ReLU(),
                nn.Conv2d(hidden, channels, 1, bias=False),
            )

    def forward(self, spatial: Tensor, context: Tensor) -> Tensor:
        x = self.mix(torch.cat([spatial, context], 1))
        return x + x * torch.sigmoid(self.gate(global_average(x)))


def _head(in_channels: int, width: int, num_classes: int) -> nn.Sequential:
    return nn.Sequential(conv_norm(in_channels, width, 3), nn.Conv2d(width, num_classes, 1))


class BiSeNet(nn.Module):
    """BiSeNet with a ResNet-18 context path.

    Yu, Wang, Peng, Gao, Yu, Sang: "BiSeNet: Bilateral Segmentation Network for Real-time
    Semantic Segmentation" (ECCV 2018). Three strided convolutions keep the image's detail at
    1/8, while a backbone with a globally pooled tail provides the receptive field; attention
    refines the latter's maps, and a gated module fuses both paths.

    Args:
        num_classes: channels of the logits.
        head_width: channels inside the main head: 256 (CoinCheung's) or 64 (the authors' way,
            12,894,163 parameters).
        reduction: of the fusion module's gate, 1 or 4; None is CoinCheung's newest gate, one
            layer with batch normalisation (13,275,539 parameters).
        nearest: enlarge inside the context path by nearest neighbour, as CoinCheung does.
        auxiliary: build the two training-only heads, on the context path at 1/8 and 1/16.
        resnet_variant: form of the ResNet-18, see ``backbones.VARIANTS``; Fast_Seg's is s.

    Shape:
        float (N, 3, H, W), H and W multiples of 32 -> logits (N, num_classes, H/8, W/8). In
        training mode with ``auxiliary`` a tuple: these, one at 1/8 and one at 1/16. The caller
        enlarges bilinearly. The loss is the sum of all three, each with weight 1.

    Published (theirs, not ours): Cityscapes val 74.8 / test 74.7 mIoU (ResNet-18, quoted from
    the table of zh320/realtime-semantic-segmentation-pytorch, which states no input size); 75.44
    val for CoinCheung's implementation, which this follows (its README); 13.4 M parameters and
    119 G multiply-adds at 1024x2048 (FCHarDNet's table). 13,340,563 parameters are counted
    without the auxiliary heads. "49.0 M" elsewhere is most probably the size of the weights in
    MB.

    Reference:
        architecture: github CoinCheung/BiSeNet 6b4b67a and lxtGH/Fast_Seg 7895738. Unsettled:
        the head's width, the gate's reduction (1 in Fast_Seg, 4 in CoinCheung's older code), the
        attention modules' leading 3x3 convolution (here as in both codes), nearest or bilinear
        enlargement inside. With ``reduction=None`` and ``nearest=True`` the outputs equal those
        of CoinCheung's code for equal weights.
    """

    output_stride = 8
    size_multiple = 32
    upsampling = 'bilinear'

    def __init__(
        self,
        num_classes: int,
        *,
        head_width: int = 256,
        reduction: int | None = 1,
        nearest: bool = False,
        auxiliary: bool = True,
        resnet_variant: str = 'b',
    ) -> None:
        super().__init__()
        self.spatial = nn.Sequential(
            conv_norm(3, 64, 7, 2),
            conv_norm(64, 64, 3, 2),
            conv_norm(64, 64, 3, 2),
            conv_norm(64, 128),
        )
        self.context = ContextPath(128, nearest=nearest, resnet_variant=resnet_variant)
        self.fusion = FeatureFusion(128 + 128, 256, reduction)
        self.head = _head(256, head_width, num_classes)
        self.auxiliary = nn.ModuleList(
            _head(128, 64, num_classes) for _ in range(2 if auxiliary else 0)
        )
        self.auxiliary_kinds = ('classes',) * len(self.auxiliary)
        init_kaiming(self)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        context, context16 = self.context(x)
        logits = self.head(self.fusion(self.spatial(x), context))
        if self.training and len(self.auxiliary):
            taps = (context, context16)
            return (logits, *(head(tap) for head, tap in zip(self.auxiliary, taps)))
        return logits
