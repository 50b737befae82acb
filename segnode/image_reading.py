# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Image files that OpenCV reads, or not."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np


def read_image(path: Path, flags: int = cv2.IMREAD_COLOR) -> np.ndarray | None:
    """Return what ``cv2.imread`` makes of a file, None where that is nothing.

    It says so in two ways: it returns None, and raises where a damaged header claims more than
    2**30 pixels.

    Args:
        path: the file.
        flags: ``cv2.IMREAD_...``; by default uint8 (H, W, 3) BGR.
    """
    try:
        image = cv2.imread(str(path), flags)
    except cv2.error:
        return None
    return None if image is None else np.asarray(image)
