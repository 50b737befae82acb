# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""BDD100K semantic segmentation, Cityscapes' 19 classes: every layout it was published in.

Layouts, below the folder given or its ``bdd100k``:

- ``images/10k/SPLIT/*.jpg`` with ``labels/sem_seg/masks/SPLIT/*.png``: the current one.
- ``seg/images/SPLIT/*.jpg`` with ``seg/labels/SPLIT/*_train_id.png``: the one of 2018.
- ``images/100k/SPLIT`` or ``images/SPLIT`` with either kind of masks: as people mix them.

Masks hold train ids in Cityscapes' order and 255. The published archives have images without
masks and masks without images (bdd100k issues 103 and 127): those are left out with a warning.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from segnode.errors import SegnodeError
from segnode.labels import IGNORE, LabelSet
from training.datasets.base import built_in, Dataset, files_by_stem, read_ids

IMAGES = ('images/10k', 'seg/images', 'images/100k', 'images')
MASKS = ('labels/sem_seg/masks', 'seg/labels', 'labels')
SUFFIX = '_train_id'  # of the masks of 2018; the current ones have the image's stem


def find_files(root: Path, split: str) -> tuple[dict[str, Path], dict[str, Path]]:
    """Return the images and masks of one split by stem.

    Of several image folders the one that most masks belong to is taken.

    Raises:
        SegnodeError: no known layout below ``root``.
    """
    for base in (root, root / 'bdd100k'):
        image_folders = [base / f / split for f in IMAGES if (base / f / split).is_dir()]
        masks = next((base / f / split for f in MASKS if (base / f / split).is_dir()), None)
        if masks is None or not image_folders:
            continue
        labels = {
            stem[: -len(SUFFIX)] if stem.endswith(SUFFIX) else stem: path
            for stem, path in files_by_stem(masks).items()
        }
        found = [files_by_stem(folder) for folder in image_folders]
        return max(found, key=lambda images: len(images.keys() & labels.keys())), labels
    raise SegnodeError(
        f'No BDD100K split "{split}" below {root}: looked for images in '
        f'{", ".join(f"{f}/{split}" for f in IMAGES)} and masks in '
        f'{", ".join(f"{f}/{split}" for f in MASKS)}.'
    )


def find_images(root: Path, split: str) -> dict[str, Path]:
    """Return the images of one split by stem, whether or not there are masks (test has none).

    Raises:
        SegnodeError: no folder of images below ``root``.
    """
    try:
        return find_files(root, split)[0]
    except SegnodeError:
        pass
    for base in (root, root / 'bdd100k'):
        for folder in IMAGES:
            if (base / folder / split).is_dir():
                return files_by_stem(base / folder / split)
    raise SegnodeError(
        f'No BDD100K split "{split}" below {root}: looked for images in '
        f'{", ".join(f"{f}/{split}" for f in IMAGES)}.'
    )


def load_mask(path: Path, classes: LabelSet) -> np.ndarray:
    """Read a mask as uint8 (H, W) train ids, 255 unlabelled.

    Raises:
        SegnodeError: unreadable, or a value that is neither a train id nor 255.
    """
    ids = read_ids(path)
    wrong = ids[(ids >= classes.num_classes) & (ids != IGNORE)]
    if wrong.size:
        raise SegnodeError(
            f'{path} holds the label {wrong.max()}; BDD100K masks hold train ids 0 to '
            f'{classes.num_classes - 1} and 255.'
        )
    return ids


BDD100K = Dataset(
    name='bdd100k',
    licence='BDD100K: see its licence (educational, research and not-for-profit use)',
    files=find_files,
    label_set=built_in('cityscapes'),
    read_label=load_mask,
    counts={'train': 7000, 'val': 1000, 'test': 2000},
    skip_unmatched=True,
    find_images=find_images,
)
