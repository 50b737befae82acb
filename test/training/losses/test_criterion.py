# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The total loss of whole networks against the same composed of PyTorch's own functions."""

import importlib
import inspect
from types import SimpleNamespace

from loss_cases import random_case
import pytest

torch = pytest.importorskip('torch')
import torch.nn.functional as F  # noqa: E402

from segnode.errors import SegnodeError  # noqa: E402
from segnode.networks import zoo  # noqa: E402
from training.config import BoundaryConfig, DistillConfig, LossConfig  # noqa: E402
from training.losses import (  # noqa: E402
    boundary_target,
    Criterion,
    dice_loss,
    logit_distillation,
    lovasz_softmax,
)

WEIGHTS = torch.tensor([0.5, 2.0, 1.5, 3.0, 1.0], dtype=torch.float64)


def network(*kinds, upsampling='bilinear'):
    return SimpleNamespace(upsampling=upsampling, auxiliary_kinds=kinds)


def criterion(config, *kinds, weights=True, upsampling='bilinear', teacher=None):
    made = Criterion(config, 'thenet', network(*kinds, upsampling=upsampling), teacher)
    if weights:
        made.weigh_classes(WEIGHTS.numpy())
    return made


def outputs(*channels):
    """float64 outputs (2, C, 3, 4) at 1/8, and labels (2, 24, 32) in patches, some void."""
    made = [random_case(c, (3, 4), seed)[0].requires_grad_() for seed, c in enumerate(channels)]
    labels = random_case(5, (6, 8), 9)[1].repeat_interleave(4, 1).repeat_interleave(4, 2)
    return made, labels


def enlarged(x):
    return F.interpolate(x, size=(24, 32), mode='bilinear', align_corners=False)


def hard_cross_entropy(logits, labels, threshold, least):
    """Keep what is above the cross-entropy of the threshold or of the least-th worst pixel."""
    losses = F.cross_entropy(logits, labels, ignore_index=255, reduction='none')[labels != 255]
    weights = WEIGHTS[labels[labels != 255]]
    bound = -torch.log(torch.tensor(threshold, dtype=torch.float64))
    if least:
        bound = torch.minimum(bound, losses.sort(descending=True).values[:least][-1] - 1e-12)
    kept = losses > bound
    return (losses * weights)[kept].sum() / weights[kept].sum()


def test_pidnets_loss_as_its_authors_train():
    (main, detail, edges), labels = outputs(5, 5, 1)
    config = LossConfig(kind='ohem', ohem_threshold=0.9, ohem_min_kept=700)
    parts = criterion(config, 'classes', 'boundary')([main, detail, edges], labels)
    target = boundary_target(labels, 4)[:, None]
    ones, zeros = (target == 1).double(), (target == 0).double()
    total = ones.sum() + zeros.sum()
    sure = torch.sigmoid(enlarged(edges))[:, 0] > 0.8
    assert 0 < sure.sum() < 700 < (labels != 255).sum()
    expected = {
        'ohem': hard_cross_entropy(enlarged(main), labels, 0.9, 700),
        'auxiliary': 0.4 * F.cross_entropy(enlarged(detail), labels, WEIGHTS, ignore_index=255),
        'boundary': 20 * F.binary_cross_entropy_with_logits(
            enlarged(edges), ones, (ones * zeros.sum() + zeros * ones.sum()) / total,
            reduction='sum') / total,
        'boundary_main': hard_cross_entropy(
            enlarged(main), torch.where(sure, labels, 255), 0.9, 700),
    }
    assert list(parts) == list(expected)
    for name, value in expected.items():
        assert parts[name].item() == pytest.approx(value.item(), rel=1e-9), name
    # The gradient that reaches each output is that of the composed loss.
    ours = torch.autograd.grad(sum(parts.values()), (main, detail, edges))
    theirs = torch.autograd.grad(sum(expected.values()), (main, detail, edges))
    for one, other in zip(ours, theirs):
        assert torch.allclose(one, other, atol=1e-12) and one.abs().max() > 0


def test_msfnets_loss_as_we_propose_it():
    (main, edges), labels = outputs(5, 1)
    labels[:, :, 16:] = 2  # cells without a boundary, and one without a label
    labels[0, :8, 24:] = 255
    config = LossConfig(
        kind='ohem', ohem_min_kept=100_000,
        boundary=BoundaryConfig(weight=1.0, width=3, size='logits', main=0.0))
    parts = criterion(config, 'boundary')([main, edges], labels)
    assert list(parts) == ['ohem', 'boundary']
    every = F.cross_entropy(enlarged(main), labels, WEIGHTS, ignore_index=255)
    assert parts['ohem'].item() == pytest.approx(every.item(), rel=1e-9)
    fine = boundary_target(labels, 3)
    ones = (F.max_pool2d((fine == 1).double(), 8) == 1)[:, None]
    void = (F.max_pool2d((fine != 255).double(), 8) == 0)[:, None]
    assert 0 < ones.sum() < (~void).sum() < 24
    share = ones[~void].double().mean()
    weight = torch.where(ones[~void], 1 - share, share)
    expected = F.binary_cross_entropy_with_logits(edges[~void], ones[~void].double(), weight)
    assert parts['boundary'].item() == pytest.approx(expected.item(), rel=1e-9)


@pytest.mark.parametrize(('given', 'weights'), [(0.4, [0.4, 0.4]), ([1.0, 0.25], [1.0, 0.25])])
def test_deep_supervision(given, weights):
    (main, *auxiliary), labels = outputs(5, 5, 5)
    parts = criterion(LossConfig(auxiliary=given), 'classes', 'classes')(
        [main, *auxiliary], labels)
    each = [F.cross_entropy(enlarged(o), labels, WEIGHTS, ignore_index=255) for o in auxiliary]
    assert parts['auxiliary'].item() == pytest.approx(
        sum(w * loss.item() for w, loss in zip(weights, each)), rel=1e-9)
    hard = criterion(
        LossConfig(auxiliary=given, auxiliary_kind='ohem', ohem_threshold=0.2), 'classes',
        'classes')([main, *auxiliary], labels)
    least = -(-int((labels != 255).sum()) // 16)
    each = [hard_cross_entropy(enlarged(o), labels, 0.2, least) for o in auxiliary]
    assert hard['auxiliary'].item() == pytest.approx(
        sum(w * loss.item() for w, loss in zip(weights, each)), rel=1e-9)
    assert hard['cross_entropy'].item() == parts['cross_entropy'].item()


def test_a_wrong_number_of_weights_names_the_network():
    for kinds, given, words in (
            (('classes', 'classes'), [0.4], 'has 1 weights, but thenet as configured has 2'),
            (('classes', 'boundary'), [0.4, 20.0], 'has 1 .*its boundary output has loss.bound'),
            ((), [0.4], 'has 0 auxiliary outputs')):
        with pytest.raises(SegnodeError, match=words):
            criterion(LossConfig(auxiliary=given), *kinds)
    assert criterion(LossConfig(auxiliary=0.4)).auxiliary_weights == ()


def test_dice_and_lovasz_come_beside():
    (main,), labels = outputs(5)
    parts = criterion(LossConfig(dice=0.5, lovasz=2.0))([main], labels)
    assert list(parts) == ['cross_entropy', 'dice', 'lovasz']
    large, flat = enlarged(main), labels[:, None]
    assert parts['dice'].item() == pytest.approx(0.5 * dice_loss(large, flat).item(), rel=1e-12)
    assert parts['lovasz'].item() == pytest.approx(
        2 * lovasz_softmax(large, flat).item(), rel=1e-12)


def test_nearest_networks_are_compared_as_they_are_enlarged():
    (main, edges), labels = outputs(5, 1)
    config = LossConfig(kind='ohem', dice=1.0, ohem_threshold=0.5)
    near = criterion(config, 'boundary', upsampling='nearest')([main, edges], labels)
    large = main.repeat_interleave(8, 2).repeat_interleave(8, 3)
    whole = criterion(config, 'boundary')([large, edges], labels)
    assert near.keys() == whole.keys()
    for name in near:
        assert near[name].item() == pytest.approx(whole[name].item(), rel=1e-9), name


class FixedTeacher:
    def logits(self, images):
        return images


def test_distillation_is_weighted_and_at_the_students_size():
    (main,), labels = outputs(5)
    distill = DistillConfig('some', 'logits', 3.0, 2.0)
    made = criterion(LossConfig(distill=distill), teacher=FixedTeacher())
    theirs = random_case(5, (3, 4), 5)[0]
    assert list(made([main], labels, theirs)) == ['cross_entropy', 'distill']
    valid = F.max_pool2d((labels != 255).float(), 8) > 0
    expected = 3 * logit_distillation(main, theirs, valid, 2.0)
    assert made([main], labels, theirs)['distill'].item() == pytest.approx(expected.item())
    # Of a finer teacher it sees what is left when the student's size is reached.
    finer = theirs.repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert made([main], labels, finer)['distill'].item() == pytest.approx(
        expected.item(), rel=0.3)
    channels = LossConfig(distill=DistillConfig('some', 'channels', 3.0, 2.0))
    other = criterion(channels, teacher=FixedTeacher())([main], labels, theirs)['distill']
    assert other.item() != pytest.approx(expected.item(), rel=0.01)
    with pytest.raises(ValueError, match='none is given'):
        criterion(LossConfig(distill=distill))


def test_all_ignored_gives_the_same_parts_all_zero():
    made, labels = outputs(5, 5, 1)
    theirs = random_case(5, (3, 4), 5)[0]
    for kind in ('cross_entropy', 'ohem'):
        for distill in ('logits', 'channels'):
            for size in ('labels', 'logits'):
                total = criterion(
                    LossConfig(
                        kind=kind, auxiliary_kind=kind, dice=1.0, lovasz=1.0,
                        boundary=BoundaryConfig(size=size),
                        distill=DistillConfig('some', distill)),
                    'classes', 'boundary', teacher=FixedTeacher())
                keys = list(total(made, labels, theirs))
                parts = total(made, torch.full_like(labels, 255), theirs)
                assert list(parts) == keys and len(keys) == 7
                assert all(part.item() == 0.0 for part in parts.values()), parts
                for gradient in torch.autograd.grad(sum(parts.values()), made):
                    assert torch.equal(gradient, torch.zeros_like(gradient))


def test_a_network_that_gives_what_it_does_not_state():
    made, labels = outputs(5, 5)
    with pytest.raises(ValueError, match='1 auxiliary outputs, but 0 stated'):
        criterion(LossConfig())(made, labels)
    with pytest.raises(ValueError, match='auxiliary_kinds'):
        criterion(LossConfig(), 'edges')


def test_networks_without_their_heads_state_none():
    stating = []
    for name, info in zoo.NETWORKS.items():
        network_class = getattr(importlib.import_module(info.module), info.cls)
        if 'auxiliary' not in inspect.signature(network_class).parameters:
            continue
        with torch.device('meta'):
            assert network_class(11, auxiliary=False).auxiliary_kinds == (), name
            assert network_class(11).auxiliary_kinds, name
        stating.append(name)
    assert {'icnet', 'bisenet', 'bisenetv2', 'dfanet_b', 'fast_scnn', 'ddrnet23_slim', 'msfnet',
            'pidnet_s'} <= set(stating)
