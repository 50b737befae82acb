# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Layers of a made network that compute the same in another way."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import nn, Tensor


class RepairedConv2d(nn.Conv2d, ABC):
    """An ``nn.Conv2d`` with the same parameters and values, convolved in another way on a CPU."""

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != 'cpu':
            return super().forward(x)
        weight = self.weight
        if torch.is_autocast_enabled(x.device.type):
            kind = torch.get_autocast_dtype(x.device.type)
            x, weight = x.to(kind), weight.to(kind)
        out = self.convolve(x, weight)
        if self.bias is not None:
            out = out + self.bias.to(out.dtype).reshape(1, -1, 1, 1)
        return out

    @abstractmethod
    def convolve(self, x: Tensor, weight: Tensor) -> Tensor:
        """Return (N, out, H, W) without the bias, of an image and weights of one type."""


def change_convolutions(
    network: nn.Module, made: type[nn.Conv2d], wanted: Callable[[nn.Conv2d], bool]
) -> int:
    """Let plain convolutions become ones of another class, in place.

    Parameters and their names stay what they are.

    Args:
        network: with ``nn.Conv2d`` somewhere in it; subclasses of that are left alone.
        made: the class, which adds no state.
        wanted: tells of which.

    Returns:
        How many were changed.
    """
    changed = 0
    for module in network.modules():
        if type(module) is nn.Conv2d and wanted(module):
            module.__class__ = made
            changed += 1
    return changed
