# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""A released pair for tests: FSFFNet at 128x256, never trained, but with settled statistics."""

from __future__ import annotations

import atexit
import functools
from pathlib import Path
import shutil
import tempfile
from typing import Any

import numpy as np
import pytest

from segnode.export import release
from segnode.labels import load_label_set
from segnode.model import Model
from segnode.record import ModelRecord
from segnode.road_scene import RoadScene

NAME = 'fsffnet_small'
SIZE = (128, 256)


def record(**changes: Any) -> ModelRecord:
    """Return the record of the pair, or one that differs."""
    entries: dict[str, Any] = {
        'network': 'fsffnet',
        'label_set': load_label_set('camvid'),
        'input_size': SIZE,
        'data_licence': 'made for tests',
        'training': {'seed': 0, 'miou': {'val': 0.25}},
    }
    return ModelRecord(**{**entries, **changes})


@functools.cache
def network() -> Any:
    """Return the network: random weights whose batch statistics fit rendered frames.

    With the statistics that a fresh network has, every pixel gets the same label, and a test that
    compares labels would compare nothing.
    """
    torch = pytest.importorskip('torch')
    from segnode.networks.zoo import create
    from segnode.runtimes.graph import DeployGraph

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        made = create('fsffnet', 11)
        for layer in made.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.momentum = 0.3
        prepare = DeployGraph(made, record()).prepare
        made.train()
        with torch.no_grad():
            for step in range(4):
                made(prepare(torch.from_numpy(frames(4, first=40 * step))))
    return made.eval()


def frames(count: int, size: tuple[int, int] = SIZE, first: int = 0) -> np.ndarray:
    """Return uint8 (count, *size, 3) rendered road scenes, BGR."""
    scene = RoadScene(*size)
    return np.stack([scene.frame(first + 9 * index)[0] for index in range(count)])


@functools.cache
def stem() -> Path:
    """Return the path without suffix of the pair, made on first use; not to be changed."""
    folder = Path(tempfile.mkdtemp(prefix='segnode-test-'))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    pytest.importorskip('onnx')
    pytest.importorskip('onnxruntime')
    release(network(), record(), folder / NAME)
    return folder / NAME


def model() -> Model:
    """Return the pair, loaded."""
    return Model.load(stem())


def copy_to(folder: Path, name: str = NAME) -> Path:
    """Copy the pair into a folder, where a test may spoil it; returns its stem."""
    for suffix in ('.safetensors', '.onnx'):
        source = stem().with_name(stem().name + suffix)
        shutil.copy(source, folder / (name + suffix))
    return folder / name
