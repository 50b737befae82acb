# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Looking through a dataset before anything is trained on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
import functools
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from segnode.errors import SegnodeError
from segnode.labels import IGNORE, LabelSet
from training.datasets.base import Dataset, Sample
from training.datasets.source import Pool
from training.parallel import in_order


@dataclass
class SplitCheck:
    """What was found in one split.

    Args:
        name: DATASET:SPLIT.
        classes: the dataset's own.
        images: image files.
        labels: label files.
        official: frames that the publisher's split has; 0 where that is not known.
        unmatched: files without a partner.
        faults: one sentence for each file that cannot be used.
        strange: keys of frames that the publisher has in another split.
        sizes: frames by (height, width).
        pixels: int64 (C,), labelled pixels per class.
        frames: int64 (C,), frames in which each class occurs.
        ignored: pixels without a label.
        contents: sha256 of each image file, by key; '' where it was not read.
        images_of: name of the dataset that has these images.
    """

    name: str
    classes: LabelSet
    images: int
    labels: int
    official: int
    unmatched: list[Path] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    pixels: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    frames: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    ignored: int = 0
    contents: dict[str, str] = field(default_factory=dict)
    images_of: str = ''

    @property
    def never(self) -> list[str]:
        """Names of the classes that have no pixel."""
        return [n for n, count in zip(self.classes.names, self.pixels) if not count]

    def to_dict(self) -> dict[str, Any]:
        """Return the findings as plain types."""
        return {
            'name': self.name,
            'images': self.images,
            'labels': self.labels,
            'official': self.official,
            'unmatched': [str(path) for path in self.unmatched],
            'faults': self.faults,
            'of_other_splits': self.strange,
            'sizes': {f'{h}x{w}': count for (h, w), count in self.sizes.most_common()},
            'pixels': dict(zip(self.classes.names, self.pixels.tolist())),
            'frames': dict(zip(self.classes.names, self.frames.tolist())),
            'ignored_pixels': self.ignored,
        }


@dataclass(frozen=True)
class _Frame:
    """What one frame gave."""

    fault: str = ''
    size: tuple[int, int] | None = None
    pixels: np.ndarray | None = None
    content: str = ''


def check_split(
    dataset: Dataset, folder: Path, split: str, *, quick: bool = False, progress: bool = True
) -> SplitCheck:
    """Look at every file of a split.

    Args:
        dataset: which.
        folder: where it lies.
        split: of it.
        quick: compare the sizes that the files' headers state, and decode nothing.
        progress: show a bar.

    Raises:
        SegnodeError: there is no such split in this folder.
    """
    images, labels = dataset.files(folder, split)
    classes = dataset.label_set(folder)
    lonely = [images[k] for k in sorted(set(images) - set(labels))]
    lonely += [labels[k] for k in sorted(set(labels) - set(images))]
    check = SplitCheck(
        name=f'{dataset.name}:{split}',
        classes=classes,
        images=len(images),
        labels=len(labels),
        official=dataset.counts.get(split, 0),
        unmatched=lonely,
        pixels=np.zeros(classes.num_classes, np.int64),
        frames=np.zeros(classes.num_classes, np.int64),
        images_of=dataset.images_of or dataset.name,
        strange=dataset.of_other_splits(split, images),
    )
    samples = [Sample(k, images[k], labels[k]) for k in sorted(set(images) & set(labels))]
    if not samples:
        check.faults.append(f'{check.name} has no frame with a label in {folder}.')

    def look(sample: Sample) -> _Frame:
        return _header(dataset, sample) if quick else _read(dataset, classes, sample)

    for sample, frame in zip(samples, in_order(look, samples, check.name, progress=progress)):
        if frame.fault:
            check.faults.append(frame.fault)
            continue
        if frame.size is not None:
            check.sizes[frame.size] += 1
        if frame.pixels is not None:
            known = frame.pixels[: classes.num_classes]
            check.pixels += known
            check.frames += known > 0
            check.ignored += int(frame.pixels[IGNORE])
        check.contents[sample.key] = frame.content
    return check


def check_sizes(pool: Pool) -> None:
    """Make sure, from the files' headers alone, that every image and its label fit.

    Raises:
        SegnodeError: names the first file that is unreadable or of another size.
    """
    for source in pool.sources:
        look = functools.partial(_header, source.dataset)
        frames = in_order(look, source.samples, source.name, progress=False)
        for frame in frames:
            if frame.fault:
                raise SegnodeError(
                    f'{frame.fault} "python -m training check-data {source.name}" looks through '
                    'all of it.'
                )


def overlaps(checks: Sequence[SplitCheck]) -> list[str]:
    """Say in one sentence each which splits share frames, by name or by content."""
    sentences = []
    for position, first in enumerate(checks):
        for second in checks[position + 1:]:
            same_images = first.images_of == second.images_of
            if same_images and first.name.split(':')[1] == second.name.split(':')[1]:
                continue  # one split, annotated twice
            names = sorted(set(first.contents) & set(second.contents)) if same_images else []
            if names:
                sentences.append(
                    f'{first.name} and {second.name} share {len(names)} frames, first: {names[0]}.'
                )
                continue
            by_content = {content: key for key, content in second.contents.items() if content}
            twins = [(k, by_content[c]) for k, c in first.contents.items() if c in by_content]
            if twins:
                sentences.append(
                    f'{first.name} and {second.name} share {len(twins)} images under different '
                    f'names, first: {twins[0][0]} is {twins[0][1]}.'
                )
    return sentences


def _header(dataset: Dataset, sample: Sample) -> _Frame:
    if dataset.read_pair is not None:
        return _Frame()
    sizes = []
    for path in (sample.image, sample.label):
        try:
            with Image.open(path) as picture:
                sizes.append((picture.height, picture.width))
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            return _Frame(f'{path} is not a readable image: {error}.')
    if sizes[0] != sizes[1]:
        (h, w), (label_h, label_w) = sizes
        return _Frame(f'{sample.image} is {h}x{w}, but {sample.label} is {label_h}x{label_w}.')
    return _Frame(size=sizes[0])


def _read(dataset: Dataset, classes: LabelSet, sample: Sample) -> _Frame:
    try:
        image, label = dataset.load(sample, classes)
    except SegnodeError as error:
        return _Frame(str(error))
    if dataset.read_pair is None:
        content = hashlib.sha256(sample.image.read_bytes()).hexdigest()
    else:
        content = hashlib.sha256(image.tobytes()).hexdigest()
    pixels = np.bincount(label.ravel(), minlength=256)
    return _Frame(size=(label.shape[0], label.shape[1]), pixels=pixels, content=content)
