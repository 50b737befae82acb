# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""DF-Seg: backbones found by partial order pruning, with a narrow decoder down to 1/8."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn, Tensor

from segnode.networks.aspect_pooling import AspectPyramid
from segnode.networks.backbones import BasicBlock
from segnode.networks.blocks import conv_norm, init_kaiming, resize

# Channels of the blocks of the stages at 1/8, 1/16 and 1/32; each stage's first block halves.
DF1 = ((64, 64, 64), (128, 128, 128), (256, 256, 256, 512))
DF2 = (
    (64, 64, 128),
    (128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 256),
    (256, 256, 256, 256, 512, 512),
)


class DFNet(nn.Module):
    """DF1 or DF2 without its classifier: basic residual blocks behind two convolutions.

    Args:
        stages: channels of each block of the three stages, ``DF1`` (8,020,128 parameters) or
            ``DF2`` (17,474,208).

    Shape:
        (N, 3, H, W) -> three maps at 1/8, 1/16 and 1/32.

    Reference:
        Li et al., Partial Order Pruning (CVPR 2019).
    """

    def __init__(self, stages: Sequence[Sequence[int]]) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv_norm(3, 32, 3, 2), conv_norm(32, 64, 3, 2))
        channels = 64
        self.channels: tuple[int, ...] = ()
        self.stages = nn.ModuleList()
        for widths in stages:
            blocks = []
            for index, width in enumerate(widths):
                blocks.append(BasicBlock(channels, width, 2 if index == 0 else 1))
                channels = width
            self.stages.append(nn.Sequential(*blocks))
            self.channels += (channels,)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        stage3, stage4, stage5 = self.stages
        c3 = stage3(self.stem(x))
        c4 = stage4(c3)
        return c3, c4, stage5(c4)


class FusionNode(nn.Module):
    """One step of the decoder: the coarser map, projected and enlarged by 2, beside a lateral.

    Args:
        coarse_channels: of the coarser map.
        fine_channels: of the backbone's map.
        width: of the lateral, of the projection and of the output.

    Shape:
        coarse (N, C, H, W), fine (N, D, 2H, 2W) -> (N, width, 2H, 2W).
    """

    def __init__(self, coarse_channels: int, fine_channels: int, width: int) -> None:
        super().__init__()
        self.lateral = conv_norm(fine_channels, width)
        self.project = conv_norm(coarse_channels, width)
        self.fuse = conv_norm(2 * width, width, 3)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        enlarged = resize(self.project(coarse), 2)
        return self.fuse(torch.cat([self.lateral(fine), enlarged], 1))


class DFSeg(nn.Module):
    """A DF backbone, pyramid pooling, two fusion nodes and a score at 1/8.

    Args:
        num_classes: channels of the logits.
        stages: of the backbone, see :class:`DFNet`.
        widths: of the decoder at 1/8, 1/16 and 1/32.

    Shape:
        float (N, 3, H, W), H and W multiples of 32 -> logits (N, num_classes, H/8, W/8), in
        either mode: there is no auxiliary head. The caller enlarges bilinearly.
    """

    output_stride = 8
    size_multiple = 32
    upsampling = 'bilinear'

    def __init__(
        self,
        num_classes: int,
        stages: Sequence[Sequence[int]],
        widths: tuple[int, int, int],
    ) -> None:
        super().__init__()
        self.backbone = DFNet(stages)
        c3, c4, c5 = self.backbone.channels
        bins = (1, 2, 4, 8)
        branches = [conv_norm(c5, 128) for _ in bins]
        w3, w4, w5 = widths
        self.pyramid = nn.Sequential(
            AspectPyramid(branches, bins, align_corners=True),
            conv_norm(c5 + 128 * len(bins), 512, 3),
            conv_norm(512, w5),
        )
        self.node4 = FusionNode(w5, c4, w4)
        self.node3 = FusionNode(w4, c3, w3)
        self.score = conv_norm(w3, num_classes, 3, activation=None)
        init_kaiming(self)

    def forward(self, x: Tensor) -> Tensor:
        c3, c4, c5 = self.backbone(x)
        return self.score(self.node3(self.node4(self.pyramid(c5), c4), c3))


class DF1Seg(DFSeg):
    """DF1-Seg.

    Li, Zhou, Pan, Feng: "Partial Order Pruning: for Best Speed/Accuracy Trade-off in Neural
    Architecture Search" (CVPR 2019). The backbone's depth and widths were searched for accuracy
    under the latency measured on the target device; pyramid pooling and a decoder that is as
    narrow as the number of classes turn it into a segmenter.

    Args:
        num_classes: channels of the logits, and of the parts of the decoder that have as many
            channels as there are classes.

    Shape:
        float (N, 3, H, W), H and W multiples of 32 -> logits (N, num_classes, H/8, W/8), in
        either mode. The caller enlarges bilinearly.

    Published (theirs, not ours), 1024x2048: Cityscapes val 74.1 / test 73.0 mIoU, 106.1 FPS on
    a GTX 1080 Ti with TensorRT 3 (README of their code). 13,107,243 parameters in training and
    in inference.

    Reference:
        architecture: the authors' prototxt (github lixincn2015/Partial-Order-Pruning e136726).
        Its pooling windows are given for 1024x2048 and 1024x1024 only; other sizes get grids of
        1, 2, 4 and 8 rows of about square cells here, the same at those two. Its enlargements
        are bilinear kernels as transposed convolutions; fixed ones here (whether they were
        trained is unsettled). Unsettled too: the loss (no auxiliary head in any source), and the
        decoder's width for other numbers of classes (19 is read as the number of classes).
        Weight decay 1e-4 matters, its README says. Input there: (x - (72, 83, 73)) / 125.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes, DF1, (num_classes, 32, 128))


class DF2Seg1(DFSeg):
    """DF2-Seg1: the deeper backbone DF2 with the narrow decoder.

    Li, Zhou, Pan, Feng: "Partial Order Pruning" (CVPR 2019). See :class:`DF1Seg` for the idea,
    the source and what is unsettled.

    Args:
        num_classes: channels of the logits, and of the decoder at 1/8 and 1/16.

    Shape:
        float (N, 3, H, W), H and W multiples of 32 -> logits (N, num_classes, H/8, W/8).

    Published (theirs, not ours), 1024x2048: Cityscapes val 75.9 / test 74.8 mIoU, 67.2 FPS on a
    GTX 1080 Ti with TensorRT 3 (README of their code). 22,498,216 parameters in training and in
    inference.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes, DF2, (num_classes, num_classes, 32))


class DF2Seg2(DFSeg):
    """DF2-Seg2: the deeper backbone DF2 with a wide decoder.

    Li, Zhou, Pan, Feng: "Partial Order Pruning" (CVPR 2019). See :class:`DF1Seg` for the idea,
    the source and what is unsettled.

    Args:
        num_classes: channels of the logits, and of the decoder at 1/8.

    Shape:
        float (N, 3, H, W), H and W multiples of 32 -> logits (N, num_classes, H/8, W/8).

    Published (theirs, not ours), 1024x2048: Cityscapes val 76.9 / test 75.3 mIoU, 56.3 FPS on a
    GTX 1080 Ti with TensorRT 3 (README of their code). 24,115,147 parameters in training and in
    inference.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes, DF2, (num_classes, 256, 512))
