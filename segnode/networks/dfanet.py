# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""DFANet A and B."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn, Tensor

from segnode.networks.blocks import conv_norm, global_average, init_kaiming, resize


class ReluSeparable(nn.Sequential):
    """ReLU, depthwise 3x3 and 1x1 convolution, each with batch normalisation behind it.

    Shape:
        (N, in_channels, H, W) -> (N, out_channels, H / stride, W / stride).
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__(
            nn.ReLU(),
            conv_norm(in_channels, in_channels, 3, stride, groups=in_channels, activation=None),
            conv_norm(in_channels, out_channels, activation=None),
        )


class XceptionBlock(nn.Module):
    """Three separable convolutions, the first two at a quarter of the channels, and a shortcut.

    There is no activation behind the sum: the next block begins with one.

    Shape:
        (N, in_channels, H, W) -> (N, out_channels, H / stride, W / stride).
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        middle = out_channels // 4
        self.convs = nn.Sequential(
            ReluSeparable(in_channels, middle),
            ReluSeparable(middle, middle),
            ReluSeparable(middle, out_channels, stride),
        )
        self.shortcut = (
            conv_norm(in_channels, out_channels, 1, stride, activation=None)
            if stride != 1 or in_channels != out_channels
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        identity = x if self.shortcut is None else self.shortcut(x)
        return self.convs(x) + identity


def xception_blocks(in_channels: int, out_channels: int, repeats: int) -> nn.Sequential:
    """``repeats`` blocks, the first with stride 2."""
    blocks = [XceptionBlock(in_channels, out_channels, 2)]
    blocks += [XceptionBlock(out_channels, out_channels) for _ in range(repeats - 1)]
    return nn.Sequential(*blocks)


class FullyConnectedAttention(nn.Module):
    """Scale every channel by a function of the whole map's mean.

    The first layer is the backbone's ImageNet classifier with its 1000 outputs, here as a 1x1
    convolution of the 1x1 map (the same weights).

    Shape:
        (N, channels, H, W) -> (N, channels, H, W). While training, N is at least 2: batch
        normalisation has one value per image here.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc = nn.Conv2d(channels, 1000, 1)
        self.conv = conv_norm(1000, channels)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.conv(self.fc(global_average(x)))


class XceptionStage(nn.Module):
    """One pass of DFANet's backbone: three groups of blocks and the attention.

    Args:
        in_channels: of the three groups' inputs (what other stages give is concatenated).
        channels: of the three groups' outputs.

    Shape:
        x at 1/s, and maps to join at 1/2s and 1/4s -> maps at 1/2s, 1/4s, 1/8s, attended 1/8s.
    """

    REPEATS = (4, 6, 4)

    def __init__(
        self, in_channels: tuple[int, int, int], channels: tuple[int, int, int]
    ) -> None:
        super().__init__()
        self.enc2, self.enc3, self.enc4 = (
            xception_blocks(i, o, n) for i, o, n in zip(in_channels, channels, self.REPEATS)
        )
        self.attention = FullyConnectedAttention(channels[2])

    def forward(
        self, x: Tensor, join3: Tensor | None = None, join4: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        e2 = self.enc2(x)
        e3 = self.enc3(e2 if join3 is None else torch.cat([join3, e2], 1))
        e4 = self.enc4(e3 if join4 is None else torch.cat([join4, e3], 1))
        return e2, e3, e4, self.attention(e4)


class DFANet(nn.Module):
    """Deep Feature Aggregation Network A.

    Li, Xiong, Fan, Sun: "DFANet: Deep Feature Aggregation for Real-Time Semantic Segmentation"
    (CVPR 2019). One light Xception is run three times in a row, each pass on the enlarged
    output of the one before and joined with its maps of equal size; a small decoder
    sums the first maps and the attended last maps of all passes at 1/4.

    Args:
        num_classes: channels of the logits.
        channels: of the three groups of blocks (48, 96, 192 is A).
        decoder_width: channels of the decoder.
        auxiliary: build the two heads that only training uses (672,038 parameters with 19
            classes).

    Shape:
        float (N, 3, H, W), H and W multiples of 64 -> logits (N, num_classes, H/4, W/4), to be
        enlarged bilinearly. In training mode, with ``auxiliary``, a tuple: the logits, and
        auxiliary logits at 1/16 and 1/32.

    Published (theirs, not ours): Cityscapes test 71.3 mIoU with 3.4 G operations, and 70.3 with
    1.7 G and 160 frames/s on a Titan X, on a smaller image (the paper's abstract, which states
    neither size; this network has 3.7 G multiply-adds at 1024x1024 and 1.8 G at 512x1024). No
    re-implementation reaches these.

    Reference:
        no code of the authors is public; built after Fast_Seg (github lxtGH/Fast_Seg 7895738),
        the re-implementation closest to the paper's multiply-adds. 1,831,051 parameters without
        the auxiliary heads (the inference graph). Unsettled: form of the attention (a 1000-way
        layer, then a 1x1 convolution with batch normalisation and ReLU, no sigmoid), repeats
        4/6/4, stride in the third separable convolution, decoder width 32; enlargement is
        bilinear without aligned corners (Fast_Seg aligns them); the auxiliary heads are put
        before the enlargement instead of behind it, 16 times cheaper. Not as there, but so that
        it learns: random weights start plainly, see ``_start_plainly``.
    """

    output_stride = 4
    size_multiple = 64
    upsampling = 'bilinear'

    def __init__(
        self,
        num_classes: int,
        *,
        channels: tuple[int, int, int] = (48, 96, 192),
        decoder_width: int = 32,
        auxiliary: bool = True,
    ) -> None:
        super().__init__()
        c2, c3, c4 = channels
        later = (c2 + c4, c3 + c2, c4 + c3)
        self.stem = conv_norm(3, 8, 3, 2)
        self.stage1 = XceptionStage((8, c2, c3), (c2, c3, c4))
        self.stage2 = XceptionStage(later, (c2, c3, c4))
        self.stage3 = XceptionStage(later, (c2, c3, c4))
        self.shallow = nn.ModuleList(conv_norm(c2, decoder_width) for _ in range(3))
        self.deep = nn.ModuleList(conv_norm(c4, decoder_width) for _ in range(3))
        self.fuse = conv_norm(decoder_width, decoder_width)
        self.classifier = nn.Conv2d(decoder_width, num_classes, 1)
        self.auxiliary = nn.ModuleList(
            _auxiliary_head(c4, num_classes) for _ in range(2 if auxiliary else 0)
        )
        self.auxiliary_kinds = ('classes',) * len(self.auxiliary)
        init_kaiming(self)
        _start_plainly(self)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        e2a, e3a, e4a, deep_a = self.stage1(self.stem(x))
        joined = torch.cat([e2a, resize(deep_a, 4)], 1)
        e2b, e3b, e4b, deep_b = self.stage2(joined, e3a, e4a)
        joined = torch.cat([e2b, resize(deep_b, 4)], 1)
        e2c, _, _, deep_c = self.stage3(joined, e3b, e4b)

        shallow, deep = self.shallow, self.deep
        out = shallow[0](e2a) + resize(shallow[1](e2b), 2) + resize(shallow[2](e2c), 4)
        out = self.fuse(out) + resize(deep[0](deep_a), 4)
        out = out + resize(deep[1](deep_b), 8) + resize(deep[2](deep_c), 16)
        logits = self.classifier(out)
        if self.training and len(self.auxiliary) > 0:
            return logits, self.auxiliary[0](deep_a), self.auxiliary[1](deep_b)
        return logits


class DFANetB(DFANet):
    """DFANet B: A with fewer channels (32, 64, 128).

    Li, Xiong, Fan, Sun: "DFANet: Deep Feature Aggregation for Real-Time Semantic Segmentation"
    (CVPR 2019). See :class:`DFANet` for the idea, the arguments and what is unsettled.

    Shape:
        float (N, 3, H, W), H and W multiples of 64 -> logits (N, num_classes, H/4, W/4), and the
        auxiliary ones, as :class:`DFANet`.

    Published: no figure is quoted here, none was at hand at its source. 1,099,883 parameters with
    19 classes without the auxiliary heads.
    """

    def __init__(
        self, num_classes: int, *, decoder_width: int = 32, auxiliary: bool = True
    ) -> None:
        super().__init__(
            num_classes,
            channels=(32, 64, 128),
            decoder_width=decoder_width,
            auxiliary=auxiliary,
        )


def _start_plainly(network: nn.Module) -> None:
    """Let training begin with shortcuts alone, attention at one and logits near zero.

    With Kaiming's initialisation alone DFANet B has 20.7 % mean IoU on CamVid after five of 70
    epochs (and 43.9 after all); with logits near zero 21.3, with attention at one 24.1, with the
    blocks as shortcuts besides 36.5. An attention that begins anywhere is noise: batch
    normalisation enlarges what little the means of a few images differ by to deviation 1, and
    the ReLU then takes half of the channels away.

    Reference:
        Goyal et al.: "Accurate, Large Minibatch SGD" (arXiv 1706.02677), section 5.1, for the
        scale of zero behind the last convolution of a block. The rest is ours.
    """
    for module in network.modules():
        if isinstance(module, XceptionBlock):
            separable: Any = module.convs[-1]
            nn.init.zeros_(separable[-1][1].weight)
        elif isinstance(module, FullyConnectedAttention):
            norm: Any = module.conv[1]
            nn.init.zeros_(norm.weight)
            nn.init.ones_(norm.bias)
        elif isinstance(module, DFANet):
            heads: Any = module.auxiliary
            for last in (module.classifier, *(head[-1] for head in heads)):
                nn.init.normal_(last.weight, std=0.01)


def _auxiliary_head(channels: int, num_classes: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, channels, 3, padding=1),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        nn.Dropout2d(0.1),
        nn.Conv2d(channels, num_classes, 1),
    )
