# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Dice loss against its definition."""

from loss_cases import check_all_ignored, labelled, nearest_case, random_case
import numpy as np
import pytest

torch = pytest.importorskip('torch')

from training.losses import dice_loss, fold_labels  # noqa: E402


def by_hand(logits, labels):
    probability, truth = labelled(logits, labels)
    losses = []
    for label in np.unique(truth):
        p, g = probability[:, label], truth == label
        losses.append(1 - 2 * p[g].sum() / (p.sum() + g.sum()))
    return np.mean(losses), len(losses)


def test_value_by_its_definition():
    logits, labels = random_case()
    expected, present = by_hand(logits, labels)
    assert present == 4
    assert dice_loss(logits, labels[:, None]).item() == pytest.approx(expected, rel=1e-12)


def test_absent_classes_are_left_out():
    logits, labels = random_case()
    labels[labels == 2] = 255
    expected, present = by_hand(logits, labels)
    assert present == 3
    assert dice_loss(logits, labels[:, None]).item() == pytest.approx(expected, rel=1e-12)


def test_right_is_zero_and_wrong_is_one():
    labels = torch.tensor([[[0, 1], [2, 2]]])
    logits = 200.0 * torch.nn.functional.one_hot(labels, 3).permute(0, 3, 1, 2)
    assert dice_loss(logits, labels[:, None]).item() == pytest.approx(0.0, abs=1e-6)
    assert dice_loss(logits.roll(1, 1), labels[:, None]).item() == pytest.approx(1.0)


def test_folded_labels_are_those_of_nearest_enlarged_logits():
    small, large, labels = nearest_case()
    assert dice_loss(small, fold_labels(labels, 2)).item() == pytest.approx(
        dice_loss(large, labels[:, None]).item(), rel=1e-12)


def test_all_ignored():
    check_all_ignored(lambda logits, labels: dice_loss(logits, labels[:, None]))


def test_gradient():
    logits, labels = random_case(3, (3, 4))
    labels[labels == 1] = 255
    assert torch.autograd.gradcheck(
        lambda x: dice_loss(x, labels[:, None]), logits.requires_grad_())
