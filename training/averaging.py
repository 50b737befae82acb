# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The running average of the weights."""

from __future__ import annotations

from pytorch_lightning.callbacks import WeightAveraging
import torch
from torch import Tensor


def ema_decay(updates: int, decay: float) -> float:
    """Decay after so many updates: rises as (1 + n) / (10 + n) up to ``decay``.

    The average then follows the first steps instead of remembering the initialisation.
    """
    return min(decay, (1 + updates) / (10 + updates))


class AveragedWeights(WeightAveraging):
    """Exponential moving average of weights and batch-norm statistics.

    It is what validation sees and what a checkpoint's ``state_dict`` holds.

    Args:
        decay: per step, reached after a warm-up; see :func:`ema_decay`.
    """

    def __init__(self, decay: float) -> None:
        def average(
            averaged: list[Tensor], current: list[Tensor], updates: Tensor | int
        ) -> None:
            # One list at a time, so that a GPU is asked for the counter once and not per tensor.
            weight = 1.0 - ema_decay(int(updates), decay)
            if averaged[0].is_floating_point():
                torch._foreach_lerp_(averaged, current, weight)
            else:
                torch._foreach_copy_(averaged, current)

        super().__init__(multi_avg_fn=average)
