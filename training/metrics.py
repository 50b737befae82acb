# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Confusion matrix and what the benchmarks derive from it.

Definitions as in cityscapesScripts' evalPixelLevelSemanticLabeling.py: one int64 matrix over
the whole split, rows truth, columns prediction; a class absent from truth and prediction is
NaN and left out of the mean.
"""

from __future__ import annotations

import numpy as np


def confusion_matrix(truth: np.ndarray, predicted: np.ndarray, num_classes: int) -> np.ndarray:
    """Count pixels of one image.

    Args:
        truth: uint8 train ids; ``>= num_classes`` (255) is not evaluated.
        predicted: uint8 of the same shape. A prediction that is no class counts as a miss of
            its true class, in the extra last column.

    Returns:
        int64 (num_classes, num_classes + 1).
    """
    if truth.shape != predicted.shape:
        raise ValueError(f'truth is {truth.shape}, prediction {predicted.shape}')
    valid = truth < num_classes
    columns = num_classes + 1
    seen = np.minimum(predicted[valid], num_classes).astype(np.int64)
    index = truth[valid].astype(np.int64) * columns + seen
    return np.bincount(index, minlength=num_classes * columns).reshape(num_classes, columns)


def class_iou(matrix: np.ndarray) -> np.ndarray:
    """Give the IoU per class, float64 (num_classes,); NaN where the class never occurs."""
    true_positive = np.diag(matrix[:, : len(matrix)]).astype(np.float64)
    union = matrix.sum(1) + matrix[:, : len(matrix)].sum(0) - true_positive
    return np.divide(
        true_positive, union, out=np.full(len(matrix), np.nan), where=union > 0
    )


def mean_iou(matrix: np.ndarray) -> float:
    """Mean of the class IoUs that are defined."""
    iou = class_iou(matrix)
    return float(np.nanmean(iou)) if np.isfinite(iou).any() else float('nan')


def pixel_accuracy(matrix: np.ndarray) -> float:
    """Correct / evaluated pixels."""
    total = matrix.sum()
    return float(np.diag(matrix).sum() / total) if total else float('nan')
