# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Which files count as images; needs no OpenCV, so that a command line can say what is missing."""

from __future__ import annotations

from pathlib import Path

# What OpenCV's wheels and the distributions' builds all read.
IMAGE_SUFFIXES = ('.bmp', '.jpeg', '.jpg', '.pgm', '.png', '.ppm', '.tif', '.tiff', '.webp')


def is_image_name(path: Path) -> bool:
    """Tell whether a file's suffix is that of an image, in capitals or not."""
    return path.suffix.lower() in IMAGE_SUFFIXES
