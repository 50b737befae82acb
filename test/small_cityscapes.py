# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""A small tree in Cityscapes' layout, and a model of its 19 classes that nobody trained."""

from __future__ import annotations

import atexit
import functools
from pathlib import Path
import shutil
import tempfile

import cv2
import numpy as np
import pytest

from segnode.export import release
from segnode.labels import load_label_set
import small_model

CLASSES = load_label_set('cityscapes')
SIZE = (64, 128)
CITIES = ('aachen', 'ulm')


def write(path: Path, array: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), array)
    return path


def key(number: int) -> str:
    """CITY_SEQUENCE_FRAME of a frame."""
    return f'{CITIES[number % 2]}_{number:06}_000019'


def add_frame(
    root: Path, number: int, split: str = 'val', annotation: str = 'gtFine',
    size: tuple[int, int] = SIZE, instances: bool = True,
) -> tuple[np.ndarray, np.ndarray]:
    """Write one frame of blocks, always the same; returns its label ids and instances."""
    rng = np.random.default_rng(number)
    grid = np.ones((8, 8), np.uint8)
    ids = np.kron(rng.integers(0, 34, (size[0] // 8, size[1] // 8)), grid).astype(np.uint8)
    objects = np.kron(rng.integers(0, 3, (size[0] // 8, size[1] // 8)), grid)
    counted = (ids >= 24) & (objects > 0)
    numbers = np.where(counted, ids.astype(np.uint16) * 1000 + objects, ids).astype(np.uint16)
    image = cv2.blur(rng.integers(0, 256, (*size, 3), np.uint8), (5, 5))
    stem, city = key(number), key(number).partition('_')[0]
    write(root / 'leftImg8bit' / split / city / f'{stem}_leftImg8bit.png', image)
    folder = root / annotation / split / city
    write(folder / f'{stem}_{annotation}_labelIds.png', ids)
    if instances:
        write(folder / f'{stem}_{annotation}_instanceIds.png', numbers)
    return ids, numbers


@functools.cache
def stem() -> Path:
    """Return the path without suffix of a Fast-SCNN at 64x128, made on first use."""
    torch = pytest.importorskip('torch')
    pytest.importorskip('onnx')
    pytest.importorskip('onnxruntime')
    from segnode.networks.zoo import create
    from segnode.runtimes.graph import DeployGraph

    folder = Path(tempfile.mkdtemp(prefix='segnode-test-'))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    record = small_model.record(network='fast_scnn', label_set=CLASSES, input_size=SIZE)
    frames = torch.from_numpy(small_model.frames(8, SIZE))
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(3)
        network = create('fast_scnn', 19)
        prepared = DeployGraph(network, record).prepare(frames)
        network.train()
        for _ in range(8):
            network(prepared)
        # Logits of one mean and spread, so that no class takes all pixels.
        logits = network.eval()(prepared)
        last = [m for name, m in network.named_modules() if isinstance(m, torch.nn.Conv2d)
                and m.out_channels == 19 and 'auxiliary' not in name][-1]
        mean, scale = logits.mean((0, 2, 3)), 3.0 / logits.std((0, 2, 3))
        last.bias.copy_((last.bias - mean) * scale)
        last.weight.mul_(scale[:, None, None, None])
    release(network, record, folder / 'fast_scnn_small')
    return folder / 'fast_scnn_small'
