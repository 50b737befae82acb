# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""ICNet: deep layers on a small image, shallow ones on the large one, fused in a cascade."""

from __future__ import annotations

from torch import nn, Tensor
import torch.nn.functional as F

from segnode.networks.backbones import ResNet
from segnode.networks.blocks import conv_norm, init_kaiming, resize, resize_like
from segnode.networks.pooling import grid_enlarge, grid_pool, PyramidPooling

BINS = (1, 2, 3, 6)


class SummedPyramid(nn.Module):
    """Adds the averages over several grids to the map: (N, C, H, W) -> the same shape."""

    def forward(self, x: Tensor) -> Tensor:
        size = x.shape[2], x.shape[3]
        total = x
        for bins in BINS:
            total = total + grid_enlarge(grid_pool(x, bins), size, True)
        return total


class CascadeFusion(nn.Module):
    """CFF: the coarser map, enlarged and convolved, plus the projected finer one.

    Args:
        coarse_channels: of the coarser map.
        fine_channels: of the finer map.
        channels: of the output.

    Shape:
        coarse (N, C, h, w), fine (N, D, H, W) -> the fused map (N, channels, H, W), and the
        coarse part of the sum, which the auxiliary classifier reads.
    """

    def __init__(self, coarse_channels: int, fine_channels: int, channels: int = 128) -> None:
        super().__init__()
        self.coarse = conv_norm(coarse_channels, channels, 3, dilation=2, activation=None)
        self.fine = conv_norm(fine_channels, channels, activation=None)

    def forward(self, coarse: Tensor, fine: Tensor) -> tuple[Tensor, Tensor]:
        coarse = self.coarse(resize_like(coarse, fine, align_corners=True))
        return F.relu(coarse + self.fine(fine)), coarse


class ICNet(nn.Module):
    """Image Cascade Network, half width: the authors' released net.

    Zhao, Qi, Shen, Shi, Jia: "ICNet for Real-Time Semantic Segmentation on High-Resolution
    Images" (ECCV 2018). A PSPNet's costly layers see the image at a low resolution only, and
    light branches at 1/2 and at full resolution add the detail back, coarse to fine. The halved
    image is made inside; the smallest branch goes on from the middle one's map, as in the
    authors' code.

    Args:
        num_classes: channels of the logits.
        full_width: twice the filters, as in :class:`ICNetFull`.
        classifier_bias: the classifiers have biases (Fast_Seg's have none).
        ceil_mode: as in :class:`ICNetFull`.
        auxiliary: build the two training-only classifiers, on the coarse parts of both fusions.

    Shape:
        float (N, 3, H, W), H and W multiples of 32 -> logits (N, num_classes, H/4, W/4). In
        training mode with ``auxiliary`` a tuple: these, one at 1/8 and one at 1/16. The caller
        enlarges bilinearly. Loss: cross entropy of all three with weights 1, 0.4, 0.4.

    Published (theirs, not ours), half width: Cityscapes val 67.7 / test 69.5 mIoU at 1025x2049,
    about 30 FPS on a Titan X (README of their code). 6,699,987 parameters without the auxiliary
    classifiers (4,902 more with them). "26.5 M" elsewhere is most probably the size of the
    weights in MB.

    Reference:
        architecture: the authors' prototxt (github hszhao/ICNet dd2bf78). Inside, every resize
        has aligned corners, as there; only the last one, to the image's size, is the caller's
        and has not. The pyramid's grids are those of adaptive pooling, exact at any size; the
        prototxt fixes overlapping windows for one size. Unsettled: where the auxiliary
        classifiers sit and whether the authors shrank the labels or enlarged the logits in
        training (here as in github lxtGH/Fast_Seg 7895738), and how they pruned the full net to
        half its filters (not published; here the half net is trained as it is).
    """

    output_stride = 4
    size_multiple = 32
    upsampling = 'bilinear'

    def __init__(
        self,
        num_classes: int,
        *,
        full_width: bool = False,
        classifier_bias: bool = True,
        ceil_mode: bool = False,
        auxiliary: bool = True,
    ) -> None:
        super().__init__()
        self.ceil_mode = ceil_mode
        self.backbone = ResNet(
            50,
            width=64 if full_width else 32,
            stem=(64, 64, 128) if full_width else (32, 32, 64),
            strides=(1, 2, 1, 1),
            dilations=(1, 1, 2, 4),
            stride_in_1x1=not full_width,
        )
        # How many blocks of the second stage run before the tap and the last halving.
        self.blocks_before_tap = 4 if full_width else 1
        _, tap_channels, _, channels = self.backbone.channels
        self.pyramid: nn.Module
        if full_width:
            self.tap: nn.Module = conv_norm(tap_channels, 256)
            branches = [conv_norm(channels, 512, activation=None) for _ in BINS]
            self.pyramid = nn.Sequential(
                PyramidPooling(branches, BINS, align_corners=True),
                conv_norm(channels + 512 * len(BINS), 512, 3),
                nn.Dropout2d(0.1),
                conv_norm(512, 256),
            )
        else:
            self.tap = nn.Identity()
            self.pyramid = nn.Sequential(SummedPyramid(), conv_norm(channels, 256))
        self.detail = nn.Sequential(
            conv_norm(3, 32, 3, 2), conv_norm(32, 32, 3, 2), conv_norm(32, 64, 3, 2)
        )
        self.fuse16 = CascadeFusion(256, 256)
        self.fuse8 = CascadeFusion(128, 64)

        def classifier() -> nn.Conv2d:
            return nn.Conv2d(128, num_classes, 1, bias=classifier_bias)

        self.classifier = classifier()
        self.auxiliary = nn.ModuleList(classifier() for _ in range(2 if auxiliary else 0))
        self.auxiliary_kinds = ('classes',) * len(self.auxiliary)
        init_kaiming(self)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        medium = self.backbone.forward_stem(_halve(x), ceil_mode=self.ceil_mode)
        medium = self.backbone.stage(1)(medium)
        second = list(self.backbone.stage(2).children())
        for block in second[: self.blocks_before_tap]:
            medium = block(medium)
        small = _halve(medium)
        for block in second[self.blocks_before_tap :]:
            small = block(small)
        small = self.backbone.stage(4)(self.backbone.stage(3)(small))
        fused16, coarse16 = self.fuse16(self.pyramid(small), self.tap(medium))
        fused8, coarse8 = self.fuse8(fused16, self.detail(x))
        logits = self.classifier(resize(fused8, 2, align_corners=True))
        if self.training and len(self.auxiliary):
            coarse = (coarse8, coarse16)
            return (logits, *(head(part) for head, part in zip(self.auxiliary, coarse)))
        return logits


class ICNetFull(ICNet):
    """ICNet at full width: a complete ResNet-50 PSPNet as the smallest branch.

    Zhao, Qi, Shen, Shi, Jia: "ICNet for Real-Time Semantic Segmentation on High-Resolution
    Images" (ECCV 2018). The cascade of :class:`ICNet` without its pruning, as in github
    lxtGH/Fast_Seg 7895738, and with that code's differences: the middle branch has the whole
    second stage, and the pyramid concatenates projected averages and ends in a 3x3 convolution.

    Args:
        num_classes: channels of the logits.
        classifier_bias: the classifiers have biases; without them 47,489,184 parameters, as
            Fast_Seg's have.
        ceil_mode: the backbone's max-pooling rounds sizes up, as Fast_Seg's does, so that the
            maps behind it have a row and a column more. Weights need what they were trained with;
            torch2trt does not convert it, ONNX does.
        auxiliary: as in :class:`ICNet`.

    Shape:
        float (N, 3, H, W), H and W multiples of 32 -> logits (N, num_classes, H/4, W/4), and the
        auxiliary ones, as :class:`ICNet`.

    Published (theirs, not ours): Cityscapes val 74.5 mIoU (Fast_Seg's own training; its readme
    states no input size), at about 129 G multiply-adds for 1024x2048: not to be mixed with the
    half net's speed. 47,489,241 parameters with the auxiliary classifiers, 47,484,339 without.

    Reference:
        He's deep-stem ResNet-50, dilated by 2 and 4 in its last stages. Fast_Seg concatenates
        the averages before the map, this after it. But for that the outputs equal Fast_Seg's for
        equal weights, with ``classifier_bias`` off and ``ceil_mode`` on. Unsettled: as
        :class:`ICNet`.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        classifier_bias: bool = True,
        ceil_mode: bool = False,
        auxiliary: bool = True,
    ) -> None:
        super().__init__(
            num_classes,
            full_width=True,
            classifier_bias=classifier_bias,
            ceil_mode=ceil_mode,
            auxiliary=auxiliary,
        )


def _halve(x: Tensor) -> Tensor:
    return resize(x, 0.5, align_corners=True)
