# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Dilated convolution of an odd number of channels whose backward pass stays in its memory.

PyTorch 2.13's CPU kernel for the weight gradient of a dilated convolution in bfloat16 and
channels-last order reads behind its input where the input channels are more than 16 and no
multiple of 16: the gradient is wrong or NaN, or the process dies (24 channels, dilation 4, 48x64:
NaN; 131 channels: relative error 0.2; NCHW order: 0.003, as rounding has it). In groups the
channels of each count. ESPNet's pyramids have 25 channels. On a CPU the weight gradient alone is
taken in NCHW order here.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn, Tensor
import torch.nn.functional as F

from training.layer_classes import change_convolutions, RepairedConv2d

BLOCK = 16  # channels that the kernel takes at a time


class _Dilated(torch.autograd.Function):
    """Convolution with stride 1 and no bias."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, padding: tuple[int, int], dilation: tuple[int, int],
        groups: int,
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.padding, ctx.dilation, ctx.groups = padding, dilation, groups
        return F.conv2d(x, weight, None, padding=padding, dilation=dilation, groups=groups)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,), (x, weight) = grads, ctx.saved_tensors

        def gradients(*tensors: Tensor, of: tuple[bool, bool, bool]) -> tuple[Tensor, ...]:
            return torch.ops.aten.convolution_backward(
                *tensors, None, (1, 1), ctx.padding, ctx.dilation, False, (0, 0), ctx.groups, of
            )

        grad_x = grad_weight = None
        if ctx.needs_input_grad[0]:
            grad_x = gradients(grad, x, weight, of=(True, False, False))[0]
        if ctx.needs_input_grad[1]:
            planar = (tensor.contiguous() for tensor in (grad, x, weight))
            grad_weight = gradients(*planar, of=(False, True, False))[1]
        return grad_x, grad_weight, None, None, None


class DilatedConv2d(RepairedConv2d):
    """An ``nn.Conv2d`` with the same parameters and values, and the repaired backward pass."""

    def convolve(self, x: Tensor, weight: Tensor) -> Tensor:
        return _Dilated.apply(x, weight, self.padding, self.dilation, self.groups)


def repair_dilated(network: nn.Module) -> int:
    """Give the dilated convolutions that need it the repaired backward pass, in place.

    Parameters, their names and the forward values stay what they are.

    Returns:
        How many convolutions were changed.
    """
    return change_convolutions(network, DilatedConv2d, lambda conv: (
        conv.groups < max(conv.in_channels, 2)  # depthwise: see training/depthwise.py
        and conv.stride == (1, 1)
        and max(conv.dilation) > 1
        and max(conv.kernel_size) > 1
        and not isinstance(conv.padding, str)
        and conv.padding_mode == 'zeros'
        and conv.in_channels > BLOCK
        and conv.in_channels // conv.groups % BLOCK != 0
    ))
