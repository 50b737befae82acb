# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""PIDNet-S, DDRNet's successor with a third branch for the boundaries."""

from __future__ import annotations

import torch
from torch import nn, Tensor
import torch.nn.functional as F

from segnode.networks.blocks import conv_norm, init_kaiming, norm_relu_conv, resize
from segnode.networks.ddrnet import (
    Bottleneck,
    DualResolutionNet,
    PooledContext,
    residual_stage,
    ResidualBlock,
    segmentation_head,
)


class PixelAttentionFusion(nn.Module):
    """Pag: per pixel, as much of the coarse map as it agrees with the fine one.

    Args:
        channels: of both maps.
        inner: of the space in which their agreement is measured.
        factor: the coarse map is this many times smaller than the fine one.

    Shape:
        fine (N, channels, H, W), coarse (N, channels, H / factor, W / factor)
        -> (N, channels, H, W).
    """

    def __init__(self, channels: int, inner: int, factor: int) -> None:
        super().__init__()
        self.factor = factor
        self.fine = conv_norm(channels, inner, activation=None)
        self.coarse = conv_norm(channels, inner, activation=None)

    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        agreement = self.fine(fine) * resize(self.coarse(coarse), self.factor)
        gate = torch.sigmoid(torch.sum(agreement, dim=1, keepdim=True))
        return (1.0 - gate) * fine + gate * resize(coarse, self.factor)


class ParallelContextModule(PooledContext):
    """PAPPM: DDRNet's context module with its four poolings side by side.

    Shape:
        (N, in_channels, H, W) -> (N, out_channels, H, W).
    """

    def __init__(self, in_channels: int, channels: int, out_channels: int) -> None:
        at_once = norm_relu_conv(4 * channels, 4 * channels, 3, groups=4)
        super().__init__(in_channels, channels, out_channels, at_once)

    def scales(self, x: Tensor) -> list[Tensor]:
        scale0 = self.scale0(x)
        pooled = torch.cat([pooled + scale0 for pooled in self.branches(x)], 1)
        return [scale0, self.process(pooled)]


class BoundaryFusion(nn.Module):
    """Light-Bag: detail near boundaries, context elsewhere.

    Shape:
        detail, context, boundary, each (N, channels, H, W) -> (N, channels, H, W).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.detail = conv_norm(channels, channels, activation=None)
        self.context = conv_norm(channels, channels, activation=None)

    def forward(self, detail: Tensor, context: Tensor, boundary: Tensor) -> Tensor:
        edge = torch.sigmoid(boundary)
        return self.detail((1.0 - edge) * context + detail) + self.context(
            context + edge * detail
        )


class PIDNetS(DualResolutionNet):
    """PIDNet-S.

    Xu, Xiong, Bhattacharyya: "PIDNet: A Real-time Semantic Segmentation Network Inspired by PID
    Controllers" (CVPR 2023, arXiv 2206.02066). To DDRNet's detail (P) and context (I) branches
    comes a boundary branch (D), which says where the sum of the two should trust the detail;
    the detail branch takes from the context branch pixel by pixel, by their agreement.

    Args:
        num_classes: channels of the logits.
        auxiliary: have the two heads that training uses (95,220 parameters).

    Shape:
        float (N, 3, H, W), H and W multiples of 64 -> logits (N, num_classes, H/8, W/8); in
        training mode the tuple (logits, logits of the P branch (N, num_classes, H/8, W/8),
        boundary logit of the D branch (N, 1, H/8, W/8)). The caller enlarges bilinearly. A
        batch that is trained on needs two images at least: batch normalisation follows a
        pooling to 1x1.

    Parameters:
        7,625,715 with 19 classes in inference form, 7,720,935 with the two heads.

    Published (theirs, not ours): Cityscapes val 78.8 / test 78.6 mIoU at 1024x2048 with
    ImageNet pretraining, 93.2 FPS on an RTX 3090 (PyTorch, batch normalisation folded); CamVid
    80.1 at 153.7 FPS (the README of github XuJiacong/PIDNet).

    Reference:
        architecture: the authors' code (github XuJiacong/PIDNet, 4c158cf), whose three outputs
        ours equals bit by bit with equal weights. There both auxiliary heads see rectified
        taps, by an in-place ReLU on a shared tensor; that is what their weights were trained
        with, so it is done here, openly. Their loss: 0.4 cross entropy on the P logits, 1.0 on
        the main logits at hard pixels (probability under 0.9, 131,072 at least), the same again
        where the boundary's probability is above 0.8, and 20 times the class-balanced binary
        cross entropy of the boundary against the dilated Canny edges of the labels; for the
        loss logits are enlarged with align_corners=True. Unsettled: nothing of the
        architecture.
    """

    def __init__(self, num_classes: int, *, auxiliary: bool = True) -> None:
        width = 32
        super().__init__(width)
        self.i3 = residual_stage(2 * width, 4 * width, 3, 2)
        self.i4 = residual_stage(4 * width, 8 * width, 3, 2)
        self.i5 = nn.Sequential(
            Bottleneck(8 * width, 8 * width, 2), Bottleneck(16 * width, 8 * width)
        )
        self.p3 = residual_stage(2 * width, 2 * width, 2)
        self.p4 = residual_stage(2 * width, 2 * width, 2)
        self.p5 = Bottleneck(2 * width, 2 * width)
        self.d3 = ResidualBlock(2 * width, width, activate=False)
        self.d4 = Bottleneck(width, width)
        self.d5 = Bottleneck(2 * width, 2 * width)

        self.i3_to_p = conv_norm(4 * width, 2 * width, activation=None)
        self.i4_to_p = conv_norm(8 * width, 2 * width, activation=None)
        self.pag3 = PixelAttentionFusion(2 * width, width, 2)
        self.pag4 = PixelAttentionFusion(2 * width, width, 4)
        self.i3_to_d = conv_norm(4 * width, width, 3, activation=None)
        self.i4_to_d = conv_norm(8 * width, 2 * width, 3, activation=None)

        self.context = ParallelContextModule(16 * width, 96, 4 * width)
        self.fusion = BoundaryFusion(4 * width)
        self.head = segmentation_head(4 * width, 128, num_classes)
        self.auxiliary = nn.ModuleDict({
            'detail': segmentation_head(2 * width, 128, num_classes),
            'boundary': segmentation_head(2 * width, 32, 1),
        }) if auxiliary else None
        self.auxiliary_kinds = ('classes', 'boundary') if auxiliary else ()
        init_kaiming(self)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        common = self.trunk(x)

        i = F.relu(self.i3(common))
        p = F.relu(self.pag3(self.p3(common), self.i3_to_p(i)))
        d = F.relu(self.d3(common) + resize(self.i3_to_d(i), 2))
        detail_tap = p

        i = F.relu(self.i4(i))
        p = F.relu(self.pag4(self.p4(p), self.i4_to_p(i)))
        d = F.relu(self.d4(d) + resize(self.i4_to_d(i), 4))

        context = resize(self.context(self.i5(i)), 8)
        logits = self.head(self.fusion(self.p5(p), context, self.d5(d)))
        if self.training and self.auxiliary is not None:
            return logits, self.auxiliary['detail'](detail_tap), self.auxiliary['boundary'](d)
        return logits
