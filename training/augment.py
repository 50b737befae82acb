# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Augmentation: choose the window in the source first, then one resize per image.

What is done to a frame is drawn by NumPy from the frame's size alone (and from its labels, where
they have a say); the loader here and ``training.batch_augment`` on the device both carry it out.
"""

from __future__ import annotations

from dataclasses import dataclass
import math

import cv2
import numpy as np

from segnode.labels import IGNORE

TRIES = 10  # windows drawn until one is varied enough, as mmsegmentation's RandomCrop does


@dataclass(frozen=True)
class View:
    """What is done to one frame; rectangles are (top, left, height, width).

    Args:
        source: the part of the image that is seen.
        target: the part of the result that it fills; the rest is padding.
        flip: mirrored left to right.
        hue: degrees by which colours are turned about the grey axis.
        color: factors of brightness, contrast and saturation; None leaves them.
        tone: factors of blue, green and red and the gamma after them; None leaves them.
    """

    source: tuple[int, int, int, int]
    target: tuple[int, int, int, int]
    flip: bool = False
    hue: float = 0.0
    color: tuple[float, float, float] | None = None
    tone: tuple[float, float, float, float] | None = None

    @property
    def shrinks(self) -> bool:
        """Tell whether the part of the image becomes smaller, as segnode.fitting decides it."""
        return self.target[2] * self.target[3] < self.source[2] * self.source[3]


@dataclass(frozen=True)
class Augment:
    """Random scale, crop, flip and colour for one (image, label) pair.

    Args:
        size: (H, W) of the result.
        scale: range of the zoom; what the result lacks is padded and ignored.
        flip: probability of a left-right flip.
        jitter: brightness, contrast and saturation factors come from [1 - jitter, 1 + jitter].
        hue: colours are turned by up to so many degrees about the grey axis, either way.
        scale_of: 'input': scale 1 is the image brought to ``whole`` as ``fit`` says; 'image':
            scale 1 is the image's own pixels.
        fit: stretch, letterbox or crop, see ``segnode.fitting.fit_image``.
        whole: (H, W) that whole images are brought to; by default ``size``.
        cat_max_ratio: a window in which one class has this share of the labelled pixels, or
            more, is drawn anew (the last of ten is taken as it is); 1 takes the first.
        white_balance: blue, green and red each have a factor from [1 - it, 1 + it]: the tint
            of another camera or light, which no turn about the grey axis gives to grey roads.
        gamma: the exponent of the tone curve comes from [1 / (1 + it), 1 + it].
    """

    size: tuple[int, int]
    scale: tuple[float, float] = (0.6, 1.6)
    flip: float = 0.5
    jitter: float = 0.3
    hue: float = 0.0
    scale_of: str = 'input'
    fit: str = 'stretch'
    whole: tuple[int, int] | None = None
    cat_max_ratio: float = 1.0
    white_balance: float = 0.0
    gamma: float = 0.0

    @property
    def black(self) -> bool:
        """Tell whether padding is black, as the bars of a letterbox that the vehicle sees.

        Else it has the image's mean colour, so that the border is no feature of its own.
        """
        return self.fit == 'letterbox'

    def __call__(
        self,
        image: np.ndarray,
        label: np.ndarray,
        rng: np.random.Generator,
        wanted: int | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """uint8 (h, w, 3) BGR and (h, w) -> uint8 (H, W, 3) BGR and (H, W), contiguous."""
        return self.apply(self.draw(label, rng, wanted), image, label)

    def draw(
        self, label: np.ndarray, rng: np.random.Generator, wanted: int | None = None
    ) -> View:
        """Choose what is done to a frame.

        Args:
            label: uint8 (h, w); its content matters for ``wanted`` and ``cat_max_ratio`` alone.
            rng: where the choice comes from.
            wanted: class that is to be in the middle, as far as the image's borders let it.
        """
        height, width = label.shape
        zoom = float(np.exp(rng.uniform(*np.log(self.scale))))
        reach = self._reach(height, width)
        below = _counted(label, wanted) if wanted is not None else np.zeros(1, int)
        for _ in range(TRIES if self.cat_max_ratio < 1 else 1):
            middle: tuple[int | None, int | None] = (None, None)
            if below[-1]:
                middle = _pixel(label, wanted, below, int(rng.integers(below[-1])))
            top, rows, above, tall = _span(height, self.size[0], reach[0], zoom, middle[0], rng)
            left, cols, before, wide = _span(width, self.size[1], reach[1], zoom, middle[1], rng)
            fixed = (rows, cols) == (height, width)
            if self.cat_max_ratio == 1 or fixed or self._is_varied(
                label[top:top + rows, left:left + cols]
            ):
                break
        flip = bool(rng.random() < self.flip)
        color = tuple(1.0 + rng.uniform(-self.jitter, self.jitter, 3)) if self.jitter else None
        hue = float(rng.uniform(-self.hue, self.hue)) if self.hue else 0.0
        return View((top, left, rows, cols), (above, before, tall, wide), flip, hue, color,
                    self._tone(rng))

    def apply(
        self, view: View, image: np.ndarray, label: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Carry out what was drawn; see ``__call__``."""
        top, left, rows, cols = view.source
        window = np.s_[top:top + rows, left:left + cols]
        part, part_label = _resize(image[window], label[window], view)
        if view.target[2:] != self.size:
            above, before, tall, wide = view.target
            inside = np.s_[above:above + tall, before:before + wide]
            small, small_label = part, part_label
            part = np.empty((*self.size, 3), np.uint8)
            part[:] = 0 if self.black else mean_color(image)
            part_label = np.full(self.size, IGNORE, np.uint8)
            part[inside], part_label[inside] = small, small_label
        if view.tone is not None:
            part = cv2.LUT(part, tone_curves(view.tone)[None])
        if view.hue:
            part = cv2.transform(part, hue_matrix(view.hue))
        if view.color is not None:
            part = recolor(part, *view.color)
        if self.black and view.target[2:] != self.size:
            # The vehicle's bars stay black whatever the light; less contrast would lift them.
            colored, part = part[inside], np.zeros_like(part)
            part[inside] = colored
        if view.flip:
            part, part_label = part[:, ::-1], part_label[:, ::-1]
        return np.ascontiguousarray(part), np.ascontiguousarray(part_label)

    def _tone(self, rng: np.random.Generator) -> tuple[float, float, float, float] | None:
        if not self.white_balance and not self.gamma:
            return None
        blue, green, red = 1.0 + rng.uniform(-self.white_balance, self.white_balance, 3)
        exponent = math.exp(rng.uniform(-1.0, 1.0) * math.log1p(self.gamma))
        return float(blue), float(green), float(red), exponent

    def _reach(self, height: int, width: int) -> tuple[float, float]:
        """Source pixels that fill the result at scale 1."""
        if self.scale_of == 'image':
            return float(self.size[0]), float(self.size[1])
        whole = self.whole or self.size
        if self.fit == 'stretch':
            return height * (self.size[0] / whole[0]), width * (self.size[1] / whole[1])
        chosen = min if self.fit == 'letterbox' else max
        factor = chosen(whole[0] / height, whole[1] / width)
        return self.size[0] / factor, self.size[1] / factor

    def _is_varied(self, label: np.ndarray) -> bool:
        # Some thousand pixels say enough.
        step = max(1, min(label.shape) // 64)
        counts = np.bincount(label[::step, ::step].ravel(), minlength=256)[:IGNORE]
        return bool(counts.max() < self.cat_max_ratio * counts.sum())


def _counted(label: np.ndarray, wanted: int) -> np.ndarray:
    """Pixels of a class in each row and all above it; ten times as fast as flatnonzero."""
    mask = (label == wanted).view(np.uint8)
    return np.cumsum(cv2.reduce(mask, 1, cv2.REDUCE_SUM, dtype=cv2.CV_32S))


def _pixel(
    label: np.ndarray, wanted: int | None, below: np.ndarray, number: int
) -> tuple[int, int]:
    """Row and column of one of a class' pixels, by its number from the top left."""
    row = int(np.searchsorted(below, number, 'right'))
    columns = np.flatnonzero(label[row] == wanted)
    return row, int(columns[number - below[row]])  # from the end, as below counts this row too


def _span(
    length: int, size: int, reach: float, zoom: float, middle: int | None,
    rng: np.random.Generator,
) -> tuple[int, int, int, int]:
    """Along one side: first source pixel and how many, first pixel of the result and how many."""
    seen = reach / zoom
    if seen > length:
        filled = max(1, round(size * zoom * (length / reach)))
        return 0, length, int(rng.integers(0, size - filled + 1)), filled
    span = max(1, round(seen))
    if middle is None:
        first = int(rng.integers(0, length - span + 1))
    else:
        first = min(max(0, middle - span // 2), length - span)
    return first, span, 0, size


def _resize(
    image: np.ndarray, label: np.ndarray, view: View
) -> tuple[np.ndarray, np.ndarray]:
    size = view.target[3], view.target[2]
    how = cv2.INTER_AREA if view.shrinks else cv2.INTER_LINEAR
    # NEAREST_EXACT samples pixel centres as the image's interpolation does; plain NEAREST is
    # shifted by half a pixel.
    return (
        cv2.resize(image, size, interpolation=how),
        cv2.resize(label, size, interpolation=cv2.INTER_NEAREST_EXACT),
    )


def mean_color(image: np.ndarray) -> np.ndarray:
    """Mean of a uint8 (H, W, 3) image, rounded down, uint8 (3,)."""
    # sumElems is exact (whole numbers in float64) and much faster than NumPy's mean.
    return (np.array(cv2.sumElems(image)[:3]) / image[..., 0].size).astype(np.uint8)


def recolor(
    image: np.ndarray, brightness: float, contrast: float, saturation: float
) -> np.ndarray:
    """Change brightness, contrast and saturation of a uint8 (H, W, 3) BGR image by factors."""
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


def tone_curves(tone: tuple[float, float, float, float]) -> np.ndarray:
    """What becomes of each value of blue, green and red, uint8 (256, 3).

    Args:
        tone: their factors, and the exponent of what these make of [0, 1].
    """
    *factors, exponent = tone
    light = np.clip(np.arange(256)[:, None] / 255.0 * np.array(factors), 0.0, 1.0)
    return np.rint(255.0 * light ** exponent).astype(np.uint8)


def hue_matrix(degrees: float) -> np.ndarray:
    """Rotation of BGR colours about the grey axis (Rodrigues' formula), float64 (3, 3)."""
    angle = math.radians(degrees)
    turn = math.sin(angle) / math.sqrt(3) * np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]])
    return math.cos(angle) * np.eye(3) + (1 - math.cos(angle)) / 3 + turn
