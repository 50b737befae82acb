# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""What every dataset is: samples paired by key, images in BGR, labels as train ids."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
import logging
import os
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from segnode import image_reading
from segnode.errors import SegnodeError
from segnode.image_files import is_image_name
from segnode.labels import IGNORE, LabelSet, load_label_set

_LOG = logging.getLogger('segnode')


@dataclass(frozen=True)
class Sample:
    """One image and its label file.

    Args:
        key: what pairs the two and names the frame everywhere (never a position).
        image: file of the image.
        label: file of the labels.
    """

    key: str
    image: Path
    label: Path


@dataclass(frozen=True)
class Dataset:
    """A dataset of road scenes, as its publisher lays it out.

    Args:
        name: what users call it.
        licence: what its publisher allows, in a sentence for the records of models.
        files: (folder, split) -> the images and the label files of a split, each by key;
            SegnodeError names the layouts that were looked for.
        label_set: (folder) -> the dataset's own classes; most datasets have the same wherever
            they lie.
        read_label: (file, those classes) -> uint8 (H, W) train ids, 255 unlabelled; SegnodeError
            names the file and what is wrong with it.
        counts: samples per split as published, where that is known.
        variable: environment variable that holds the folder, by default NAME_DATASET.
        needs_folder: false for what is drawn and not read.
        read_pair: sample -> image and labels, for data that do not lie in files.
        skip_unmatched: leave out files without a partner, with a warning; for data that its
            publisher ships with such files.
        find_images: (folder, split) -> the images by key, where a split may come without
            labels; by default the first of ``files``.
        read_instances: sample -> integers (H, W), raw id * 1000 + number for the pixels of an
            object, less elsewhere; None where this frame has no such file.
        images_of: name of the dataset that has the same images, where this one annotates those
            of another: its folder serves both, and a frame has one name in both.
        split_of: key -> the published split that the frame is in, '' where that is not known;
            for data of which other splits go round, too.
    """

    name: str
    licence: str
    files: Callable[[Path, str], tuple[dict[str, Path], dict[str, Path]]]
    label_set: Callable[[Path], LabelSet]
    read_label: Callable[[Path, LabelSet], np.ndarray]
    counts: Mapping[str, int] = field(default_factory=dict)
    variable: str = ''
    needs_folder: bool = True
    read_pair: Callable[[Sample], tuple[np.ndarray, np.ndarray]] | None = None
    skip_unmatched: bool = False
    find_images: Callable[[Path, str], dict[str, Path]] | None = None
    read_instances: Callable[[Sample], np.ndarray | None] | None = None
    images_of: str = ''
    split_of: Callable[[str], str] = lambda key: ''

    def folder(self, given: str | Path | None = None) -> Path:
        """Return where the dataset lies: what was given, else what its variable says.

        Raises:
            SegnodeError: neither is set, or the folder does not exist.
        """
        if not self.needs_folder:
            return Path()
        variable = self.variable or f'{(self.images_of or self.name).upper()}_DATASET'
        where = given or os.environ.get(variable)
        if not where:
            raise SegnodeError(
                f'Where is {self.name}? Give its folder (--root FOLDER, --data.roots.{self.name} '
                f'FOLDER) or set {variable}.'
            )
        folder = Path(where).expanduser()
        if not folder.is_dir():
            raise SegnodeError(f'The {self.name} folder {folder} does not exist.')
        return folder

    def images(self, folder: Path, split: str) -> dict[str, Path]:
        """Return the images of a split by key, whether or not it has labels.

        Raises:
            SegnodeError: no such split in this folder, or no images.
        """
        found = self.find_images or (lambda root, name: self.files(root, name)[0])
        images = found(folder, split)
        if not images:
            raise SegnodeError(f'{self.name}:{split} in {folder} has no images.')
        return images

    def samples(self, folder: Path, split: str) -> list[Sample]:
        """Return the samples of a split, sorted by key.

        Raises:
            SegnodeError: no such split in this folder, files without a partner, or no files.
        """
        images, labels = self.files(folder, split)
        lonely = [images[key] for key in sorted(set(images) - set(labels))]
        lonely += [labels[key] for key in sorted(set(labels) - set(images))]
        if lonely and not self.skip_unmatched:
            raise SegnodeError(
                f'{len(lonely)} files of {self.name}:{split} have no partner, first: {lonely[0]}; '
                '"python -m training check-data" lists them all.'
            )
        if lonely:
            _LOG.warning(
                '%d files of %s:%s have no partner and are left out, first: %s',
                len(lonely), self.name, split, lonely[0],
            )
        keys = sorted(set(images) & set(labels))
        if not keys:
            raise SegnodeError(f'{self.name}:{split} in {folder} is empty.')
        strange = self.of_other_splits(split, keys)
        if strange:
            _LOG.warning(
                '%d frames of %s:%s are in another published split, first: %s; figures do not '
                'compare with published ones', len(strange), self.name, split, strange[0],
            )
        return [Sample(key, images[key], labels[key]) for key in keys]

    def of_other_splits(self, split: str, keys: Iterable[str]) -> list[str]:
        """Return those keys that the publisher has in another split than this one, sorted."""
        if split not in self.counts:
            return []  # a split of the user's own
        return sorted(key for key in keys if self.split_of(key) not in ('', split))

    def load(self, sample: Sample, classes: LabelSet) -> tuple[np.ndarray, np.ndarray]:
        """Image uint8 (H, W, 3) BGR and label uint8 (H, W) of one sample.

        Args:
            sample: one of ``samples``.
            classes: what ``label_set`` says of its folder.

        Raises:
            SegnodeError: a file is unreadable, or the two differ in size.
        """
        if self.read_pair is not None:
            return self.read_pair(sample)
        image, label = read_image(sample.image), self.read_label(sample.label, classes)
        if image.shape[:2] != label.shape:
            raise SegnodeError(
                f'{sample.image} is {image.shape[0]}x{image.shape[1]}, but its label '
                f'{sample.label.name} is {label.shape[0]}x{label.shape[1]}.'
            )
        return image, label


def built_in(name: str) -> Callable[[Path], LabelSet]:
    """Return the ``label_set`` of a dataset whose classes are a built-in set."""
    return lambda folder: load_label_set(name)


def read_image(path: Path) -> np.ndarray:
    """Read an image as uint8 (H, W, 3) BGR.

    Raises:
        SegnodeError: the file is not a readable image.
    """
    # As it is stored: a camera's orientation tag must not turn an image away from its labels.
    image = image_reading.read_image(path, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if image is None:
        raise SegnodeError(f'{path} is not a readable image.')
    return image


def read_ids(path: Path) -> np.ndarray:
    """Read a label file of one 8-bit channel as uint8 (H, W), untouched.

    Of a PNG with a palette these are the indices, not the colours (OpenCV gives the colours).

    Raises:
        SegnodeError: the file is unreadable or has more than one channel.
    """
    try:
        with Image.open(path) as picture:
            mode = picture.mode
            ids = np.asarray(picture) if mode in ('L', 'P') else None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise SegnodeError(f'{path} is not a readable label image: {error}') from error
    if ids is None:
        raise SegnodeError(
            f'{path} is not a label image of one 8-bit channel; its pixels are {mode}'
        )
    return ids


def raw_label(path: Path, classes: LabelSet) -> np.ndarray:
    """Read a label file that holds the dataset's own ids, as uint8 (H, W) train ids.

    Raises:
        SegnodeError: the file is unreadable, or holds an id that the label set does not know.
    """
    ids = read_ids(path)
    known = np.zeros(256, bool)
    known[[raw for label in classes.labels for raw in label.raw_ids]] = True
    known[[classes.void_raw_id, IGNORE]] = True
    wrong = np.flatnonzero((np.bincount(ids.ravel(), minlength=256) > 0) & ~known)
    if wrong.size:
        raise SegnodeError(f'{path} holds the id {wrong[0]}, which "{classes.name}" has not.')
    return classes.raw_to_train[ids]


def files_by_stem(folder: Path) -> dict[str, Path]:
    """Image files of a folder by stem.

    Raises:
        SegnodeError: the folder is missing, or two files share a stem.
    """
    if not folder.is_dir():
        raise SegnodeError(f'The folder {folder} does not exist.')
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if not is_image_name(path):
            continue
        if path.stem in found:
            raise SegnodeError(f'{path} and {found[path.stem]} have the same stem.')
        found[path.stem] = path
    return found
