# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Values of a run and its optimiser that cannot work, found before anything is imported."""

from __future__ import annotations

import math
from typing import Any, TYPE_CHECKING

from segnode.errors import SegnodeError
from training.number_checks import check_above, check_from_zero

if TYPE_CHECKING:
    from training.config import FitConfig, OptimConfig

PRECISIONS = ('32-true', 'bf16-mixed', '16-mixed')
ACCELERATORS = ('auto', 'cpu', 'gpu')
OPTIMIZERS = ('adamw', 'adam', 'sgd')
SCHEDULES = ('poly', 'cosine', 'constant')
MOST_SEED = 2**32 - 1  # what NumPy's global generator takes, which Lightning seeds, too
PRECISE_BN_BATCH = 8  # frames; a norm over pooled features sees one value of each


def check_run(config: FitConfig) -> None:
    """Check how long, how large and where a run is.

    Raises:
        SegnodeError: names the key and what it may be.
    """
    positive: dict[str, float | None] = {
        'epochs': config.epochs, 'batch_size': config.batch_size, 'val_every': config.val_every,
        'accumulate': config.accumulate, 'keep': config.keep, 'log.every': config.log.every,
        'max_steps': config.max_steps, 'clip_gradient': config.clip_gradient,
        'early_stop': config.early_stop, 'max_minutes': config.max_minutes,
    }
    check_above(positive)
    for value in config.std:
        check_above({'std': value})
    for value in config.mean:
        if not math.isfinite(value):
            raise SegnodeError(f'mean must be three finite numbers, not {list(config.mean)}.')
    if not 0 <= config.seed <= MOST_SEED:
        raise SegnodeError(f'seed must be from 0 to {MOST_SEED}, not {config.seed}.')
    check_from_zero({'threads': config.threads,
                     'log.pictures': config.log.pictures, 'data.workers': config.data.workers})
    _one_of({'precision': (config.precision, PRECISIONS),
             'accelerator': (config.accelerator, ACCELERATORS)})
    devices = str(config.devices)
    if devices != 'auto' and not (devices.isdecimal() and int(devices) > 0):
        raise SegnodeError(f'devices must be auto or a number above 0, not {devices!r}.')
    if not config.name or '/' in config.name or config.name in ('.', '..'):
        raise SegnodeError(f'name must be the name of a folder, without "/", not {config.name!r}.')


def check_optim(optim: OptimConfig) -> None:
    """Check the optimiser's values.

    Raises:
        SegnodeError: names the key and what it may be.
    """
    _one_of({'optim.kind': (optim.kind, OPTIMIZERS),
             'optim.schedule': (optim.schedule, SCHEDULES)})
    check_above({'optim.lr': optim.lr, 'optim.lr_batch': optim.lr_batch,
                 'optim.power': optim.power})
    check_from_zero({'optim.weight_decay': optim.weight_decay,
                     'optim.backbone_lr_factor': optim.backbone_lr_factor,
                     'optim.warmup_steps': optim.warmup_steps,
                     'optim.warmup_epochs': optim.warmup_epochs})
    for name, value, highest in (('momentum', optim.momentum, 'below 1'),
                                 ('ema_decay', optim.ema_decay, 'below 1'),
                                 ('final_factor', optim.final_factor, 'at most 1')):
        if not 0 <= value <= 1 or (value == 1 and highest == 'below 1'):
            raise SegnodeError(f'optim.{name} must be 0 or above and {highest}, not {value}.')
    momentum = optim.bn_momentum
    if momentum is not None and not 0 < momentum <= 1:
        raise SegnodeError(
            f'optim.bn_momentum must be null, or above 0 and at most 1, not {momentum}.'
        )
    if optim.precise_bn and optim.precise_bn < PRECISE_BN_BATCH:
        raise SegnodeError(
            f'optim.precise_bn must be 0, or {PRECISE_BN_BATCH} frames or more, not '
            f'{optim.precise_bn}.'
        )
    if optim.nesterov and optim.kind != 'sgd':
        raise SegnodeError(f'optim.nesterov is a form of sgd, not of optim.kind {optim.kind}.')
    if optim.nesterov and not optim.momentum:
        raise SegnodeError('optim.nesterov needs an optim.momentum above 0.')


def check_init(config: FitConfig) -> None:
    """Check that a run starts from one thing only.

    Raises:
        SegnodeError: it is to start from a whole model and from a backbone's weights.
    """
    if config.init.weights is not None and config.backbone.weights is not None:
        raise SegnodeError(
            'init.weights and backbone.weights are both given, but a whole model has a backbone '
            'of its own: give one of them.'
        )


def _one_of(choices: dict[str, tuple[Any, tuple[str, ...]]]) -> None:
    for name, (choice, known) in choices.items():
        if choice not in known:
            raise SegnodeError(f'{name} must be one of {", ".join(known)}, not {choice!r}.')
