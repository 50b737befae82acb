# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""An image to compare two ways of running one network on."""

from __future__ import annotations

import numpy as np


def sample_image(size: tuple[int, int]) -> np.ndarray:
    """Return a uint8 (1, H, W, 3) image with smooth areas, edges and noise, always the same."""
    height, width = size
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    image = np.empty((height, width, 3), np.float32)
    for channel in range(3):
        image[..., channel] = 110 + 70 * np.sin(
            rows * (0.011 + 0.004 * channel) + columns * (0.017 - 0.005 * channel) + channel
        )
    for _ in range(24):  # rectangles: edges of every contrast
        top, left = rng.integers(0, height), rng.integers(0, width)
        bottom = top + rng.integers(4, max(5, height // 3))
        right = left + rng.integers(4, max(5, width // 4))
        image[top:bottom, left:right] = rng.integers(0, 256, 3)
    image += rng.normal(0, 6, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8)[None]
