# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Values of the data and its augmentation that cannot work, found before any data is read."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from segnode.errors import SegnodeError

if TYPE_CHECKING:
    from training.config import DataConfig

CHOICES = {
    'scale_of': ('input', 'image'),
    'fit': ('stretch', 'letterbox', 'crop'),
    'cache': ('auto', 'memory', 'none'),
    'augment_on': ('auto', 'loader', 'device'),
}


def check_data_values(data: DataConfig) -> None:
    """Check how frames are chosen, augmented and kept.

    Raises:
        SegnodeError: names the key and what it may be.
    """
    for name, known in CHOICES.items():
        if getattr(data, name) not in known:
            raise SegnodeError(
                f'data.{name} must be one of {", ".join(known)}, not {getattr(data, name)!r}.'
            )
    low, high = data.scale
    if not 0 < low <= high < math.inf:
        raise SegnodeError(
            f'data.scale must be two numbers above 0, the smaller one first, not [{low}, {high}].'
        )
    given = [data.train] if isinstance(data.train, str) else data.train
    if data.weights and (len(data.weights) != len(given) or not all(
            0 < weight < math.inf for weight in data.weights)):
        raise SegnodeError(
            f'data.weights must be a number above 0 for each of {", ".join(given)}, not '
            f'{data.weights}.'
        )
    for name, most in (('flip', 1), ('jitter', 1), ('class_uniform', 1), ('class_mix', 1),
                       ('hue', 180), ('white_balance', 1), ('gamma', 9)):
        if not 0 <= getattr(data, name) <= most:
            raise SegnodeError(
                f'data.{name} must be from 0 to {most}, not {getattr(data, name)}.'
            )
    if not 0 < data.cat_max_ratio <= 1:
        raise SegnodeError(
            f'data.cat_max_ratio must be above 0 and at most 1, not {data.cat_max_ratio}.'
        )
    if data.cache == 'none' and data.augment_on == 'device':
        raise SegnodeError(
            'data.augment_on device keeps the frames on the device, which data.cache none '
            'forbids: set one of them to auto.'
        )
