# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Strided depthwise convolution whose backward pass is fast on the CPU.

For bfloat16 oneDNN (PyTorch 2.13 on a CPU) has no fast kernel for the gradient of a strided
depthwise convolution's input, nor for that of its weights where these are larger than 3x3; for
float32 it has. These gradients are taken in float32 here, and rounded to bfloat16 at the end.
Forward and backward pass of (8, 192, 128, 160) with 3x3 and stride 2 then take 19 ms instead of
64 on two cores (``python -m benchmark.training_convolutions``).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn, Tensor
import torch.nn.functional as F

from training.layer_classes import change_convolutions, RepairedConv2d


class _StridedDepthwise(torch.autograd.Function):
    """Depthwise convolution without dilation and bias."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, stride: tuple[int, int], padding: tuple[int, int]
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return F.conv2d(x, weight, None, stride, padding, groups=x.shape[1])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,), (x, weight) = grads, ctx.saved_tensors
        wide = torch.promote_types(x.dtype, torch.float32)
        wide_grad, wide_weight = grad.to(wide), weight.to(wide)

        def gradients(
            grad: Tensor, x: Tensor, weight: Tensor, of: tuple[bool, bool, bool]
        ) -> tuple[Tensor, ...]:
            return torch.ops.aten.convolution_backward(
                grad, x, weight, None, ctx.stride, ctx.padding, (1, 1), False, (0, 0), x.shape[1],
                of,
            )

        grad_x = grad_weight = None
        if ctx.needs_input_grad[0]:
            # The values of x play no part in its gradient, only shape and type.
            like_x = torch.empty_like(x, dtype=wide)
            grad_x = gradients(wide_grad, like_x, wide_weight, of=(True, False, False))[0]
            grad_x = grad_x.to(x.dtype)
        if ctx.needs_input_grad[1]:
            tensors = (grad, x, weight)
            if max(weight.shape[2:]) > 3:
                tensors = (wide_grad, x.to(wide), wide_weight)
            grad_weight = gradients(*tensors, of=(False, True, False))[1].to(weight.dtype)
        return grad_x, grad_weight, None, None


class StridedDepthwiseConv2d(RepairedConv2d):
    """An ``nn.Conv2d`` with the same parameters and values, and the fast backward pass."""

    def convolve(self, x: Tensor, weight: Tensor) -> Tensor:
        return _StridedDepthwise.apply(x, weight, self.stride, self.padding)


def speed_up_strided_depthwise(network: nn.Module) -> int:
    """Give every strided depthwise convolution the fast backward pass, in place.

    Parameters, their names and the forward values stay what they are.

    Returns:
        How many convolutions were changed.
    """
    return change_convolutions(network, StridedDepthwiseConv2d, lambda conv: (
        conv.groups == conv.in_channels == conv.out_channels > 1
        and max(conv.kernel_size) > 1
        and max(conv.stride) > 1
        and max(conv.dilation) == 1
        and not isinstance(conv.padding, str)
        and conv.padding_mode == 'zeros'
    ))
