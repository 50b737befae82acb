# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Cityscapes, fine and coarse annotations, in the official layout.

``leftImg8bit/SPLIT/CITY/KEY_leftImg8bit.png`` with ``gtFine/SPLIT/CITY/KEY_gtFine_labelIds.png``
or the same in ``gtCoarse``, KEY being CITY_SEQUENCE_FRAME (cityscapesScripts, README). Label ids
become train ids when they are read; the ``KEY_gtFine_labelTrainIds.png`` that cityscapesScripts
can make of them are taken where a frame has no label ids. ``KEY_gtFine_instanceIds.png`` beside
them tell objects apart.

The split train_extra has coarse annotations only, so ``cityscapes:train_extra`` means those;
``cityscapes_coarse`` is the coarse annotations of every split.
"""

from __future__ import annotations

import functools
import logging
from pathlib import Path

import cv2
import numpy as np

from segnode import image_reading
from segnode.errors import SegnodeError
from segnode.image_files import is_image_name
from segnode.labels import IGNORE, LabelSet
from training.datasets.base import built_in, Dataset, read_ids, Sample

_LOG = logging.getLogger('segnode')

IMAGES, IMAGE = 'leftImg8bit', '_leftImg8bit'
FINE, COARSE = 'gtFine', 'gtCoarse'
EXTRA = 'train_extra'
LABEL_IDS, TRAIN_IDS, INSTANCE_IDS = '_labelIds', '_labelTrainIds', '_instanceIds'
# cityscapesScripts helpers/labels.py numbers its labels 0 to 33; the licence plate's -1 is never
# drawn. The 19 that are evaluated are the label set's, all others are void.
LAST_ID = 33
# A frame of train_extra whose image is damaged (all black); public readers of these data leave it
# out by its name, too. The publisher's count of 19998 has it.
CORRUPT = 'troisdorf_000000_000073'


def find_files(root: Path, split: str) -> tuple[dict[str, Path], dict[str, Path]]:
    """Return the images and label files of one split by key, fine where there are fine ones.

    Raises:
        SegnodeError: there is no such split below ``root``, or two files have one key.
    """
    return _files(root, split, COARSE if split == EXTRA else FINE)


def find_coarse(root: Path, split: str) -> tuple[dict[str, Path], dict[str, Path]]:
    """Return the images and coarse label files of one split by key.

    Raises:
        SegnodeError: there is no such split below ``root``, or two files have one key.
    """
    return _files(root, split, COARSE)


def find_images(root: Path, split: str) -> dict[str, Path]:
    """Return the images of one split by key, whether or not there are labels.

    Raises:
        SegnodeError: there is no such split below ``root``, or two files have one key.
    """
    folder = root / IMAGES / split
    if not folder.is_dir():
        raise SegnodeError(
            f'No Cityscapes split "{split}" below {root}: looked for the folder {IMAGES}/{split}.'
        )
    images = _by_key(folder, IMAGE)
    if images.pop(CORRUPT, None):
        _tell_left_out(folder)
    return images


@functools.cache
def _tell_left_out(folder: Path) -> None:
    """Say it once for every folder."""
    _LOG.warning('%s of %s is left out: its image is black', CORRUPT, folder)


def _files(
    root: Path, split: str, annotation: str
) -> tuple[dict[str, Path], dict[str, Path]]:
    labels = root / annotation / split
    if not (root / IMAGES / split).is_dir() or not labels.is_dir():
        raise SegnodeError(
            f'No Cityscapes split "{split}" below {root}: looked for the folders '
            f'{IMAGES}/{split} and {annotation}/{split}.'
        )
    found = {
        **_by_key(labels, f'_{annotation}{TRAIN_IDS}'),
        **_by_key(labels, f'_{annotation}{LABEL_IDS}'),
    }
    found.pop(CORRUPT, None)
    return find_images(root, split), found


def _by_key(folder: Path, suffix: str) -> dict[str, Path]:
    """Return the image files of all cities whose stem ends with ``suffix``, by the rest of it."""
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob(f'*{suffix}.*')):
        key = path.stem[: -len(suffix)]
        if not is_image_name(path):
            continue
        if key in found:
            raise SegnodeError(f'{path} and {found[key]} are of the same frame.')
        found[key] = path
    return found


def load_label(path: Path, classes: LabelSet) -> np.ndarray:
    """Read a file of label ids, or of train ids where its name says so.

    Args:
        path: ``*_labelIds.png`` or ``*_labelTrainIds.png``.
        classes: the label set ``cityscapes``.

    Returns:
        uint8 (H, W) train ids, 255 unlabelled.

    Raises:
        SegnodeError: unreadable, or a value that no such file has.
    """
    ids = read_ids(path)
    ready_made = path.stem.endswith(TRAIN_IDS)
    last = classes.num_classes - 1 if ready_made else LAST_ID
    wrong = ids[(ids > last) & (ids != IGNORE)]
    if wrong.size:
        raise SegnodeError(
            f'{path} holds the value {wrong.max()}, but files of Cityscapes '
            f'{"train" if ready_made else "label"} ids hold 0 to {last} and {IGNORE}.'
        )
    return ids if ready_made else classes.raw_to_train[ids]


def load_instances(sample: Sample) -> np.ndarray | None:
    """Read the instance file beside a label file.

    Returns:
        uint16 (H, W): label id * 1000 + number for the pixels of an object, else the label id;
        None where there is no such file.

    Raises:
        SegnodeError: unreadable, or more than one channel.
    """
    stem = sample.label.stem
    for suffix in (LABEL_IDS, TRAIN_IDS):
        if stem.endswith(suffix):
            stem = stem[: -len(suffix)]
            break
    path = sample.label.with_name(f'{stem}{INSTANCE_IDS}.png')
    if not path.is_file():
        return None
    instances = image_reading.read_image(path, cv2.IMREAD_UNCHANGED)
    if instances is None or instances.ndim != 2 or instances.dtype not in (np.uint8, np.uint16):
        raise SegnodeError(f'{path} is not a readable image of one 16-bit channel.')
    return instances


_LICENCE = 'Cityscapes: for non-commercial research only (see its licence)'

CITYSCAPES = Dataset(
    name='cityscapes',
    licence=_LICENCE,
    files=find_files,
    label_set=built_in('cityscapes'),
    read_label=load_label,
    # The published labels of test are empty: only ego vehicle and border are drawn.
    counts={'train': 2975, 'val': 500, 'test': 1525, EXTRA: 19998},
    find_images=find_images,
    read_instances=load_instances,
)

CITYSCAPES_COARSE = Dataset(
    name='cityscapes_coarse',
    licence=_LICENCE,
    files=find_coarse,
    label_set=built_in('cityscapes'),
    read_label=load_label,
    counts={'train': 2975, 'val': 500, EXTRA: 19998},
    find_images=find_images,
    read_instances=load_instances,
    images_of='cityscapes',
)
