# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Bringing an image to a network's input size, and labels back to the image's."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from segnode.errors import SegnodeError
from segnode.labels import IGNORE
from segnode.record import FITS


@dataclass(frozen=True)
class Placement:
    """Where an image lies in the network's input; rectangles are (top, left, height, width).

    Args:
        image_size: (H, W) of the image.
        size: (H, W) of the network's input.
        source: the part of the image that the network sees.
        target: the part of the input that it fills.
    """

    image_size: tuple[int, int]
    size: tuple[int, int]
    source: tuple[int, int, int, int]
    target: tuple[int, int, int, int]

    def restore(self, labels: np.ndarray, *, outside: float = IGNORE) -> np.ndarray:
        """Bring labels (or any other map) of the input back to the image, by nearest neighbour.

        Args:
            labels: uint8 or float32 (h, w) of the network's input size.
            outside: value of the image's pixels that the network did not see.

        Returns:
            the same type at the image's size; ``labels`` itself where nothing is to be done.
        """
        if labels.shape != self.size:
            raise ValueError(f'labels must be {self.size}, not {labels.shape}')
        top, left, height, width = self.target
        part = labels[top : top + height, left : left + width]
        part = _resized(part, self.source[2:], cv2.INTER_NEAREST_EXACT)
        if self.source[2:] == self.image_size:
            return part
        restored = np.full(self.image_size, outside, labels.dtype)
        top, left, height, width = self.source
        restored[top : top + height, left : left + width] = part
        return restored


    def reduced(self, labels: np.ndarray, *, outside: float = IGNORE) -> np.ndarray:
        """Bring labels (or any other map) to a smaller likeness of the image, as they are.

        It shows all that the image shows, so a pixel of the image is found in it by its scale
        alone: of a letterbox the bars are cut off, of a crop what the network did not see is
        added. Where neither is needed it is ``labels`` itself.

        Args:
            labels: uint8 or float32 (h, w) of the network's input size, or of a part of it.
            outside: value of what the network did not see.
        """
        if self.target == (0, 0, *self.size) and self.source == (0, 0, *self.image_size):
            return labels
        rows, columns = (self._cells(axis, labels.shape[axis]) for axis in (0, 1))
        made = labels[np.ix_(np.maximum(rows, 0), np.maximum(columns, 0))]
        made[rows < 0] = outside
        made[:, columns < 0] = outside
        return made

    def _cells(self, axis: int, count: int) -> np.ndarray:
        """Return for each row (or column) of the likeness that of the map, -1 for none.

        Args:
            axis: 0 for rows, 1 for columns.
            count: rows or columns of the map.
        """
        side, size = self.image_size[axis], self.size[axis]
        start, length = self.source[axis], self.source[axis + 2]
        begin, extent = self.target[axis], self.target[axis + 2]
        made = max(1, round(side * extent * count / (length * size)))
        centres = (np.arange(made) + 0.5) * side / made  # in the image
        cells = (begin + (centres - start) * extent / length) * count / size
        seen = (centres >= start) & (centres < start + length)
        return np.where(seen, np.clip(cells, 0, count - 1).astype(np.intp), -1)


def fit_image(
    image: np.ndarray, size: tuple[int, int], fit: str = 'stretch'
) -> tuple[np.ndarray, Placement]:
    """Bring an image to ``size``: area average when shrinking, bilinear when enlarging.

    Args:
        image: uint8 (H, W) or (H, W, C).
        size: (height, width) wanted.
        fit: 'stretch' changes the aspect where it differs; 'letterbox' keeps it and fills the
            rest with black; 'crop' keeps it and cuts off what stands out, equally on both sides.

    Returns:
        the fitted image, uint8, contiguous (the very array given where that already is), and the
        placement that brings labels back.

    Raises:
        SegnodeError: unknown ``fit``, or an image without pixels.
    """
    if image.dtype != np.uint8 or image.ndim not in (2, 3):
        raise SegnodeError(f'an image is uint8 (H, W, C), not {image.dtype} {image.shape}')
    if not image.size:
        raise SegnodeError(f'an image of {image.shape[1]}x{image.shape[0]} pixels is empty')
    height, width = image.shape[:2]
    source, target = _rectangles((height, width), size, fit)
    placement = Placement((height, width), (size[0], size[1]), source, target)
    top, left, part_height, part_width = source
    part = image
    if source[2:] != placement.image_size:
        part = image[top : top + part_height, left : left + part_width]
    shrinking = target[2] * target[3] < part_height * part_width
    fitted = _resized(part, target[2:], cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR)
    if target[2:] != placement.size:
        canvas = np.zeros((*size, *image.shape[2:]), np.uint8)
        top, left, part_height, part_width = target
        canvas[top : top + part_height, left : left + part_width] = fitted
        fitted = canvas
    return np.ascontiguousarray(fitted), placement


def at_size(labels: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Bring labels to (height, width) by nearest neighbour; ``labels`` where they have it."""
    return _resized(labels, size, cv2.INTER_NEAREST_EXACT)


def _rectangles(
    image: tuple[int, int], size: tuple[int, int], fit: str
) -> tuple[tuple[int, int, int, int], tuple[int, int, int, int]]:
    """Return the part of the image that is seen and the part of the input that it fills."""
    if fit == 'stretch':
        return (0, 0, *image), (0, 0, *size)
    scales = size[0] / image[0], size[1] / image[1]
    if fit == 'letterbox':
        inner = _inside(min(scales), image, size)
        return (0, 0, *image), (*_centred(inner, size), *inner)
    if fit == 'crop':
        inner = _inside(1 / max(scales), size, image)
        return (*_centred(inner, image), *inner), (0, 0, *size)
    raise SegnodeError(f'fit must be {", ".join(FITS[:-1])} or {FITS[-1]}, not {fit!r}')


def _inside(scale: float, sides: tuple[int, int], limit: tuple[int, int]) -> tuple[int, int]:
    """Return ``sides`` times ``scale``, rounded, at least 1 and at most ``limit``."""
    first, second = (
        max(1, min(most, round(side * scale))) for side, most in zip(sides, limit)
    )
    return first, second


def _centred(inner: tuple[int, int], outer: tuple[int, int]) -> tuple[int, int]:
    return (outer[0] - inner[0]) // 2, (outer[1] - inner[1]) // 2


def _resized(image: np.ndarray, size: tuple[int, ...], interpolation: int) -> np.ndarray:
    """Return ``image`` at ``size``, itself where it has that size."""
    if image.shape[:2] == tuple(size):
        return image
    if image.shape[:2] == (1, 1):  # OpenCV 4.5.4 refuses a single pixel
        return np.broadcast_to(image, (*size, *image.shape[2:])).copy()
    return np.asarray(cv2.resize(image, (size[1], size[0]), interpolation=interpolation))
