# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""What is painted on: an image and its labels, always changed together."""

import dataclasses
import functools

import cv2
import numpy as np

from segnode.road_scene.noise import floats

_SHIFT = 4  # fractional bits of polygon corners


class Texture:
    """
    A picture with its own finer and coarser versions, so that far ones do not flicker.

    Args:
        image: uint8 (h, w, 3) BGR, or (h, w, 4) with coverage last.
        density: pixels per metre of the two sides (across, up), so that it has a size.
        labels: uint8 (h, w) class of each pixel, 255 where there is nothing; without it, the
            class is given when it is drawn.

    Attributes:
        covered: whether it has coverage and so lets something show through.
        mean: uint8 (3,) BGR of the whole picture.
    """

    def __init__(self, image: np.ndarray, density: tuple[float, float],
                 labels: np.ndarray | None = None) -> None:
        self.density = density
        self.labels = labels
        self.covered = image.shape[2] == 4
        self.mean = image.reshape(-1, image.shape[2]).mean(0).astype(np.uint8)[:3]
        if self.covered:  # colour weighted by coverage: blending is then exact
            image = image.copy()
            image[..., :3] = cv2.multiply(
                image[..., :3], cv2.cvtColor(image[..., 3], cv2.COLOR_GRAY2BGR), scale=1 / 255)
        self.levels = [image]
        while min(self.levels[-1].shape[:2]) > 12:
            self.levels.append(cv2.resize(self.levels[-1], None, fx=0.5, fy=0.5,
                                          interpolation=cv2.INTER_AREA))

    @property
    def width(self) -> float:
        """Return the width in metres."""
        return self.levels[0].shape[1] / self.density[0]

    @property
    def height(self) -> float:
        """Return the height in metres."""
        return self.levels[0].shape[0] / self.density[1]


@dataclasses.dataclass(frozen=True)
class Light:
    """
    How bright things are and how the air between dims them.

    Args:
        haze: BGR colour that far things fade to.
        reach: distance in metres at which 63 % of a thing is haze.
    """

    haze: tuple[float, float, float]
    reach: float

    def veil(self, depth: float) -> float:
        """Return the share of haze at a distance in metres."""
        return float(1 - np.exp(-max(depth, 0.0) / self.reach))

    def color(self, bgr: tuple[float, float, float] | np.ndarray, depth: float,
              gain: float = 1.0) -> tuple[float, float, float]:
        """Return a BGR colour as it is seen from a distance in metres."""
        veil = self.veil(depth)
        blue, green, red = (min(gain * part, 255.0) * (1 - veil) + veil * haze
                            for part, haze in zip(bgr, self.haze, strict=True))
        return blue, green, red

    def table(self, depth: float, gain: float) -> np.ndarray:
        """Return the same as a look-up table, uint8 (1, 256, 3), to the nearest 2 m and 2 %."""
        return self._table(round(depth / 2), round(gain * 50))

    @functools.lru_cache(maxsize=4096)  # noqa: B019  a scene has one Light, as long as it lives
    def _table(self, depth_steps: int, gain_steps: int) -> np.ndarray:
        veil, gain = self.veil(depth_steps * 2.0), gain_steps / 50
        ramp = np.minimum(np.arange(256, dtype=np.float32) * gain, 255)[:, None] * (1 - veil)
        return np.clip(ramp + veil * floats(self.haze) + 0.5, 0, 255).astype(np.uint8)[None]


class Canvas:
    """
    An image and its labels of the same size.

    Args:
        height, width: size in pixels.
    """

    def __init__(self, height: int, width: int) -> None:
        self.image = np.zeros((height, width, 3), np.uint8)
        self.labels = np.full((height, width), 255, np.uint8)

    def fill(self, points: np.ndarray, color: tuple[float, float, float] | None,
             label: int | None = None, convex: bool = True) -> None:
        """Fill a polygon (N, 2) in pixels with a colour, and with a class unless it is None."""
        if len(points) < 3 or not self._touches(points):
            return
        self.fill_fixed(fixed_point(points), color, label, convex)

    def fill_fixed(self, corners: np.ndarray, color: tuple[float, ...] | None,
                   label: int | None = None, convex: bool = True) -> None:
        """Fill a polygon whose corners are as `fixed_point` gives them."""
        if color is not None:
            _fill(self.image, corners, color, convex)
        if label is not None:
            _fill(self.labels, corners, (label,), convex)

    def paste(self, texture: Texture, matrix: np.ndarray, points: np.ndarray,
              table: np.ndarray, label: int | None = None) -> None:
        """
        Paint a texture that lies in space.

        Args:
            texture: the picture; its coverage, if any, is blended.
            matrix: (3, 3) homography from (metres right of, metres above the picture's lower
                left corner, 1) to pixels.
            points: (N, 2) outline in pixels, convex; nothing outside it is painted.
            table: uint8 (1, 256, 3) what becomes of the picture's values (see `Light.table`).
            label: class of the whole outline; None to take the texture's own labels.
        """
        if len(points) < 3 or not self._touches(points):
            return
        extent = points.max(0) - points.min(0)
        if texture.covered and extent.min() < 1.5:
            return
        if not texture.covered and extent.min() < 5:  # too small to tell what is on it
            self.fill(points, tuple(table[0, texture.mean, (0, 1, 2)]), label)
            return
        height, width = self.labels.shape
        left, top = np.maximum(np.floor(points.min(0)), 0).astype(int)
        right, bottom = np.minimum(np.ceil(points.max(0)) + 1, (width, height)).astype(int)
        rows, columns = slice(top, bottom), slice(left, right)
        size = (int(right - left), int(bottom - top))
        mask = np.zeros(size[::-1], np.uint8)
        _fill(mask, fixed_point(points - (left, top)), (255,), True)

        level = self._level(texture, points)
        picture = texture.levels[level]
        zoom = (picture.shape[1] / texture.width, picture.shape[0] / texture.height)
        to_metres = np.array([[1 / zoom[0], 0, 0.5 / zoom[0]],
                              [0, -1 / zoom[1], texture.height - 0.5 / zoom[1]], [0, 0, 1]])
        shift = np.array([[1, 0, -left], [0, 1, -top], [0, 0, 1]])
        place = shift @ matrix @ to_metres
        seen = cv2.warpPerspective(
            picture, place, size, flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT if texture.covered else cv2.BORDER_REPLICATE)
        if texture.covered:
            self._blend(rows, columns, seen, mask, table)
        else:
            cv2.copyTo(cv2.LUT(seen, table), mask, self.image[rows, columns])
        if label is not None:
            self.labels[rows, columns][mask > 0] = label
        elif texture.labels is not None:
            scale = 2.0 ** -level
            exact = place @ np.array([[scale, 0, 0.5 * scale - 0.5],
                                      [0, scale, 0.5 * scale - 0.5], [0, 0, 1]])
            classes = cv2.warpPerspective(texture.labels, exact, size, flags=cv2.INTER_NEAREST,
                                          borderMode=cv2.BORDER_CONSTANT, borderValue=255)
            classes[mask == 0] = 255
            found = (classes != 255).astype(np.uint8)
            cv2.copyTo(classes, found, self.labels[rows, columns])

    def _blend(self, rows: slice, columns: slice, seen: np.ndarray, mask: np.ndarray,
               table: np.ndarray) -> None:
        """Lay a picture (BGR weighted by coverage, coverage) over what is there."""
        below = self.image[rows, columns]
        seen = cv2.copyTo(seen, mask)
        # The table is straight but for its clipped end: colour = slope * value + base.
        base = table[0, 0].astype(np.float64)
        slope = (table[0, 100] - base) / 100
        color = cv2.transform(seen, np.column_stack([np.diag(slope), base / 255]))
        rest = cv2.bitwise_not(cv2.extractChannel(seen, 3))
        rest = cv2.multiply(below, cv2.cvtColor(rest, cv2.COLOR_GRAY2BGR), scale=1 / 255)
        cv2.add(rest, color, dst=below)

    def _level(self, texture: Texture, points: np.ndarray) -> int:
        """Return which version of a texture has about the size of its outline on the canvas."""
        extent = np.maximum(points.max(0) - points.min(0), 1)
        pixels = texture.levels[0].shape
        # Between the two sides' needs: facades seen at a slant are much narrower than high.
        shrink = np.sqrt((pixels[1] / extent[0]) * (pixels[0] / extent[1]))
        return int(np.clip(np.round(np.log2(max(shrink, 1.0))), 0, len(texture.levels) - 1))

    def _touches(self, points: np.ndarray) -> bool:
        height, width = self.labels.shape
        low, high = points.min(0), points.max(0)
        return bool(high[0] >= 0 and high[1] >= 0 and low[0] < width and low[1] < height)


def fixed_point(points: np.ndarray) -> np.ndarray:
    """Return polygon corners as OpenCV wants them with `_SHIFT` fractional bits."""
    return np.round(points * (1 << _SHIFT)).astype(np.int32)


def _fill(target: np.ndarray, corners: np.ndarray, color: tuple[float, ...],
          convex: bool) -> None:
    value = tuple(float(part) for part in color)  # OpenCV takes no NumPy scalars here
    if convex:
        cv2.fillConvexPoly(target, corners, value, cv2.LINE_8, _SHIFT)
    else:
        cv2.fillPoly(target, [corners], value, cv2.LINE_8, _SHIFT)
