# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The frames that a conversion is calibrated on and measured with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segnode.errors import SegnodeError
from segnode.fitting import fit_image
from segnode.image_files import is_image_name
from segnode.labels import LabelSet
from segnode.road_scene import RoadScene
from training.datasets.base import read_image
from training.datasets.source import open_pool, Pool

RENDERED = 16  # frames where no data is named
STEP = 25  # of the rendered street from one to the next


@dataclass(frozen=True)
class Frames:
    """Images of a dataset with their labels, of a folder without, or rendered ones.

    Args:
        name: what they are, for reports.
        pool: of a dataset; None for others.
        paths: of a folder; empty for others.
        indices: which of them are meant.
    """

    name: str
    pool: Pool | None
    paths: tuple[Path, ...]
    indices: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def labelled(self) -> bool:
        """Tell whether there is a truth to compare with."""
        return self.pool is not None

    @property
    def whole(self) -> bool:
        """Tell whether all frames of the splits named are meant."""
        return self.pool is not None and len(self.indices) == len(self.pool)

    def spread(self, count: int) -> Frames:
        """Return ``count`` of them, evenly taken, or all where there are fewer."""
        return Frames(self.name, self.pool, self.paths, _spread(self.indices, count))

    def images(self, size: tuple[int, int], fit: str = 'stretch') -> Iterator[np.ndarray]:
        """Yield uint8 (1, H, W, 3) BGR images, brought to ``size`` as on a vehicle.

        Raises:
            SegnodeError: one cannot be read.
        """
        scene = None if self.pool or self.paths else RoadScene(*(max(64, side) for side in size))
        for index in self.indices:
            if scene is not None:
                image = scene.frame(STEP * index)[0]
            elif self.pool is not None:
                image = self.pool.load(index)[0]
            else:
                image = read_image(self.paths[index])
            yield fit_image(image, size, fit)[0][None]


def open_frames(
    given: Sequence[str],
    label_set: LabelSet,
    *,
    roots: Mapping[str, str] | None = None,
    label_maps: Sequence[str | Path] = (),
    limit: int | None = None,
) -> Frames:
    """Find frames.

    Args:
        given: DATASET:SPLIT, one or several, or one folder of images; nothing for rendered ones.
        label_set: the model's classes.
        roots: folders by dataset name.
        label_maps: the user's own tables from one label set to another.
        limit: so many, evenly taken from all.

    Raises:
        SegnodeError: there are none, or see ``open_pool``.
    """
    if not given:
        frames = Frames('rendered', None, (), tuple(range(RENDERED)))
    elif len(given) == 1 and Path(given[0]).expanduser().is_dir():
        folder = Path(given[0]).expanduser()
        paths = tuple(sorted(path for path in folder.rglob('*') if is_image_name(path)))
        if not paths:
            raise SegnodeError(f'there are no images in {folder}')
        frames = Frames(folder.name, None, paths, tuple(range(len(paths))))
    else:
        pool = open_pool(given, roots, label_set, label_maps)
        frames = Frames('+'.join(pool.names), pool, (), tuple(range(len(pool))))
    return frames if limit is None else frames.spread(limit)


def _spread(indices: tuple[int, ...], count: int) -> tuple[int, ...]:
    places = np.linspace(0, len(indices) - 1, min(count, len(indices))).round()
    return tuple(indices[int(place)] for place in places)
