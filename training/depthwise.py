# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Dilated depthwise convolution whose backward pass is right and fast on the CPU.

PyTorch 2.13's CPU kernel for the weight gradient of a dilated depthwise convolution in
bfloat16 is both wrong (relative error above 1 on random data; float32 is right) and slow. With
dilation d, an image falls apart into d x d phases that never mix, each an undilated problem
whose kernels are right: move the phases into the batch, and the gradient is exact.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn, Tensor
import torch.nn.functional as F

from training.layer_classes import change_convolutions, RepairedConv2d


def space_to_batch(x: Tensor, d: int) -> Tensor:
    """(N, C, H, W) -> (d² N, C, H/d, W/d), channels-last; H and W multiples of d."""
    n, c, h, w = x.shape
    phases = x.permute(0, 2, 3, 1).reshape(n, h // d, d, w // d, d, c)
    phases = phases.permute(2, 4, 0, 1, 3, 5).reshape(d * d * n, h // d, w // d, c)
    return phases.permute(0, 3, 1, 2)


def batch_to_space(x: Tensor, d: int) -> Tensor:
    """The inverse of :func:`space_to_batch`."""
    n, c, h, w = x.shape
    image = x.permute(0, 2, 3, 1).reshape(d, d, n // (d * d), h, w, c)
    image = image.permute(2, 3, 0, 4, 1, 5).reshape(n // (d * d), h * d, w * d, c)
    return image.permute(0, 3, 1, 2)


class _DilatedDepthwise(torch.autograd.Function):
    """3x3 depthwise convolution, stride 1, padding = dilation, no bias."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, dilation: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.dilation = dilation
        return F.conv2d(
            x, weight, None, stride=1, padding=dilation, dilation=dilation, groups=x.shape[1]
        )

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        (grad,), d = grads, ctx.dilation
        even = x.shape[2] % d == 0 and x.shape[3] % d == 0
        if even:
            grad_x, grad_weight = _backward(space_to_batch(grad, d), space_to_batch(x, d), weight)
            return batch_to_space(grad_x, d), grad_weight, None
        # Maps that d does not divide are the small deep ones: float32 costs nothing there.
        grad_x, grad_weight = _backward(grad.float(), x.float(), weight.float(), d)
        return grad_x.to(x.dtype), grad_weight.to(weight.dtype), None


def _backward(grad: Tensor, x: Tensor, weight: Tensor, d: int = 1) -> tuple[Tensor, Tensor]:
    grad_x, grad_weight, _ = torch.ops.aten.convolution_backward(
        grad, x, weight, None, (1, 1), (d, d), (d, d), False, (0, 0), x.shape[1],
        (True, True, False),
    )
    return grad_x, grad_weight


class DilatedDepthwiseConv2d(RepairedConv2d):
    """An ``nn.Conv2d`` with the same parameters and values, and the repaired backward pass."""

    def convolve(self, x: Tensor, weight: Tensor) -> Tensor:
        return _DilatedDepthwise.apply(x, weight, self.dilation[0])


def repair_dilated_depthwise(network: nn.Module) -> int:
    """Give every dilated depthwise 3x3 convolution the repaired backward pass, in place.

    Parameters, their names and the forward values stay what they are.

    Returns:
        How many convolutions were changed.
    """
    return change_convolutions(network, DilatedDepthwiseConv2d, lambda conv: (
        conv.groups == conv.in_channels == conv.out_channels > 1
        and conv.kernel_size == (3, 3)
        and conv.stride == (1, 1)
        and conv.dilation[0] == conv.dilation[1] > 1
        and conv.padding == conv.dilation
    ))
