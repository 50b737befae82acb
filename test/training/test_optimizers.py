# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Optimisers: which parameter decays, at which rate, and how that goes over a run."""

import pytest

torch = pytest.importorskip('torch')

from segnode.networks import zoo  # noqa: E402
from training.config import OptimConfig  # noqa: E402
from training.optimizers import (  # noqa: E402
    optimizer,
    parameter_groups,
    rate_factor,
    real_rate,
    warmup_steps,
)


@pytest.mark.parametrize('network', ['espnet', 'swiftnet'])  # PReLU slopes; a ResNet
def test_only_kernels_decay(network):
    made = zoo.create(network, 11)
    groups = parameter_groups(made, zoo.network_info(network), OptimConfig(weight_decay=0.02), 0.1)
    assert [(g['lr'], g['weight_decay']) for g in groups] == [(0.1, 0.02), (0.1, 0.0)]
    assert all(p.ndim == 4 for p in groups[0]['params'])
    assert all(p.ndim == 1 for p in groups[1]['params'])
    kept = {id(p) for group in groups for p in group['params']}
    assert len(kept) == sum(len(g['params']) for g in groups)
    assert kept == {id(p) for p in made.parameters()}
    slopes = [p for m in made.modules() if isinstance(m, torch.nn.PReLU) for p in m.parameters()]
    assert bool(slopes) == (network == 'espnet')
    assert {id(p) for p in slopes} <= {id(p) for p in groups[1]['params']}


def test_the_backbone_has_a_rate_of_its_own():
    optim = OptimConfig(backbone_lr_factor=0.1, weight_decay=0.5)
    for network, part in (('swiftnet', 'backbone.'), ('dfanet_b', ('stem.', 'stage1.'))):
        made = zoo.create(network, 11)
        groups = parameter_groups(made, zoo.network_info(network), optim, 2.0)
        assert [(g['lr'], g['weight_decay']) for g in groups] == [
            (2.0, 0.5), (2.0, 0.0), (0.2, 0.5), (0.2, 0.0)]
        names = {id(p): name for name, p in made.named_parameters()}
        slow = {names[id(p)] for g in groups[2:] for p in g['params']}
        assert slow == {name for name in names.values() if name.startswith(part)} and slow
    without = parameter_groups(zoo.create('espnet_c', 11), zoo.network_info('espnet_c'), optim, 2.)
    assert {g['lr'] for g in without} == {2.0}  # it has none


def test_the_optimiser_is_the_one_that_is_named():
    made, info = zoo.create('espnet_c', 11), zoo.network_info('espnet_c')
    sgd = optimizer(made, info, OptimConfig(kind='sgd', momentum=0.8, nesterov=True), 0.5)
    assert type(sgd) is torch.optim.SGD
    assert all(g['momentum'] == 0.8 and g['nesterov'] and g['lr'] == 0.5 for g in sgd.param_groups)
    assert type(optimizer(made, info, OptimConfig(kind='adam'), 0.5)) is torch.optim.Adam
    assert type(optimizer(made, info, OptimConfig(), 0.5)) is torch.optim.AdamW


def factors(steps, total, warmup, **changes):
    return [rate_factor(step, total, warmup, OptimConfig(**changes)) for step in steps]


def test_schedules_by_hand():
    assert factors(range(11), 10, 4, power=1.0) == pytest.approx(
        [0.25, 0.5, 0.75, 1, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6, 0])
    assert factors([7], 10, 4, power=2.0) == pytest.approx([0.25])
    assert factors([0, 5, 10], 10, 0) == pytest.approx([1, 0.5**0.9, 0])
    # (lr - floor) x poly + floor, as mmsegmentation's min_lr
    assert factors([0, 5, 10, 12], 10, 0, power=1.0, final_factor=0.1) == pytest.approx(
        [1, 0.55, 0.1, 0.1])
    assert factors([0, 1, 2, 4, 6, 10], 10, 2, schedule='cosine') == pytest.approx(
        [0.5, 1, 1, (1 + 2**-0.5) / 2, 0.5, 0])
    assert factors([6, 10], 10, 2, schedule='cosine', final_factor=0.2) == pytest.approx(
        [0.6, 0.2])
    assert factors([0, 1, 5, 10], 10, 2, schedule='constant', final_factor=0.2) == [0.5, 1, 1, 1]


def test_warm_up_in_steps_or_epochs():
    assert warmup_steps(OptimConfig(warmup_steps=7), 50.0) == 7
    assert warmup_steps(OptimConfig(warmup_steps=7, warmup_epochs=1.5), 50.0) == 75


def test_the_rate_is_tied_to_the_effective_batch():
    assert real_rate(OptimConfig(lr=0.003), 64) == 0.003
    assert real_rate(OptimConfig(lr=0.01, lr_batch=16, kind='sgd'), 64) == pytest.approx(0.04)
    assert real_rate(OptimConfig(lr=0.01, lr_batch=16, kind='sgd'), 8) == pytest.approx(0.005)
    for kind in ('adam', 'adamw'):
        assert real_rate(OptimConfig(lr=0.01, lr_batch=16, kind=kind), 64) == pytest.approx(0.02)
