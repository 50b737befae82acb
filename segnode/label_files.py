# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Label pictures as people have them: train ids, or the colours of a label set."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from segnode.errors import SegnodeError
from segnode.image_reading import read_image
from segnode.labels import IGNORE, LabelSet


def read_labels(path: Path, label_set: LabelSet) -> np.ndarray:
    """Read a label picture as uint8 (H, W) train ids, 255 unlabelled.

    Args:
        path: one 8-bit channel of train ids and 255, or three (or four) of the label set's
            colours and black.
        label_set: whose ids or colours they are.

    Raises:
        SegnodeError: unreadable, or an id or colour that the set has not.
    """
    picture = read_image(path, cv2.IMREAD_UNCHANGED)
    if picture is None or picture.dtype != np.uint8:
        raise SegnodeError(f'{path} cannot be read as a label picture of 8 bits')
    if picture.ndim == 2:
        wrong = picture[(picture >= label_set.num_classes) & (picture != IGNORE)]
        if wrong.size:
            raise SegnodeError(
                f'{path} holds the label {wrong[0]}, but "{label_set.name}" has 0 to '
                f'{label_set.num_classes - 1} and {IGNORE}'
            )
        return np.asarray(picture)
    return _from_colors(path, picture[..., :3], label_set)


def _from_colors(path: Path, bgr: np.ndarray, label_set: LabelSet) -> np.ndarray:
    packed = bgr[..., 2].astype(np.int32) << 16 | bgr[..., 1].astype(np.int32) << 8 | bgr[..., 0]
    labels = np.full(packed.shape, IGNORE, np.uint8)
    known = packed == 0
    for train_id, label in enumerate(label_set.labels):
        red, green, blue = label.color
        here = packed == (red << 16 | green << 8 | blue)
        labels[here] = train_id
        known |= here
    if not known.all():
        color = int(packed[~known][0])
        raise SegnodeError(
            f'{path} holds the colour {(color >> 16, color >> 8 & 255, color & 255)} (R, G, B), '
            f'which "{label_set.name}" has not'
        )
    return labels
