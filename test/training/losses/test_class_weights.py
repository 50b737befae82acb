# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Class weights by hand."""

import numpy as np
import pytest

torch = pytest.importorskip('torch')

from segnode.errors import SegnodeError  # noqa: E402
from training.losses import class_weights, enet_class_weights  # noqa: E402

# Three images of 100 labelled pixels and less; class 2 is in the second alone.
HISTOGRAMS = np.array([[80, 20, 0], [50, 10, 40], [60, 0, 0]])


def test_enet():
    weights = enet_class_weights(np.array([50, 25, 25]), c=1.10)
    assert weights.tolist() == pytest.approx(
        [1 / np.log(1.6), 1 / np.log(1.35), 1 / np.log(1.35)], rel=1e-6)
    from_images = class_weights('enet', np.array([[20, 25, 0], [30, 0, 25]]), 1.10)
    assert np.array_equal(weights, from_images) and weights.dtype == np.float32


def test_median_frequency():
    # 190 of 260, 30 of the 200 in which class 1 occurs, 40 of the 100 in which class 2 does.
    weights = class_weights('median_frequency', HISTOGRAMS)
    assert weights.tolist() == pytest.approx(
        [0.4 / (190 / 260), 0.4 / 0.15, 1.0], rel=1e-6)


def test_inverse_frequency():
    weights = class_weights('inverse_frequency', HISTOGRAMS)
    pixels = HISTOGRAMS.sum(0)
    assert (weights * pixels).tolist() == pytest.approx([260 / 3] * 3, rel=1e-6)


@pytest.mark.parametrize('kind', ['enet', 'median_frequency', 'inverse_frequency'])
def test_a_class_without_pixels_has_no_weight(kind):
    with pytest.raises(SegnodeError, match='training data has the class 1,'):
        class_weights(kind, np.array([[5, 0], [3, 0]]))


def test_classes_without_pixels_are_named():
    histograms = np.array([[5, 0, 2, 0], [3, 0, 2, 0]])
    with pytest.raises(SegnodeError, match='the class wall, train, so it can have no weight'):
        class_weights('enet', histograms, names=('road', 'wall', 'car', 'train'))
