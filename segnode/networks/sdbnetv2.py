# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""SDBNetV2, a later and stronger network of FSFFNet's authors."""

from __future__ import annotations

import functools

import numpy as np
import torch
from torch import fx, nn, Tensor
import torch.nn.functional as F

from segnode.networks.blocks import (
    conv_bn,
    DilatedCascade,
    init_keras,
    resize,
    separable_conv_bn,
    upsample2,
)
from segnode.networks.pooling import weigh


def window_mean(x: Tensor, window: int) -> Tensor:
    """Mean over a window around every pixel, of the pixels inside the map alone.

    An even window reaches one pixel further down and right, as TensorFlow's 'SAME'. Done as two
    products with constant matrices: exact at any size, far cheaper than a pooling of thousands
    of taps, and converters have it.

    Shape:
        (N, C, H, W) -> (N, C, H, W).
    """
    rows = window_matrix(x.shape[2], window, x)
    columns = window_matrix(x.shape[3], window, x)
    return weigh(rows, x, columns)


@fx.wrap  # and made by torch.tensor in every call: see pooling.py
def window_matrix(size: int, window: int, like: Tensor) -> Tensor:
    """Return the (1, 1, size, size) matrix of the means, as ``like`` in device and type."""
    return torch.tensor(_window(int(size), window), dtype=like.dtype, device=like.device)


@functools.cache
def _window(size: int, window: int) -> np.ndarray:
    before = (window - 1) // 2
    matrix = np.zeros((1, 1, size, size))
    for centre in range(size):
        first = max(centre - before, 0)
        end = min(centre - before + window, size)
        matrix[..., centre, first:end] = 1.0 / (end - first)
    return matrix


class ShallowBlock(nn.Module):
    """A wide separable path and a plain strided convolution, summed.

    Shape:
        (N, in_channels, H, W) -> (N, out_channels, H / 2, W / 2).
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.wide = nn.Sequential(
            separable_conv_bn(in_channels, out_channels, 5, 2),
            separable_conv_bn(out_channels, out_channels, 3),
        )
        self.plain = conv_bn(in_channels, out_channels, 3, 2, activation=nn.SiLU)

    def forward(self, x: Tensor) -> Tensor:
        return self.wide(x) + self.plain(x)


def bottleneck_unit(
    in_channels: int, hidden: int, out_channels: int, stride: int = 1
) -> nn.Sequential:
    """Expand 1x1 (SiLU), depthwise 3x3 (ReLU), project 1x1 without activation or skip."""
    return nn.Sequential(
        conv_bn(in_channels, hidden, activation=nn.SiLU),
        conv_bn(hidden, hidden, 3, stride, groups=hidden, activation=nn.ReLU),
        conv_bn(hidden, out_channels),
    )


class ShortTermDenseBottleneck(nn.Module):
    """Three bottleneck units in a chain; the first and the last are summed.

    With stride 2 the first unit halves the map, the second halves it again for a wider view and
    is enlarged bilinearly; with stride 1 the input is added as well.

    Shape:
        (N, in_channels, H, W) -> (N, channels, H / stride, W / stride).
    """

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.unit1 = bottleneck_unit(in_channels, 2 * channels, channels, stride)
        self.unit2 = bottleneck_unit(channels, 3 * channels, channels, stride)
        self.unit3 = bottleneck_unit(channels, 4 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        near = self.unit1(x)
        wide = self.unit2(near)
        if self.stride > 1:
            wide = resize(wide, self.stride)
        out = near + self.unit3(wide)
        return out if self.stride > 1 else out + x


class DenseRefinement(DilatedCascade):
    """Dilated separable convolutions one after the other, all concatenated, plus the input.

    Shape:
        (N, channels, H, W) -> (N, channels, H, W).
    """

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(super().forward(x) + x)


class AttentionFusion(nn.Module):
    """Three maps fused, then weighted by what a wide window around each pixel holds.

    Args:
        channels: of every input and of the output.
        window: side of that window in pixels of the map. The authors' file passes the number of
            channels, 64, as the window.

    Shape:
        three maps (N, channels, H, W) -> (N, channels, H, W).
    """

    def __init__(self, channels: int, window: int = 64) -> None:
        super().__init__()
        self.window = window
        self.inputs = nn.ModuleList(
            nn.Sequential(nn.Conv2d(channels, channels, 1), nn.ReLU()) for _ in range(3)
        )
        self.fuse = separable_conv_bn(3 * channels, channels, 1)
        self.attention = nn.Conv2d(channels, channels, 1)

    def forward(self, deep: Tensor, lateral: Tensor, shallow: Tensor) -> Tensor:
        maps = [conv(x) for conv, x in zip(self.inputs, (deep, lateral, shallow))]
        fused = self.fuse(torch.cat(maps, 1))
        attention = torch.sigmoid(self.attention(window_mean(fused, self.window)))
        return attention * fused + fused


class SDBNetV2(nn.Module):
    """SDBNetV2.

    Singha, Pham, Krishna: "SDBNetV2: Short-term Dense Bottleneck Network for Real-time Semantic
    Segmentation" (Computer Vision and Image Understanding, 2023). A shallow branch of few wide
    layers and a deep branch of short-term dense bottlenecks run side by side and are summed at
    every level; refined by cascaded dilations, the levels are fused upwards twice with an
    attention that looks at a wide window.

    Args:
        num_classes: channels of the logits.
        dropout: probability of the dropout on the logits (0.35 in the authors' notebook).
        window: see :class:`AttentionFusion`.

    Shape:
        float (N, 3, H, W), H and W multiples of 64 -> logits (N, num_classes, H/8, W/8), with no
        auxiliary output. The caller enlarges bilinearly (align_corners=False).

    Parameters:
        1,503,059 with 19 classes (1,530,643 with batch-norm statistics), the totals that the
        authors' notebook prints.

    Published (theirs, not ours): Cityscapes test 72.4 mIoU at 1024x2048, BDD100K val 57.0 at
    768x1280, KITTI test 56.8 at 384x1280, CamVid test 75.0 at 640x896 (pretrained on
    Cityscapes); 1.5 M parameters, 44.4 GFLOPs at 1024x2048 in TensorFlow's counting: two for a
    multiply-add, and the additions of poolings (the README of github tanmaysingha/SDBNetV2).

    Reference:
        architecture: the authors' notebook (github tanmaysingha/SDBNetV2, e6d9940,
        models/SDBNetV2.ipynb). Differences: it pads strided convolutions below and right only
        and enlarges the classes' probabilities, where we pad on both sides and logits are
        enlarged. Unsettled: the window of the attention, which there is the number of channels
        (perhaps an oversight; kept), and whether the published figures have it.
    """

    output_stride = 8
    size_multiple = 64
    upsampling = 'bilinear'

    def __init__(self, num_classes: int, *, dropout: float = 0.35, window: int = 64) -> None:
        super().__init__()
        width = 64
        levels = (48, 64, 96, 128)
        self.stem = nn.Sequential(
            conv_bn(3, 32, 7, 2, activation=nn.SiLU), separable_conv_bn(32, levels[0], 5, 2)
        )
        steps = list(zip(levels, levels[1:]))
        self.shallow = nn.ModuleList(ShallowBlock(before, after) for before, after in steps)
        self.deep = nn.ModuleList(
            nn.Sequential(
                ShortTermDenseBottleneck(before, after, 2),
                ShortTermDenseBottleneck(after, after, 1),
            )
            for before, after in steps
        )
        self.refine = nn.ModuleList(
            nn.Sequential(conv_bn(channels, width), DenseRefinement(width))
            for channels in levels[1:]
        )
        self.lateral = nn.ModuleList(conv_bn(channels, width) for channels in levels[1:3])
        self.fusion = nn.ModuleList(AttentionFusion(width, window) for _ in range(2))
        self.classifier = nn.Sequential(
            separable_conv_bn(width, 64, 3),
            separable_conv_bn(64, 48, 3),
            nn.Conv2d(48, num_classes, 1),
            nn.Dropout(dropout),
        )
        init_keras(self)

    def forward(self, x: Tensor) -> Tensor:
        shallow = deep = self.stem(x)
        laterals, refined = [], []
        for shallow_block, deep_block, refine in zip(self.shallow, self.deep, self.refine):
            shallow = shallow_block(shallow)
            deep = deep_block(deep) + shallow
            laterals.append(shallow)
            refined.append(refine(deep))
        out = refined[2]
        for level in (1, 0):
            lateral = self.lateral[level](laterals[level])
            out = self.fusion[level](upsample2(out), refined[level], lateral)
        return self.classifier(out)
