# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures of people on foot and on bicycles, one for each phase of a step."""

import cv2
import numpy as np

from segnode.road_scene.canvas import Texture
from segnode.road_scene.noise import floats, fractal, to_uint8

PEDESTRIAN, BICYCLIST = 9, 10  # train ids in the camvid set
PHASES = 8
_CLOTHES = [(28, 26, 26), (52, 40, 36), (40, 44, 60), (70, 60, 56), (36, 40, 92), (96, 84, 70),
            (120, 118, 116), (34, 50, 44), (30, 30, 44), (84, 58, 48)]
_TROUSERS = [(34, 32, 32), (70, 52, 42), (48, 46, 48), (84, 70, 60), (28, 26, 28)]
_SKIN = [(150, 176, 220), (112, 142, 188), (70, 90, 126)]
_HAIR = [(24, 26, 32), (40, 56, 78), (70, 92, 116), (90, 92, 96)]
_UNIT = 128  # pixels per metre


class _Sketch:
    """A transparent picture drawn on in metres; the origin is at the feet, half way across."""

    def __init__(self, width: float, height: float) -> None:
        self.color = np.zeros((round(height * _UNIT), round(width * _UNIT), 3), np.float32)
        self.alpha = np.zeros(self.color.shape[:2], np.uint8)

    def shape(self, points: list[tuple[float, float]], color: np.ndarray) -> None:
        """Fill a polygon."""
        height, width = self.alpha.shape
        corners = np.array([(x * _UNIT + width / 2, height - y * _UNIT) for x, y in points])
        self._put(np.round(corners * 16).astype(np.int32), color)

    def ball(self, x: float, y: float, radius: float, color: np.ndarray,
             stretch: float = 1.0) -> None:
        """Fill an upright ellipse."""
        turn = np.linspace(0, 2 * np.pi, 24, endpoint=False)
        self.shape([(x + radius * np.cos(a), y + stretch * radius * np.sin(a)) for a in turn],
                   color)

    def limb(self, points: list[tuple[float, float]], thick: float, color: np.ndarray) -> None:
        """Draw a thick line with round ends."""
        height, width = self.alpha.shape
        corners = np.round(np.array([(x * _UNIT + width / 2, height - y * _UNIT)
                                     for x, y in points]) * 16).astype(np.int32)
        mask = np.zeros_like(self.alpha)
        cv2.polylines(mask, [corners], False, 255, max(1, round(thick * _UNIT)), cv2.LINE_AA, 4)
        self.color[mask > 0] = color
        self.alpha = np.maximum(self.alpha, mask)

    def _put(self, corners: np.ndarray, color: np.ndarray) -> None:
        mask = np.zeros_like(self.alpha)
        cv2.fillPoly(mask, [corners], 255, cv2.LINE_AA, 4)
        self.color[mask > 0] = color
        self.alpha = np.maximum(self.alpha, mask)

    def texture(self, folds: np.ndarray, label: int) -> Texture:
        """Shade the picture and close the gaps in its outline."""
        height, width = self.alpha.shape
        side = np.linspace(1.18, 0.82, width, dtype=np.float32)[None, :, None]
        image = self.color * side * (1 + 0.16 * folds[:height, :width, None])
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (13, 13))
        solid = cv2.morphologyEx(self.alpha, cv2.MORPH_CLOSE, kernel)
        labels = np.where(solid > 127, np.uint8(label), np.uint8(255))
        return Texture(np.dstack([to_uint8(image), self.alpha]), (_UNIT, _UNIT), labels)


def _pick(rng: np.random.Generator, colors: list[tuple[int, int, int]]) -> np.ndarray:
    return floats(colors[rng.integers(len(colors))]) * floats(rng.uniform(0.5, 0.95))


def walker(rng: np.random.Generator) -> list[Texture]:
    """Return one person's pictures, one for each phase of two steps; 1 m by 1.9 m."""
    coat, legs = _pick(rng, _CLOTHES), _pick(rng, _TROUSERS)
    skin, hair = _pick(rng, _SKIN), _pick(rng, _HAIR)
    tall = rng.uniform(0.88, 1.02)
    wide = rng.uniform(0.9, 1.15)
    bag = rng.random() < 0.4
    hem = rng.uniform(0.62, 0.85)
    folds = fractal(rng, 256, 128, 8, 4)
    pictures = []
    for phase in range(PHASES):
        sketch = _Sketch(1.0, 1.9)
        swing = np.sin(2 * np.pi * phase / PHASES)

        def at(x: float, y: float) -> tuple[float, float]:
            return x * wide, y * tall

        for sign, shade in ((-1, 0.75), (1, 1.0)):
            foot = sign * swing * 0.24
            lift = max(0.0, -sign * np.cos(2 * np.pi * phase / PHASES)) * 0.1
            knee = (sign * 0.05 + foot * 0.55, 0.47 + lift * 0.5)
            sketch.limb([at(sign * 0.06, 0.88), at(*knee), at(foot + sign * 0.03, 0.1 + lift)],
                        0.125, legs * shade)
            sketch.limb([at(foot + sign * 0.03, 0.04 + lift),
                         at(foot + sign * 0.03 + 0.08, 0.03 + lift)], 0.075,
                        floats((22, 22, 24)))
        sketch.limb([at(-0.2, 1.38), at(-0.24 - swing * 0.08, 1.1), at(-0.2 - swing * 0.16, 0.86)],
                    0.1, coat * 0.75)
        sketch.shape([at(-0.2, 1.44), at(-0.1, 1.52), at(0.1, 1.52), at(0.2, 1.44),
                      at(0.19, 1.1), at(0.2, hem), at(-0.2, hem), at(-0.19, 1.1)], coat)
        sketch.shape([at(-0.2, 1.44), at(-0.1, 1.52), at(-0.06, 1.1), at(-0.1, hem),
                      at(-0.2, hem), at(-0.19, 1.1)], coat * 0.82)
        sketch.limb([at(0.2, 1.38), at(0.24 + swing * 0.08, 1.1), at(0.2 + swing * 0.16, 0.86)],
                    0.1, coat * 1.08)
        sketch.ball(*at(0.2 + swing * 0.16, 0.82), 0.045, skin)
        if bag:
            sketch.shape([at(0.16, 0.98), at(0.34, 0.98), at(0.32, 0.7), at(0.18, 0.7)],
                         _CLOTHES[0] + floats(20))
        sketch.limb([at(0, 1.5), at(0, 1.58)], 0.11, skin * 0.85)
        sketch.ball(*at(0, 1.66), 0.098, skin, 1.22)
        sketch.ball(*at(-0.01, 1.72), 0.103, hair, 0.85)
        pictures.append(sketch.texture(folds, PEDESTRIAN))
    return pictures


def cyclist(rng: np.random.Generator, coming: bool = False) -> list[Texture]:
    """
    Return a rider, one picture for each phase of the pedals; 0.9 by 1.9 m.

    Args:
        rng: where the numbers come from.
        coming: whether the rider's face is seen, or the back.
    """
    coat, legs = _pick(rng, _CLOTHES), _pick(rng, _TROUSERS)
    skin, hair = _pick(rng, _SKIN), _pick(rng, _HAIR)
    if rng.random() < 0.3:
        coat = floats((50, 170, 160))  # a high-visibility vest
    folds = fractal(rng, 256, 128, 8, 4)
    tyre, metal = floats((16, 16, 16)), floats((70, 68, 66))
    frame = floats(_CLOTHES[rng.integers(len(_CLOTHES))])
    pictures = []
    for phase in range(PHASES):
        sketch = _Sketch(0.9, 1.9)
        turn = 2 * np.pi * phase / PHASES
        # A little from the side, so that wheels and frame can be told.
        for x, y, wide, tall in ((0.2, 0.38, 0.1, 0.28), (-0.04, 0.33, 0.12, 0.33)):
            rim = [(x + wide * np.cos(a), y + tall * np.sin(a))
                   for a in np.linspace(0, 2 * np.pi, 24)]
            sketch.limb(rim, 0.045, tyre)
            for a in np.linspace(0.3, 2 * np.pi + 0.3, 6):
                sketch.limb([(x, y), (x + wide * np.cos(a), y + tall * np.sin(a))], 0.01, metal)
        sketch.limb([(-0.04, 0.33), (0.0, 0.85), (0.19, 0.9), (0.2, 0.38)], 0.035, frame)
        sketch.limb([(0.0, 0.8), (0.08, 0.34), (0.19, 0.8)], 0.035, frame)
        sketch.shape([(-0.09, 0.66), (0.01, 0.66), (0.0, 0.58), (-0.08, 0.58)], tyre)
        for sign in (-1, 1):
            foot = 0.3 + 0.17 * np.sin(turn + (0 if sign > 0 else np.pi))
            sketch.limb([(sign * 0.08, 0.95), (sign * 0.15, 0.62 + (foot - 0.3) * 0.6),
                         (sign * 0.11, foot)], 0.12, legs * (1.0 if sign > 0 else 0.8))
            sketch.limb([(sign * 0.1, foot - 0.04), (sign * 0.13, foot - 0.04)], 0.085, tyre)
        sketch.limb([(-0.3, 1.02), (0.3, 1.02)], 0.03, tyre)
        sketch.shape([(-0.14, 0.86), (0.14, 0.86), (0.17, 1.0), (-0.17, 1.0)], legs * 0.9)
        for sign in (-1, 1):
            sketch.limb([(sign * 0.2, 1.4), (sign * 0.29, 1.2), (sign * 0.28, 1.04)], 0.095,
                        coat * (0.8, 1.05)[sign > 0])
        sketch.shape([(-0.15, 0.94), (0.15, 0.94), (0.2, 1.2), (0.21, 1.42), (0.1, 1.5),
                      (-0.1, 1.5), (-0.21, 1.42), (-0.2, 1.2)], coat)
        sketch.shape([(-0.15, 0.94), (-0.02, 0.94), (-0.05, 1.49), (-0.1, 1.5), (-0.21, 1.42),
                      (-0.2, 1.2)], coat * 0.84)
        sketch.limb([(0, 1.48), (0, 1.56)], 0.1, skin * 0.85)
        sketch.ball(0, 1.64, 0.1, skin if coming else hair, 1.2)
        if coming:
            sketch.ball(0, 1.72, 0.1, hair, 0.6)
        if coat[1] > 120:
            sketch.ball(0, 1.7, 0.115, floats((190, 190, 195)), 0.75)
        lamp = (230, 240, 240) if coming else (30, 30, 170)
        sketch.ball(-0.04, 0.72, 0.025, floats(lamp))
        pictures.append(sketch.texture(folds, BICYCLIST))
    return pictures
