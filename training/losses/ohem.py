# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Online hard example mining: the cross-entropy over the pixels that are not yet learnt."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from segnode.labels import IGNORE
from training.losses.cross_entropy import label_weights, weighted_mean


def ohem_cross_entropy(
    losses: Tensor,
    labels: Tensor,
    class_weights: Tensor | None = None,
    threshold: float = 0.7,
    min_kept: float = 1 / 16,
) -> Tensor:
    """Weighted mean cross-entropy over hard pixels (see :func:`hard_pixels`).

    Where every pixel is kept it is :func:`cross_entropy`: the mean is by the sum of the kept
    pixels' class weights. (The code of HRNet's lineage, PIDNet's among it, divides by their
    number.)

    Args:
        losses: float (N, K, h, w), see :func:`negative_log_likelihood`.
        labels: int64 (N, K, h, w), K labels per logit (see :func:`fold_labels`), 255 ignored.
        class_weights: float (C,); they do not take part in choosing the pixels.
        threshold: pixels whose true class has less than this probability are hard.
        min_kept: the least number of pixels that are kept.

    Returns:
        A scalar; zero (with zero gradient) where every label is ignored.

    Reference:
        Shrivastava, Gupta, Girshick: "Training Region-based Object Detectors with Online Hard
        Example Mining" (CVPR 2016), for pixels in the form that is usual in segmentation:
        threshold 0.7 and 1/16 of the labelled pixels in github CoinCheung/BiSeNet 6b4b67a, 0.9
        and 131,072 pixels in github XuJiacong/PIDNet 4c158cf, 0.7 and 100,000 in github
        lxtGH/Fast_Seg 7895738.
    """
    weights = label_weights(labels, class_weights, losses.dtype)
    hard = hard_pixels(losses.detach(), labels != IGNORE, threshold, min_kept)
    return weighted_mean(losses, weights * hard)


def hard_pixels(losses: Tensor, valid: Tensor, threshold: float, min_kept: float) -> Tensor:
    """Choose the pixels to learn from.

    Args:
        losses: negative log-likelihood of the true class, any shape.
        valid: bool of that shape, where there is a label.
        threshold: pixels whose true class has less than this probability are chosen ...
        min_kept: ... and, where they are fewer than this, the hardest so many; below 1 a share of
            the valid pixels (rounded up), else a number of pixels of the batch.

    Returns:
        bool of that shape.
    """
    hard = valid & (losses > -math.log(threshold))
    count, found = (int(number) for number in torch.stack((valid.sum(), hard.sum())).tolist())
    least = min(count, int(min_kept) if min_kept >= 1 else math.ceil(min_kept * count))
    if found >= least:
        return hard
    ranked = losses.masked_fill(~valid, -math.inf).flatten()
    chosen = torch.zeros_like(ranked, dtype=torch.bool)
    chosen[ranked.topk(least, sorted=False).indices] = True
    return chosen.view_as(valid)
