# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Online hard example mining against sorting by hand."""

import math

from loss_cases import check_all_ignored, labelled, nearest_case, random_case
import numpy as np
import pytest

torch = pytest.importorskip('torch')

from training import losses  # noqa: E402
from training.losses import fold_labels  # noqa: E402
from training.losses.cross_entropy import negative_log_likelihood  # noqa: E402

WEIGHTS = [0.5, 2.0, 1.5, 3.0]


def cross_entropy(logits, labels, class_weights=None):
    return losses.cross_entropy(negative_log_likelihood(logits, labels), labels, class_weights)


def ohem_cross_entropy(logits, labels, *options):
    return losses.ohem_cross_entropy(negative_log_likelihood(logits, labels), labels, *options)


def by_hand(logits, labels, weights, threshold, least):
    """Sort all pixels by the true class' probability, keep the low ones."""
    probability, truth = labelled(logits, labels)
    probability = probability[np.arange(len(truth)), truth]
    order = np.argsort(probability)
    kept = max((probability < threshold).sum(), min(least, len(order)))
    order = order[:kept]
    weight = np.asarray(weights)[truth[order]]
    return (weight * -np.log(probability[order])).sum() / weight.sum(), kept


@pytest.mark.parametrize(('threshold', 'min_kept'), [
    (0.7, 0.0), (0.3, 0.0625), (0.01, 0.33), (0.01, 20), (0.999, 3), (0.01, 10**6), (1.0, 1)])
@pytest.mark.parametrize('weights', [[1.0] * 4, WEIGHTS])
def test_value_by_sorting(threshold, min_kept, weights):
    logits, labels = random_case()
    valid = int((labels != 255).sum())
    least = math.ceil(min_kept * valid) if min_kept < 1 else int(min_kept)
    expected, kept = by_hand(logits, labels, weights, threshold, least)
    assert 0 < kept <= valid
    loss = ohem_cross_entropy(
        logits, labels[:, None], torch.tensor(weights), threshold, min_kept)
    assert loss.item() == pytest.approx(expected, rel=1e-9)


def test_only_the_kept_pixels_have_a_gradient():
    logits, labels = random_case()
    logits.requires_grad_()
    hard = [by_hand(logits, labels, [1] * 4, threshold, 0)[1] for threshold in (0.01, 0.3)]
    assert hard[0] < 20 < hard[1]  # the cases above cover both rules
    for threshold, kept in ((0.01, 20), (0.3, hard[1])):
        logits.grad = None
        ohem_cross_entropy(logits, labels[:, None], None, threshold, 20).backward()
        assert int((logits.grad.abs().sum(1) > 0).sum()) == kept


def test_keeping_every_pixel_is_cross_entropy():
    logits, labels = random_case()
    weights = torch.tensor(WEIGHTS)
    every = ohem_cross_entropy(logits, labels[:, None], weights, 0.5, 10**9)
    assert every.item() == pytest.approx(
        cross_entropy(logits, labels[:, None], weights).item(), rel=1e-12)


@pytest.mark.parametrize(('threshold', 'min_kept'), [(0.6, 0.0), (0.02, 0.25), (0.02, 40)])
def test_folded_labels_are_those_of_nearest_enlarged_logits(threshold, min_kept):
    small, large, labels = nearest_case()
    weights = torch.tensor(WEIGHTS)
    folded = ohem_cross_entropy(small, fold_labels(labels, 2), weights, threshold, min_kept)
    whole = ohem_cross_entropy(large, labels[:, None], weights, threshold, min_kept)
    assert folded.item() == pytest.approx(whole.item(), rel=1e-12)


@pytest.mark.parametrize('min_kept', [0.0, 0.0625, 100])
def test_all_ignored(min_kept):
    check_all_ignored(
        lambda logits, labels: ohem_cross_entropy(logits, labels[:, None], None, 0.7, min_kept))


@pytest.mark.parametrize('min_kept', [0.0, 15])
def test_gradient(min_kept):
    """Away from the threshold the choice of pixels is constant and the loss smooth."""
    logits, labels = random_case(3, (3, 4))
    weights = torch.tensor(WEIGHTS[:3], dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda x: ohem_cross_entropy(x, labels[:, None], weights, 0.3, min_kept),
        logits.requires_grad_())
