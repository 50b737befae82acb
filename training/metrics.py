# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Confusion matrix and what the benchmarks derive from it.

Definitions as in cityscapesScripts' evalPixelLevelSemanticLabeling.py: one int64 matrix over
the whole split, rows truth, columns prediction; a class absent from truth and prediction is
NaN and left out of the mean.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

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
    true_positive = np.diag(matrix)
    return _shares(
        true_positive, matrix.sum(1) + matrix[:, : len(matrix)].sum(0) - true_positive
    )


def mean_iou(matrix: np.ndarray) -> float:
    """Mean of the class IoUs that are defined."""
    return defined_mean(class_iou(matrix))


def mean_iou_of_occurring(matrix: np.ndarray) -> float:
    """Mean of the IoUs of the classes that occur in the truth.

    On a small split a few pixels taken for a class that no frame has make that class 0 in
    ``mean_iou``; here they only count against the class that they belong to.
    """
    return defined_mean(class_iou(matrix)[matrix.sum(1) > 0])


def defined_mean(values: Iterable[float]) -> float:
    """Mean of what is not NaN; NaN where nothing is."""
    known = [float(value) for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float('nan')


def class_accuracy(matrix: np.ndarray) -> np.ndarray:
    """Give the share of each class's pixels that was found (recall), float64 (num_classes,).

    NaN for a class that the truth does not have.
    """
    return _shares(np.diag(matrix), matrix.sum(1))


def class_precision(matrix: np.ndarray) -> np.ndarray:
    """Give the share of what was taken for each class that is it, float64 (num_classes,).

    NaN for a class that nothing was taken for.
    """
    return _shares(np.diag(matrix), matrix[:, : len(matrix)].sum(0))


def _shares(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)


def pixel_accuracy(matrix: np.ndarray) -> float:
    """Correct / evaluated pixels."""
    total = matrix.sum()
    return float(np.diag(matrix).sum() / total) if total else float('nan')


def category_iou(
    matrix: np.ndarray, categories: Mapping[str, Sequence[int]]
) -> dict[str, float]:
    """Give the IoU per category: to take a car for a bus is right here.

    Args:
        matrix: int64 (C, C + 1), see :func:`confusion_matrix`.
        categories: train ids of each, as ``LabelSet.categories`` gives them.

    Returns:
        NaN for a category that occurs neither in truth nor in prediction.
    """
    scores = {}
    for name, members in categories.items():
        rows = list(members)
        right = matrix[np.ix_(rows, rows)].sum()
        union = matrix[rows].sum() + matrix[:, rows].sum() - right
        scores[name] = float(right / union) if union else float('nan')
    return scores


def false_positives(matrix: np.ndarray, members: Sequence[int]) -> int:
    """Count the pixels of other classes that were taken for one of ``members``."""
    rows = list(members)
    return int(matrix[:, rows].sum() - matrix[np.ix_(rows, rows)].sum())
