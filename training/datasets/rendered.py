# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The package's own rendered road scenes as a dataset: CamVid's 11 classes, no folder needed.

A split is NAME or NAME-COUNT, such as ``train`` or ``val-20``: every name is another set of
streets, every frame another place in one of them. For trying things out, and for tests.
"""

from __future__ import annotations

import functools
from pathlib import Path
import re
import zlib

import numpy as np

from segnode.errors import SegnodeError
from segnode.road_scene import RoadScene
from training.datasets.base import built_in, Dataset, Sample

SIZE = (360, 480)
COUNTS = {'train': 64, 'val': 16}
FRAMES_PER_STREET = 8
STEP = 25  # frames, at 15 Hz, between two pictures of one street


def find_files(root: Path, split: str) -> tuple[dict[str, Path], dict[str, Path]]:
    """Return the frames' names; there are no files.

    Raises:
        SegnodeError: the split is not NAME or NAME-COUNT.
    """
    match = re.fullmatch(r'([A-Za-z_]+)(?:-(\d+))?', split)
    if not match or match[2] == '0':
        raise SegnodeError(f'A split of "rendered" is NAME or NAME-COUNT, not "{split}".')
    count = int(match[2] or COUNTS.get(match[1], 64))
    files = {f'{match[1]}_{index:05}': Path() for index in range(count)}
    return files, dict(files)


def draw(sample: Sample) -> tuple[np.ndarray, np.ndarray]:
    """Image uint8 (360, 480, 3) BGR and its labels uint8 (360, 480), always the same."""
    name, _, number = sample.key.rpartition('_')
    street, place = divmod(int(number), FRAMES_PER_STREET)
    return _street(zlib.crc32(f'{name} {street}'.encode())).frame(place * STEP)


@functools.lru_cache(maxsize=2)
def _street(seed: int) -> RoadScene:
    return RoadScene(*SIZE, seed=seed)


RENDERED = Dataset(
    name='rendered',
    licence='',
    files=find_files,
    label_set=built_in('camvid'),
    read_label=lambda path, classes: np.zeros(SIZE, np.uint8),
    counts=COUNTS,
    needs_folder=False,
    read_pair=draw,
)
