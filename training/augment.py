# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Augmentation: choose the window in the source first, then one resize per image."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from segnode.labels import IGNORE


@dataclass(frozen=True)
class Augment:
    """Random scale, crop, flip and colour for one (image, label) pair.

    Args:
        size: (H, W) of the result. The image, stretched to this size, is scale 1.
        scale: range of the zoom; below 1 the rest is padded and ignored.
        flip: probability of a left-right flip.
        jitter: brightness, contrast and saturation factors come from [1 - jitter, 1 + jitter].
    """

    size: tuple[int, int]
    scale: tuple[float, float] = (0.6, 1.6)
    flip: float = 0.5
    jitter: float = 0.3

    def __call__(
        self, image: np.ndarray, label: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """uint8 (h, w, 3) BGR and (h, w) -> uint8 (H, W, 3) BGR and (H, W), contiguous."""
        image, label = self._window(image, label, rng)
        if rng.random() < self.flip:
            image, label = image[:, ::-1], label[:, ::-1]
        if self.jitter:
            image = jitter_color(image, self.jitter, rng)
        return np.ascontiguousarray(image), np.ascontiguousarray(label)

    def _window(
        self, image: np.ndarray, label: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        height, width = self.size
        zoom = float(np.exp(rng.uniform(*np.log(self.scale))))
        if zoom >= 1.0:
            rows, top = _span(image.shape[0], zoom, rng)
            cols, left = _span(image.shape[1], zoom, rng)
            window = np.s_[top:top + rows, left:left + cols]
            return _resize(image[window], label[window], (height, width))
        rows, cols = max(1, round(height * zoom)), max(1, round(width * zoom))
        top = int(rng.integers(0, height - rows + 1))
        left = int(rng.integers(0, width - cols + 1))
        small_image, small_label = _resize(image, label, (rows, cols))
        # Padding in the image's mean colour, so that the border is no feature of its own.
        mean = image.mean(axis=(0, 1)).astype(np.uint8)
        out_image = np.empty((height, width, 3), np.uint8)
        out_image[:] = mean
        out_label = np.full((height, width), IGNORE, np.uint8)
        out_image[top:top + rows, left:left + cols] = small_image
        out_label[top:top + rows, left:left + cols] = small_label
        return out_image, out_label


def _span(length: int, zoom: float, rng: np.random.Generator) -> tuple[int, int]:
    span = max(1, round(length / zoom))
    return span, int(rng.integers(0, length - span + 1))


def _resize(
    image: np.ndarray, label: np.ndarray, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    height, width = size
    # As segnode.fitting decides it: by area.
    shrinking = height * width < image.shape[0] * image.shape[1]
    how = cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
    # NEAREST_EXACT samples pixel centres as the image's interpolation does; plain NEAREST is
    # shifted by half a pixel.
    return (
        cv2.resize(image, (width, height), interpolation=how),
        cv2.resize(label, (width, height), interpolation=cv2.INTER_NEAREST_EXACT),
    )


def jitter_color(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Random brightness, contrast and saturation of a uint8 (H, W, 3) BGR image."""
    brightness, contrast, saturation = 1.0 + rng.uniform(-strength, strength, 3)
    grey = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_BGR2GRAY)
    mean = float(grey.mean())
    # out = b * (c * (s * x + (1 - s) * grey) + (1 - c) * mean), as one weighted sum.
    return cv2.addWeighted(
        np.ascontiguousarray(image),
        brightness * contrast * saturation,
        cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR),
        brightness * contrast * (1.0 - saturation),
        brightness * (1.0 - contrast) * mean,
    )
