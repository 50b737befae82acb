# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""ContextNet: a deep branch on a small image and a shallow branch on the whole one."""

from __future__ import annotations

from torch import nn, Tensor

from segnode.networks.blocks import conv_norm, ReLU6, resize
from segnode.networks.separable_blocks import bottlenecks, ds_conv


class ContextNet(nn.Module):
    """ContextNet, by default the published cn14.

    Poudel, Bonde, Liwicki, Zach: "ContextNet: Exploring Context and Detail for Semantic
    Segmentation in Real-time" (BMVC 2018, arXiv 1805.04554). A deep branch of inverted residuals
    sees the image at a quarter of its size and gives context, a shallow one of four layers sees
    all of it and gives detail; their sum is classified.

    Args:
        num_classes: channels of the logits.
        shrink: the deep branch sees the image at 1/shrink: 4 is cn14, 2 is cn12, 8 is cn18. The
            small image is made inside, bilinearly.
        last: last convolution of the deep branch: 'separable' (depthwise-separable 3x3),
            'pointwise' (1x1) or 'dense' (3x3, as in the open implementations, which is 16 % more
            than the published count).
        relu6: ReLU6 everywhere, as the authors say of ContextNet in the Fast-SCNN paper; False:
            ReLU, as in the open implementations.
        dropout: probability of the dropout before the classifier.

    Shape:
        float (N, 3, H, W), H and W multiples of 8 * shrink -> logits (N, num_classes, H/8, W/8),
        to be enlarged bilinearly.

    Parameters at 19 classes: 858,259 ('pointwise' 856,851, 'dense' 987,923).

    Published (theirs, not ours): Cityscapes test 66.1 mIoU at 1024x2048, 18.3 fps there, 41.9
    with the branches pipelined (the paper's abstract); val 65.9, 0.85 M parameters (the paper's,
    in the table of zh320/realtime-semantic-segmentation-pytorch).

    Reference:
        architecture: the paper through two independent open implementations. Unsettled:
        ``last``, of which the separable 3x3 agrees both with their kernel and with the published
        count, and ``dropout``. The network compression of the abstract is no part of this. No
        auxiliary head: no source that was read has one.
    """

    output_stride = 8
    size_multiple = 32
    upsampling = 'bilinear'

    def __init__(
        self,
        num_classes: int,
        *,
        shrink: int = 4,
        last: str = 'separable',
        relu6: bool = True,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if shrink not in (2, 4, 8):
            raise ValueError('shrink is 2, 4 or 8')
        if last not in ('separable', 'pointwise', 'dense'):
            raise ValueError("last is 'separable', 'pointwise' or 'dense'")
        act: type[nn.Module] = ReLU6 if relu6 else nn.ReLU
        width = 128
        self.shrink = shrink
        self.size_multiple = 8 * shrink
        self.deep = nn.Sequential(
            conv_norm(3, 32, 3, 2, activation=act),
            bottlenecks(32, 32, 1, expansion=1, activation=act),
            bottlenecks(32, 32, 1, activation=act),
            bottlenecks(32, 48, 3, 2, activation=act),
            bottlenecks(48, 64, 3, 2, activation=act),
            bottlenecks(64, 96, 2, activation=act),
            bottlenecks(96, width, 2, activation=act),
            ds_conv(width, width, activation=act) if last == 'separable'
            else conv_norm(width, width, 1 if last == 'pointwise' else 3, activation=act),
        )
        self.shallow = nn.Sequential(
            conv_norm(3, 32, 3, 2, activation=act),
            ds_conv(32, 64, 2, activation=act),
            ds_conv(64, width, 2, activation=act),
            ds_conv(width, width, activation=act),
        )
        self.from_deep = nn.Sequential(
            conv_norm(width, width, 3, groups=width, dilation=4, activation=act),
            conv_norm(width, width, activation=None),
        )
        self.from_shallow = conv_norm(width, width, activation=None)
        self.classifier = nn.Sequential(
            act(), nn.Dropout(dropout), nn.Conv2d(width, num_classes, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        deep = self.deep(resize(x, 1.0 / self.shrink))
        detail = self.from_shallow(self.shallow(x))
        return self.classifier(detail + self.from_deep(resize(deep, self.shrink)))
