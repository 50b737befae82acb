# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The optimiser of a run: its groups of parameters, its rate, and the schedule of that."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from segnode.networks.zoo import NetworkInfo
from training.config import OptimConfig


def parameter_groups(
    network: nn.Module, info: NetworkInfo, optim: OptimConfig, lr: float
) -> list[dict[str, Any]]:
    """Sort the parameters by weight decay, and by rate where the backbone's differs.

    Kernels decay. What has one dimension does not: norms, biases and PReLU slopes.

    Args:
        network: of the zoo.
        info: its entry there, which states what its backbone is.
        optim: weight decay, and the backbone's factor.
        lr: the real rate.

    Returns:
        Groups for a PyTorch optimiser, kernels first; those without a parameter are left out.
    """
    backbone: set[int] = set()
    if info.backbone and optim.backbone_lr_factor != 1.0:
        backbone = {id(parameter) for part in info.backbone_parts
                    for parameter in network.get_submodule(part).parameters()}
    groups = []
    for in_backbone in (False, True):
        rate = lr * (optim.backbone_lr_factor if in_backbone else 1.0)
        members = [p for p in network.parameters() if (id(p) in backbone) == in_backbone]
        for kernels in (True, False):
            chosen = [p for p in members if (p.ndim > 1) == kernels]
            if chosen:
                groups.append({'params': chosen, 'lr': rate,
                               'weight_decay': optim.weight_decay if kernels else 0.0})
    return groups


def optimizer(
    network: nn.Module, info: NetworkInfo, optim: OptimConfig, lr: float
) -> torch.optim.Optimizer:
    """Return the optimiser that the configuration names."""
    groups = parameter_groups(network, info, optim, lr)
    if optim.kind == 'sgd':
        return torch.optim.SGD(groups, lr, momentum=optim.momentum, nesterov=optim.nesterov)
    kinds = {'adam': torch.optim.Adam, 'adamw': torch.optim.AdamW}
    return kinds[optim.kind](groups, lr)


def real_rate(optim: OptimConfig, images: int) -> float:
    """Return the peak learning rate of a run with so many images per step.

    Linear in the images for SGD (Goyal et al., arXiv 1706.02677); by their square root for Adam
    and AdamW, whose step does not grow with the gradient (Malladi et al., arXiv 2205.10287).
    """
    if optim.lr_batch is None:
        return optim.lr
    ratio = images / optim.lr_batch
    return optim.lr * (ratio if optim.kind == 'sgd' else math.sqrt(ratio))


def rate_factor(step: int, total: int, warmup: int, optim: OptimConfig) -> float:
    """Factor of the learning rate at a step of the optimiser, counted from 0.

    Args:
        step: this one.
        total: of the run.
        warmup: steps in which it rises linearly to 1.
        optim: schedule, power and final_factor.
    """
    if step < warmup:
        return (step + 1) / warmup
    done = min(1.0, (step - warmup) / max(1, total - warmup))
    if optim.schedule == 'constant':
        return 1.0
    if optim.schedule == 'cosine':
        left = 0.5 * (1.0 + math.cos(math.pi * done))
    else:
        left = (1.0 - done) ** optim.power
    return optim.final_factor + (1.0 - optim.final_factor) * left


def warmup_steps(optim: OptimConfig, steps_per_epoch: float) -> int:
    """Return the steps of the warm-up, given as such or in epochs."""
    if optim.warmup_epochs > 0:
        return round(optim.warmup_epochs * steps_per_epoch)
    return optim.warmup_steps
