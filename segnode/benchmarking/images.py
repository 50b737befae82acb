# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The images that are run."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from segnode.errors import SegnodeError
from segnode.fitting import fit_image
from segnode.image_files import is_image_name
from segnode.image_reading import read_image
from segnode.road_scene import RoadScene

IMAGES = 4  # images in turn


def load_images(folder: Path | None, size: tuple[int, int]) -> list[np.ndarray]:
    """Return uint8 (1, H, W, 3) images, spread over the folder, or rendered.

    Raises:
        SegnodeError: there are no images, or one cannot be read.
    """
    if folder is None:
        scene = RoadScene(*size)
        return [scene.frame(25 * index)[0][None] for index in range(IMAGES)]
    paths = sorted(p for p in folder.rglob('*') if is_image_name(p))
    if not paths:
        raise SegnodeError(f'there are no images in {folder}')
    images = []
    for path in paths[:: max(1, len(paths) // IMAGES)][:IMAGES]:
        image = read_image(path)
        if image is None:
            raise SegnodeError(f'{path} cannot be read as an image')
        images.append(fit_image(image, size)[0][None])
    return images
