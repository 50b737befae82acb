# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Layers of a made network that compute the same in another way."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn


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
