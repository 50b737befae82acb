# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Cross-entropy against its definition."""

from loss_cases import check_all_ignored, labelled, nearest_case, random_case
import numpy as np
import pytest

torch = pytest.importorskip('torch')

from training import losses  # noqa: E402
from training.losses import fold_labels  # noqa: E402
from training.losses.cross_entropy import negative_log_likelihood  # noqa: E402
from training.losses.folding import bring_together  # noqa: E402

WEIGHTS = [0.5, 2.0, 1.5, 3.0]


def cross_entropy(logits, labels, class_weights=None):
    return losses.cross_entropy(negative_log_likelihood(logits, labels), labels, class_weights)


@pytest.mark.parametrize('weights', [None, WEIGHTS])
def test_value_by_its_definition(weights):
    logits, labels = random_case()
    probability, truth = labelled(logits, labels)
    each = np.ones(4) if weights is None else np.array(weights)
    losses = -np.log(probability[np.arange(len(truth)), truth])
    expected = (each[truth] * losses).sum() / each[truth].sum()
    given = None if weights is None else torch.tensor(weights)
    assert cross_entropy(logits, labels[:, None], given).item() == pytest.approx(
        expected, rel=1e-12)


def test_folded_labels_are_those_of_nearest_enlarged_logits():
    logits, large, labels = nearest_case()
    weights = torch.tensor(WEIGHTS)
    folded = cross_entropy(logits, fold_labels(labels, 2), weights)
    assert folded.item() == pytest.approx(
        cross_entropy(large, labels[:, None], weights).item(), rel=1e-12)


def test_all_ignored():
    check_all_ignored(lambda logits, labels: cross_entropy(logits, labels[:, None]))


def test_logits_meet_labels_as_in_the_deploy_graph():
    logits, labels = torch.arange(8.0).reshape(1, 2, 2, 2), torch.zeros(1, 4, 4, dtype=torch.long)
    same, folded = bring_together(logits, labels, 'nearest')
    assert same is logits and folded.shape == (1, 4, 2, 2)
    large, flat = bring_together(logits, labels, 'bilinear')
    # Without aligned corners: a quarter of the way from one pixel to the next.
    assert large[0, 0, 0].tolist() == [0.0, 0.25, 0.75, 1.0]
    assert large.shape == (1, 2, 4, 4) and flat.shape == (1, 1, 4, 4)
