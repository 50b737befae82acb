# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Lovász-softmax against the Lovász extension of the Jaccard loss."""

from loss_cases import check_all_ignored, labelled, random_case
import numpy as np
import pytest

torch = pytest.importorskip('torch')
import torch.nn.functional as F  # noqa: E402

from training.losses import fold_labels, lovasz_softmax  # noqa: E402


def jaccard_loss(truth, wrong):
    """1 - IoU of a class when the pixels of ``wrong`` are mispredicted (bool arrays)."""
    predicted = truth ^ wrong
    return 1 - (truth & predicted).sum() / (truth | predicted).sum()


def by_hand(logits, labels):
    probability, labels = labelled(logits, labels)
    losses = []
    for label in np.unique(labels):
        truth = labels == label
        errors = np.abs(truth - probability[:, label])
        loss, wrong = 0.0, np.zeros(len(truth), bool)
        for pixel in np.argsort(-errors):  # the extension: one pixel after the other goes wrong
            before = jaccard_loss(truth, wrong)
            wrong[pixel] = True
            loss += errors[pixel] * (jaccard_loss(truth, wrong) - before)
        losses.append(loss)
    return np.mean(losses)


def test_value_by_its_definition():
    logits, labels = random_case()
    assert lovasz_softmax(logits, labels[:, None]).item() == pytest.approx(
        by_hand(logits, labels), rel=1e-12)


def test_all_ignored():
    check_all_ignored(lambda logits, labels: lovasz_softmax(logits, labels[:, None]))


def test_hard_predictions_give_one_minus_the_iou():
    # With probabilities of 0 and 1 the Lovász extension equals the Jaccard loss itself.
    truth = torch.tensor([[[[0, 0, 1, 1, 1, 0]]]])
    guess = torch.tensor([[[0, 1, 1, 1, 0, 0]]])
    logits = F.one_hot(guess, 2).permute(0, 3, 1, 2).float() * 200.0
    # Class 0: 2 of 4, class 1: 2 of 4.
    expected = 1 - (2 / 4 + 2 / 4) / 2
    torch.manual_seed(0)
    assert lovasz_softmax(logits, truth, max_pixels=100).item() == pytest.approx(expected)


def test_the_right_pixel_of_folded_labels_is_read():
    logits = torch.full((1, 2, 2, 2), -100.0)
    guess = torch.tensor([[0, 1], [1, 0]])
    for row in range(2):
        for column in range(2):
            logits[0, guess[row, column], row, column] = 100.0
    labels = guess.repeat_interleave(2, 0).repeat_interleave(2, 1)[None]
    assert lovasz_softmax(logits, fold_labels(labels, 2)).item() == pytest.approx(0.0, abs=1e-6)
