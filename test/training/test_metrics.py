# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The confusion matrix against values worked out by hand."""

import numpy as np
import pytest

from training.metrics import (
    class_accuracy,
    class_iou,
    class_precision,
    confusion_matrix,
    mean_iou,
    mean_iou_of_occurring,
    pixel_accuracy,
)

TRUTH = np.array([[0, 0, 1, 1], [2, 2, 255, 255]], np.uint8)
GUESS = np.array([[0, 1, 1, 1], [2, 255, 0, 2]], np.uint8)


def test_matrix_by_hand():
    # The last column is a prediction that is no class; void truth counts for nothing.
    assert confusion_matrix(TRUTH, GUESS, 3).tolist() == [
        [1, 1, 0, 0], [0, 2, 0, 0], [0, 0, 1, 1]]


def test_scores_by_hand():
    matrix = confusion_matrix(TRUTH, GUESS, 3)
    assert class_iou(matrix).tolist() == pytest.approx([1 / 2, 2 / 3, 1 / 2])
    assert mean_iou(matrix) == pytest.approx((1 / 2 + 2 / 3 + 1 / 2) / 3)
    assert pixel_accuracy(matrix) == pytest.approx(4 / 6)


def test_absent_class_is_left_out_of_the_mean():
    matrix = confusion_matrix(TRUTH, GUESS, 4)
    assert np.isnan(class_iou(matrix)[3])
    assert mean_iou(matrix) == pytest.approx((1 / 2 + 2 / 3 + 1 / 2) / 3)
    assert np.isnan(mean_iou(np.zeros((3, 4), np.int64)))


def test_counts_do_not_stop_at_the_float_limit():
    truth = np.zeros((4096, 4100), np.uint8)
    matrix = confusion_matrix(truth, truth, 2)
    assert matrix.dtype == np.int64 and matrix[0, 0] == 4096 * 4100 > 2**24


def test_shapes_must_agree():
    with pytest.raises(ValueError):
        confusion_matrix(TRUTH, GUESS[:1], 3)


def test_accuracy_precision_and_occurring_classes_by_hand():
    # Of four classes the third is only guessed and the fourth is nowhere.
    truth = np.array([[0, 0, 0, 0], [1, 1, 255, 255]], np.uint8)
    guess = np.array([[0, 0, 0, 2], [0, 1, 0, 2]], np.uint8)
    matrix = confusion_matrix(truth, guess, 4)
    np.testing.assert_allclose(class_accuracy(matrix), [3 / 4, 1 / 2, np.nan, np.nan])
    np.testing.assert_allclose(class_precision(matrix), [3 / 4, 1, 0, np.nan])
    assert mean_iou(matrix) == pytest.approx((3 / 5 + 1 / 2 + 0) / 3)
    assert mean_iou_of_occurring(matrix) == pytest.approx((3 / 5 + 1 / 2) / 2)
    assert np.isnan(mean_iou_of_occurring(np.zeros((3, 4), np.int64)))
