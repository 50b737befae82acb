# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""What every dataset gives: samples paired by key, images in BGR, labels as train ids."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from segnode.errors import SegnodeError
from segnode.image_files import is_image_name


@dataclass(frozen=True)
class Sample:
    """One image and its label file; ``key`` is what pairs them (a stem, never a position)."""

    key: str
    image: Path
    label: Path


def read_image(path: Path) -> np.ndarray:
    """Read an image as uint8 (H, W, 3) BGR.

    Raises:
        SegnodeError: the file is not a readable image.
    """
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise SegnodeError(f'{path} is not a readable image.')
    return image


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
