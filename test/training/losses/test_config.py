# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""What may stand in the loss's part of a recipe."""

from dataclasses import asdict, fields, is_dataclass, replace
import math

import pytest

from segnode.errors import SegnodeError
from training.config import BoundaryConfig, check, DistillConfig, FitConfig, from_dict, LossConfig


def test_defaults_are_the_plain_loss():
    """An old recipe or checkpoint, which knows nothing of the rest, means what it meant."""
    old = {'loss': {'class_weights': 'enet', 'enet_c': 1.1, 'lovasz': 1.0, 'auxiliary': 0.4}}
    loss = from_dict(old).loss
    assert loss == LossConfig(lovasz=1.0)
    assert (loss.kind, loss.auxiliary_kind, loss.dice) == ('cross_entropy', 'cross_entropy', 0.0)
    assert loss.distill.teacher is None


def test_plain_types_and_back():
    loss = LossConfig(
        kind='ohem', auxiliary=[1.0, 0.5], boundary=BoundaryConfig(1.0, 3, 'logits', 0.0),
        distill=DistillConfig('fsffnet_camvid', 'channels', 3.0, 2.0))
    config = FitConfig(loss=loss)
    check(config)
    assert from_dict(asdict(config)) == config


@pytest.mark.parametrize(('loss', 'words'), [
    (LossConfig(kind='focal'), 'loss.kind must be one of cross_entropy, ohem, not .focal'),
    (LossConfig(class_weights='big'), 'loss.class_weights must be one of enet, median_frequency'),
    (LossConfig(auxiliary_kind='x'), 'loss.auxiliary_kind must be one of'),
    (LossConfig(ohem_threshold=0.0), 'loss.ohem_threshold must be above 0 and at most 1'),
    (LossConfig(ohem_threshold=70), 'loss.ohem_threshold must be above 0 and at most 1'),
    (LossConfig(ohem_min_kept=-1), 'loss.ohem_min_kept must be 0 or above'),
    (LossConfig(dice=-0.1), 'loss.dice must be 0 or above'),
    (LossConfig(lovasz=-1), 'loss.lovasz must be 0 or above'),
    (LossConfig(auxiliary=[0.4, -0.4]), 'loss.auxiliary must be 0 or above, not -0.4'),
    (LossConfig(auxiliary=-0.4), 'loss.auxiliary must be 0 or above, not -0.4'),
    (LossConfig(enet_c=1.0), 'loss.enet_c must be above 1, not 1.0'),
    (LossConfig(boundary=BoundaryConfig(weight=-1)), 'loss.boundary.weight must be 0 or above'),
    (LossConfig(boundary=BoundaryConfig(width=0)), 'loss.boundary.width must be 1 pixel or more'),
    (LossConfig(boundary=BoundaryConfig(size='half')), 'loss.boundary.size must be one of'),
    (LossConfig(boundary=BoundaryConfig(threshold=8)), 'loss.boundary.threshold must be above 0'),
    (LossConfig(distill=DistillConfig(kind='all')), 'loss.distill.kind must be one of'),
    (LossConfig(distill=DistillConfig(temperature=0)), 'loss.distill.temperature must be above'),
    (LossConfig(distill=DistillConfig(weight=-1)), 'loss.distill.weight must be 0 or above'),
])
def test_what_cannot_be_is_named(loss, words):
    with pytest.raises(SegnodeError, match=words):
        check(FitConfig(loss=loss))


def floats(config, path=''):
    """Yield the keys of all floats below a dataclass, tuples of them included."""
    for field in fields(config):
        value, name = getattr(config, field.name), f'{path}{field.name}'
        if is_dataclass(value):
            yield from floats(value, f'{name}.')
        elif 'float' in str(field.type):
            yield name


def changed(config, path, value):
    """Return the configuration with one value of another one."""
    name, _, rest = path.partition('.')
    if rest:
        return replace(config, **{name: changed(getattr(config, name), rest, value)})
    before = getattr(config, name)
    if isinstance(before, tuple):
        value = (*before[:-1], value)  # where min() would not see NaN
    elif isinstance(before, list):
        value = [value]
    return replace(config, **{name: value})


def test_the_floats_of_a_recipe_are_found():
    assert {'mean', 'data.weights', 'data.scale', 'loss.auxiliary', 'loss.boundary.threshold',
            'optim.bn_momentum', 'max_minutes'} <= set(floats(FitConfig()))


@pytest.mark.parametrize('value', [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize('name', list(floats(FitConfig())))
def test_no_number_of_a_recipe_may_be_nan_or_infinite(name, value):
    with pytest.raises(SegnodeError) as caught:
        check(changed(FitConfig(), name, value))
    assert str(caught.value).startswith(f'{name} must be '), caught.value
    assert str(value) in str(caught.value)


def test_each_auxiliary_weight_is_looked_at():
    with pytest.raises(SegnodeError, match='^loss.auxiliary must be 0 or above, not nan'):
        check(FitConfig(loss=LossConfig(auxiliary=[0.4, math.nan])))
    check(FitConfig(loss=LossConfig(auxiliary=[])))
