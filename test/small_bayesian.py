# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""A narrow Bayesian SegNet at 32x64 for tests: never trained, but sure of some of its pixels."""

from __future__ import annotations

import atexit
import functools
from pathlib import Path
import shutil
import tempfile
from typing import Any

import cv2
import numpy as np
import pytest

from segnode.export import save_safetensors
from segnode.model import Model
from segnode.record import ModelRecord
import small_model

NAME = 'bayesian_small'
SIZE = (32, 64)
WIDTH = 1 / 16


def record(**args: Any) -> ModelRecord:
    """Return the record of a narrow network with these further arguments."""
    return small_model.record(
        network='bayesian_segnet', network_args={'width': WIDTH, **args}, input_size=SIZE)


def frames(count: int, size: tuple[int, int] = SIZE, seed: int = 0) -> np.ndarray:
    """Return uint8 (count, *size, 3): blobs and noise."""
    noise = np.random.default_rng(seed).integers(0, 256, (count, *size, 3), np.uint8)
    blobs = [cv2.convertScaleAbs(cv2.blur(image, (9, 9)), alpha=4, beta=-384) for image in noise]
    return np.stack(blobs)


@functools.cache
def network(dropout: float = 0.5) -> Any:
    """Return the network: random weights whose batch statistics fit ``frames``."""
    torch = pytest.importorskip('torch')
    from segnode.networks.zoo import create
    from segnode.runtimes.graph import DeployGraph

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        made = create('bayesian_segnet', 11, width=WIDTH, dropout=dropout)
        for layer in made.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.momentum = 0.3
        prepare = DeployGraph(made, record()).prepare
        made.train()
        with torch.no_grad():
            for seed in range(8):
                made(prepare(torch.from_numpy(frames(4, seed=100 + seed))))
            made.classifier.weight *= 4.0  # else every class has much the same probability
    return made.eval()


@functools.cache
def stem() -> Path:
    """Return the path without suffix of its ``.safetensors``, made on first use."""
    folder = Path(tempfile.mkdtemp(prefix='segnode-test-'))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    save_safetensors(folder / f'{NAME}.safetensors', network(), record())
    return folder / NAME


def model() -> Model:
    """Return the model, loaded."""
    return Model.load(stem())
