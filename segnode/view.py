# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""What of a camera's image the network is to see: a region, turned upright, less the vehicle.

The order is always the same. All is told in the image as it comes from the camera:

1. the region of interest is cut out,
2. what was cut out is turned clockwise by the rotation,
3. fitted to the network's input (``fit_image``), and run,
4. the labels are brought back to the turned region, and put into the turned image, 255 around,
5. turned back,
6. and 255 where the ego mask says that the vehicle itself is seen.
"""

from __future__ import annotations

from collections.abc import Sequence
import dataclasses
import math
from pathlib import Path

import cv2
import numpy as np

from segnode.errors import SegnodeError
from segnode.fitting import at_size, fit_image, Placement
from segnode.picture_size import jpeg_size, MAX_PIXELS, png_size

ROTATIONS = (0, 90, 180, 270)
WHOLE = (0.0, 0.0, 1.0, 1.0)
# Of cv2.rotate, by degrees clockwise.
_TURNS = {
    90: cv2.ROTATE_90_CLOCKWISE,
    180: cv2.ROTATE_180,
    270: cv2.ROTATE_90_COUNTERCLOCKWISE,
}
_MASK_SIZES = 4  # of which the resized ego mask is kept
_MASK_BYTES = 1 << 26  # of its file
_SIZES = {b'\x89P': png_size, b'\xff\xd8': jpeg_size}  # by what a file begins with


@dataclasses.dataclass(frozen=True, eq=False)
class View:
    """Region, rotation and ego mask of a camera; made by ``View.of``, which checks them.

    Args:
        roi: (top, left, height, width), as fractions of the image where height and width are at
            most 1, in pixels else.
        rotation: degrees clockwise by which the image is turned before the network: 90 where it
            has the sky on its left, 270 where it has it on its right.
        ego: bool (H, W), true where the vehicle itself is seen; brought to the image's size.
    """

    roi: tuple[float, float, float, float] = WHOLE
    rotation: int = 0
    ego: np.ndarray | None = None
    _egos: dict[tuple[int, ...], np.ndarray] = dataclasses.field(
        default_factory=dict, init=False, repr=False)

    @classmethod
    def of(
        cls,
        roi: Sequence[float] | None = None,
        rotation: int = 0,
        ego_mask: str | Path | np.ndarray | None = None,
    ) -> View:
        """Return a view.

        Args:
            roi: see the class; None is the whole image.
            rotation: one of ``ROTATIONS``.
            ego_mask: path of a picture, or an array, uint8 or bool (H, W), nonzero where the
                vehicle itself is seen (in colour pictures where any channel is).

        Raises:
            SegnodeError: there can be no such region or rotation, or the mask cannot be read.
        """
        if rotation not in ROTATIONS:
            raise SegnodeError(f'rotation must be 0, 90, 180 or 270, not {rotation!r}')
        return cls(WHOLE if roi is None else checked_roi(roi), rotation, _ego(ego_mask))

    @property
    def plain(self) -> bool:
        """Return whether the network sees the image as it is, and all labels are kept."""
        return self.roi == WHOLE and not self.rotation and self.ego is None

    def fit(
        self, image: np.ndarray, size: tuple[int, int], fit: str
    ) -> tuple[np.ndarray, Placement]:
        """Do steps 1 to 3 but the run; the placement is in the turned image.

        Args:
            image: uint8 (H, W, C).
            size: (height, width) of the network's input.
            fit: as for ``fit_image``.

        Raises:
            SegnodeError: the region reaches beyond this image; see ``fit_image`` too.
        """
        as_it_is = self.roi == WHOLE and not self.rotation
        if as_it_is or not image.size or image.dtype != np.uint8:  # the latter are refused there
            return fit_image(image, size, fit)
        whole = image.shape[0], image.shape[1]
        top, left, height, width = region = self.region(whole)
        seen = image[top : top + height, left : left + width]
        fitted, placement = fit_image(self._turned(seen, self.rotation), size, fit)
        turned_whole, (top, left, _, _) = _turned_rectangle(whole, region, self.rotation)
        y, x, height, width = placement.source
        return fitted, dataclasses.replace(
            placement, image_size=turned_whole, source=(top + y, left + x, height, width))

    def restore(self, values: np.ndarray, outside: float) -> np.ndarray:
        """Do steps 5 and 6 with a map.

        Args:
            values: uint8 or float32 (h, w), of the turned image's size or smaller.
            outside: value of the vehicle's pixels.

        Returns:
            a new array, or ``values`` where there is nothing to do.
        """
        values = self._turned(values, -self.rotation % 360)
        if self.ego is None:
            return values
        ego = self._ego_at(values.shape)
        if values.dtype == np.uint8 and outside in (0, 255):
            # Five times as fast as where().
            return np.asarray(cv2.bitwise_or(values, ego) if outside
                              else cv2.bitwise_and(values, 255 - ego))
        return np.where(ego, np.asarray(outside, values.dtype), values)

    def region(self, image: tuple[int, int]) -> tuple[int, int, int, int]:
        """Return the region of an image of (height, width), in pixels.

        Fractions are rounded to whole pixels, at least one of each side.

        Raises:
            SegnodeError: it reaches beyond the image.
        """
        edges = []
        for start, length, side in zip(self.roi[:2], self.roi[2:], image):
            if _fractions(self.roi):
                begin = min(round(start * side), side - 1)
                edges.append((begin, max(begin + 1, min(side, round((start + length) * side)))))
            else:
                edges.append((int(start), int(start + length)))
        (top, bottom), (left, right) = edges
        if bottom > image[0] or right > image[1]:
            raise SegnodeError(
                f'the region of interest, {bottom - top}x{right - left} at row {top}, column '
                f'{left}, reaches beyond an image of {image[0]}x{image[1]}')
        return top, left, bottom - top, right - left

    @staticmethod
    def _turned(image: np.ndarray, degrees: int) -> np.ndarray:
        return np.asarray(cv2.rotate(image, _TURNS[degrees])) if degrees else image

    def _ego_at(self, size: tuple[int, ...]) -> np.ndarray:
        """Return the ego mask as uint8 of 0 and 255 at a size; kept for the next frame."""
        if size not in self._egos:
            assert self.ego is not None
            if len(self._egos) >= _MASK_SIZES:
                self._egos.clear()
            self._egos[size] = at_size(self.ego.astype(np.uint8) * 255, size)
        return self._egos[size]


def checked_roi(roi: Sequence[float | str]) -> tuple[float, float, float, float]:
    """Return a region of interest as four numbers.

    Raises:
        SegnodeError: there can be no such region in any image.
    """
    told = (f'roi must be [top, left, height, width], in whole pixels or as fractions of the '
            f'image, inside of it, not {list(roi)}')
    try:
        values = [float(value) for value in roi]
    except (TypeError, ValueError):
        raise SegnodeError(told) from None
    if len(values) != 4 or not np.isfinite(values).all():
        raise SegnodeError(told)
    top, left, height, width = values
    if min(top, left) < 0 or min(height, width) <= 0:
        raise SegnodeError(told)
    if _fractions(values):
        # A little more than 1 is how 0.7 + 0.3 may come out.
        if max(top + height, left + width) > 1 + 1e-9:
            raise SegnodeError(told)
    elif any(value != round(value) for value in values):
        raise SegnodeError(told)
    return top, left, height, width


def _fractions(roi: Sequence[float]) -> bool:
    return max(roi[2:]) <= 1


def _turned_rectangle(
    whole: tuple[int, int], part: tuple[int, int, int, int], degrees: int
) -> tuple[tuple[int, int], tuple[int, int, int, int]]:
    """Return image size and rectangle after the image was turned clockwise."""
    (rows, columns), (top, left, height, width) = whole, part
    bottom, right = rows - top - height, columns - left - width  # left over there
    if degrees == 90:
        return (columns, rows), (left, bottom, width, height)
    if degrees == 180:
        return whole, (bottom, right, height, width)
    if degrees == 270:
        return (columns, rows), (right, top, width, height)
    return whole, part


def _picture(path: Path) -> np.ndarray | None:
    """Return what cv2.imread returns; a running node is told of such files, so all is checked."""
    try:
        # A pipe would be waited for without end.
        if not path.is_file() or path.stat().st_size > _MASK_BYTES:
            return None
        data = np.fromfile(path, np.uint8)
        read = _SIZES.get(data[:2].tobytes())
        if read is not None and math.prod(read(data) or (MAX_PIXELS, 2)) > MAX_PIXELS:
            return None
        return cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    except (cv2.error, OSError):
        return None


def _ego(given: str | Path | np.ndarray | None) -> np.ndarray | None:
    """Return an ego mask as bool (H, W)."""
    if given is None:
        return None
    mask: np.ndarray | None
    if isinstance(given, np.ndarray):
        mask, told = given, 'the ego mask'
    else:
        told = f'the ego mask {given}'
        mask = _picture(Path(given))
    if mask is None or not mask.size:
        raise SegnodeError(f'{told} cannot be read as a picture')
    if mask.ndim == 3:
        mask = np.asarray(mask[..., :3].any(2))  # transparency is no channel of the vehicle
    if mask.ndim != 2:
        raise SegnodeError(f'{told} must be (height, width), not {mask.shape}')
    ego = mask != 0
    if ego.all():
        raise SegnodeError(f'{told} is nonzero everywhere: nothing of the image would be left')
    return np.asarray(ego)
