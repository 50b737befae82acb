# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Losses against plain definitions."""

import numpy as np
import pytest

torch = pytest.importorskip('torch')
import torch.nn.functional as F  # noqa: E402

from segnode.errors import SegnodeError  # noqa: E402
from training.losses import (  # noqa: E402
    cross_entropy,
    enet_class_weights,
    fold_labels,
    lovasz_softmax,
)


def test_folded_cross_entropy_is_that_of_nearest_enlarged_logits():
    torch.manual_seed(0)
    logits = torch.randn(2, 5, 6, 8)
    labels = torch.randint(0, 5, (2, 12, 16))
    labels[0, :3] = 255
    weights = torch.tensor([1.0, 2.0, 3.0, 0.5, 1.5])
    large = F.interpolate(logits, scale_factor=2, mode='nearest')
    expected = F.cross_entropy(large, labels, weights, ignore_index=255)
    assert cross_entropy(logits, fold_labels(labels, 2), weights).item() == pytest.approx(
        expected.item(), rel=1e-5)


def test_everything_ignored_gives_zero_and_zero_gradient():
    logits = torch.randn(1, 3, 4, 4, requires_grad=True)
    labels = torch.full((1, 1, 4, 4), 255)
    loss = cross_entropy(logits, labels) + lovasz_softmax(logits, labels)
    loss.backward()
    assert loss.item() == 0.0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


def test_lovasz_of_hard_predictions_is_one_minus_the_iou():
    # With probabilities of 0 and 1 the Lovász extension equals the Jaccard loss itself.
    truth = torch.tensor([[[[0, 0, 1, 1, 1, 0]]]])
    guess = torch.tensor([[[0, 1, 1, 1, 0, 0]]])
    logits = F.one_hot(guess, 2).permute(0, 3, 1, 2).float() * 200.0
    # Class 0: 2 of 4, class 1: 2 of 4.
    expected = 1 - (2 / 4 + 2 / 4) / 2
    torch.manual_seed(0)
    assert lovasz_softmax(logits, truth, max_pixels=100).item() == pytest.approx(expected)


def test_lovasz_reads_the_right_pixel_of_folded_labels():
    logits = torch.full((1, 2, 2, 2), -100.0)
    guess = torch.tensor([[0, 1], [1, 0]])
    for row in range(2):
        for column in range(2):
            logits[0, guess[row, column], row, column] = 100.0
    labels = guess.repeat_interleave(2, 0).repeat_interleave(2, 1)[None]
    assert lovasz_softmax(logits, fold_labels(labels, 2)).item() == pytest.approx(0.0, abs=1e-6)


def test_enet_weights_by_hand():
    weights = enet_class_weights(np.array([50, 25, 25]), c=1.10)
    assert weights.tolist() == pytest.approx(
        [1 / np.log(1.6), 1 / np.log(1.35), 1 / np.log(1.35)], rel=1e-6)
    with pytest.raises(SegnodeError, match='class 1 has no pixel'):
        enet_class_weights(np.array([5, 0]))
