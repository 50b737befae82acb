# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""What the tests of several losses share: small cases, and softmax in plain NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip('torch')


def random_case(
    classes: int = 4, size: tuple[int, int] = (6, 8), seed: int = 0, ignored: float = 0.2
) -> tuple[Any, Any]:
    """float64 logits (2, C, H, W) and int64 labels (2, H, W), a share of them 255."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(2, classes, *size, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, classes, (2, *size), generator=generator)
    labels[torch.rand(labels.shape, generator=generator) < ignored] = 255
    return logits, labels


def nearest_case(classes: int = 4, seed: int = 0) -> tuple[Any, Any, Any]:
    """Logits (2, C, 6, 8), the same enlarged by 2, and labels (2, 12, 16)."""
    logits, _ = random_case(classes, seed=seed)
    _, labels = random_case(classes, (12, 16), seed + 1)
    return logits, logits.repeat_interleave(2, 2).repeat_interleave(2, 3), labels


def softmax(logits: Any, axis: int) -> np.ndarray:
    """Softmax by its definition, float64."""
    array = np.asarray(logits.detach(), np.float64)
    powers = np.exp(array - array.max(axis, keepdims=True))
    return powers / powers.sum(axis, keepdims=True)


def labelled(logits: Any, labels: Any) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (P, C) and true classes (P,) of the P labelled pixels."""
    probability = softmax(logits, 1).transpose(0, 2, 3, 1)
    valid = labels.numpy() != 255
    return probability[valid], labels.numpy()[valid]


def check_all_ignored(loss_of: Callable[[Any, Any], Any], classes: int = 4) -> None:
    """A loss of nothing but ignored labels (2, 4, 4) is zero, and so is its gradient."""
    logits = torch.randn(2, classes, 4, 4, requires_grad=True)
    loss = loss_of(logits, torch.full((2, 4, 4), 255))
    loss.backward()
    assert loss.item() == 0.0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


def settled(network: Any) -> Any:
    """Bring a fresh network's batch statistics to those of noise; returns it in eval mode."""
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = 0.5
    network.train()
    with torch.no_grad():
        for _ in range(5):
            network(torch.randn(4, 3, 64, 64))
    return network.eval()
