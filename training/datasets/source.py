# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Splits of one or several datasets, all brought to one label set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
import functools
from pathlib import Path

import numpy as np

from segnode.errors import SegnodeError
from segnode.labels import LabelSet
from training.datasets.base import Dataset, Sample
from training.datasets.label_maps import label_map
from training.datasets.registry import dataset
from training.parallel import in_order
from training.processes import rank


@dataclass(frozen=True)
class Source:
    """One split of one dataset, labelled with the classes of the run.

    Args:
        dataset: where it comes from.
        split: which part of it.
        samples: its frames.
        classes: the dataset's own.
        table: uint8 (256,) from those to the run's; None where they are the same.
    """

    dataset: Dataset
    split: str
    samples: list[Sample]
    classes: LabelSet
    table: np.ndarray | None

    @property
    def name(self) -> str:
        """DATASET:SPLIT, as it was asked for."""
        return f'{self.dataset.name}:{self.split}'

    @property
    def images_of(self) -> str:
        """Name of the dataset that the images come from."""
        return self.dataset.images_of or self.dataset.name

    def __len__(self) -> int:
        return len(self.samples)

    def load(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Image uint8 (H, W, 3) BGR and label uint8 (H, W) in the run's train ids."""
        image, label = self.dataset.load(self.samples[index], self.classes)
        return image, label if self.table is None else self.table[label]

    def load_instances(self, index: int) -> np.ndarray | None:
        """Give integers (H, W), see ``Dataset.read_instances``; None where there are none.

        Neither are there where the dataset's classes are not the run's: the numbers are made of
        the dataset's own ids.
        """
        if self.dataset.read_instances is None or self.table is not None:
            return None
        return self.dataset.read_instances(self.samples[index])

    def load_label(self, index: int) -> np.ndarray:
        """The label alone."""
        if self.dataset.read_pair is not None:
            return self.load(index)[1]
        label = self.dataset.read_label(self.samples[index].label, self.classes)
        return label if self.table is None else self.table[label]


@dataclass(frozen=True)
class Pool:
    """Several sources as one sequence of frames."""

    sources: tuple[Source, ...]
    label_set: LabelSet

    def __len__(self) -> int:
        return sum(map(len, self.sources))

    @property
    def names(self) -> tuple[str, ...]:
        """DATASET:SPLIT of each source."""
        return tuple(source.name for source in self.sources)

    @property
    def licence(self) -> str:
        """What the publishers of all sources say."""
        licences = [s.dataset.licence for s in self.sources]
        return '; '.join(dict.fromkeys(filter(None, licences)))

    def place(self, index: int) -> tuple[Source, int]:
        """Return the source of a frame and its index there."""
        for source in self.sources:
            if index < len(source):
                return source, index
            index -= len(source)
        raise IndexError(index)

    def key(self, index: int) -> str:
        """DATASET/KEY of a frame: one name for one picture, whatever split it is in."""
        source, position = self.place(index)
        return f'{source.images_of}/{source.samples[position].key}'

    def keys(self) -> list[str]:
        """The keys of all frames, in order."""
        return [f'{s.images_of}/{sample.key}' for s in self.sources for sample in s.samples]

    def load(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Image uint8 (H, W, 3) BGR and label uint8 (H, W) of a frame."""
        source, position = self.place(index)
        return source.load(position)

    def load_instances(self, index: int) -> np.ndarray | None:
        """Integers (H, W) that tell objects apart; None where there are none."""
        source, position = self.place(index)
        return source.load_instances(position)

    def class_pixels(self) -> np.ndarray:
        """Labelled pixels per class, int64 (C,). Reads every label file."""
        return self.class_histograms().sum(0)

    @property
    def threads(self) -> int:
        """How many threads may read frames at once; 0 leaves that to the machine."""
        # What is drawn shares its scene between frames.
        return int(any(source.dataset.read_pair is not None for source in self.sources))

    def class_histograms(self) -> np.ndarray:
        """Labelled pixels per frame and class, int64 (frames, C).

        Reads every label file, the first time that it is called.
        """
        return self._histograms

    @functools.cached_property
    def _histograms(self) -> np.ndarray:
        classes = self.label_set.num_classes

        def count(index: int) -> np.ndarray:
            source, position = self.place(index)
            label = source.load_label(position)
            return np.bincount(label.ravel(), minlength=256)[:classes].astype(np.int64)

        counts = in_order(count, range(len(self)), 'counting classes', threads=self.threads,
                          progress=rank() == 0)
        return np.stack(list(counts))


def open_pool(
    specs: str | Sequence[str],
    roots: Mapping[str, str] | None = None,
    label_set: LabelSet | None = None,
    label_maps: Iterable[str | Path] = (),
) -> Pool:
    """Find the frames of one or several splits.

    Args:
        specs: DATASET:SPLIT, one or several.
        roots: folders by dataset name; else each dataset's environment variable says.
        label_set: the classes wanted; by default those of the first dataset.
        label_maps: the user's own tables from one label set to another.

    Raises:
        SegnodeError: no such dataset, split or folder, files without partner, no table.
    """
    for name in roots or ():
        dataset(name)  # a misspelt one would be passed over, and the variable's data taken
    sources: list[Source] = []
    for spec in [specs] if isinstance(specs, str) else specs:
        name, colon, split = spec.partition(':')
        if not colon or not split:
            raise SegnodeError(f'Data is named DATASET:SPLIT, such as camvid:train, not "{spec}".')
        found = dataset(name)
        given = roots or {}
        folder = found.folder(given.get(name) or given.get(found.images_of))
        classes = found.label_set(folder)
        label_set = label_set or classes
        table = label_map(classes, label_set, label_maps)
        sources.append(Source(found, split, found.samples(folder, split), classes, table))
    if not sources or label_set is None:
        raise SegnodeError('No data is named: give DATASET:SPLIT, such as camvid:train.')
    return Pool(tuple(sources), label_set)


def refuse_overlap(train: Pool, val: Pool) -> None:
    """Make sure that no frame is in both.

    Raises:
        SegnodeError: names the number of shared frames and the first.
    """
    shared = sorted(set(train.keys()) & set(val.keys()))
    if shared:
        raise SegnodeError(
            f'{len(shared)} frames are in both {"+".join(train.names)} and '
            f'{"+".join(val.names)}, first: {shared[0]}.'
        )
