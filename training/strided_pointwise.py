# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Strided 1x1 convolution of few channels whose backward pass does not write past its memory.

oneDNN's kernel for the weight gradient of such a convolution, in channels-last order and with
fewer input channels than its block (16 with AVX-512, 8 with AVX2), overruns its workspace
(github uxlfoundation/oneDNN issue 6035; PyTorch 2.13 on a CPU): the process dies, or other numbers
are wrong. DFANet has one. A strided 1x1 convolution sees only every s-th pixel: take these first,
and what is left has no stride.
"""

from __future__ import annotations

from torch import nn, Tensor
import torch.nn.functional as F

from training.layer_classes import change_convolutions

BLOCK = 16  # channels, the largest block of oneDNN's kernels


class StridedPointwiseConv2d(nn.Conv2d):
    """An ``nn.Conv2d`` with the same parameters and values, without a stride in the kernel."""

    def forward(self, x: Tensor) -> Tensor:
        down, right = self.stride
        return F.conv2d(x[..., ::down, ::right], self.weight, self.bias)


def repair_strided_pointwise(network: nn.Module) -> int:
    """Let every strided 1x1 convolution of few channels take its pixels first, in place.

    Parameters, their names and the values stay what they are.

    Returns:
        How many convolutions were changed.
    """
    return change_convolutions(network, StridedPointwiseConv2d, lambda conv: (
        conv.kernel_size == (1, 1)
        and max(conv.stride) > 1
        and conv.padding == (0, 0)
        and conv.groups == 1
        and conv.in_channels < BLOCK
    ))
