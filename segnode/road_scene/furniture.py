# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures of sign plates, traffic lights, railings and board fences."""

import cv2
import numpy as np

from segnode.road_scene.canvas import Texture
from segnode.road_scene.noise import floats, fractal, to_uint8

SIGN, FENCE = 6, 7  # train ids in the camvid set
_UNIT = 128  # pixels per metre of a sign
_RED, _BLUE, _WHITE = (30, 24, 170), (140, 70, 20), (214, 216, 216)
_BLACK, _YELLOW = (24, 24, 26), (40, 180, 215)


def sign_plates(rng: np.random.Generator) -> list[Texture]:
    """Return plates 0.6 to 1.2 m wide: round, triangular, and direction boards."""
    plates = [_round(_WHITE, _RED), _round(_BLUE, _BLUE), _round(_RED, _RED), _triangle(),
              _board(rng, 1.2, 0.8, _BLUE), _board(rng, 0.9, 1.1, _WHITE),
              _board(rng, 1.2, 0.6, (50, 90, 30)), _board(rng, 0.7, 0.7, _YELLOW)]
    return plates


def traffic_light(lit: int) -> Texture:
    """Return a signal head 0.5 m wide and 1.1 m high with one lamp (0 top to 2) lit."""
    image, cover = _blank(0.5, 1.1)
    cv2.rectangle(image, (0, 0), (63, 139), _BLACK, -1)
    cv2.rectangle(image, (8, 6), (55, 133), (16, 16, 16), -1)
    cover[:] = 255
    colors = ((60, 60, 255), (60, 190, 255), (190, 255, 120))
    for lamp, color in enumerate(colors):
        dim = tuple(int(part * 0.16) for part in color)
        cv2.circle(image, (32, 28 + 42 * lamp), 15, color if lamp == lit else dim, -1, cv2.LINE_AA)
    return _finish(image, cover)


def railing(rng: np.random.Generator) -> Texture:
    """Return a pedestrian guard rail 16 m long and 1 m high; its outline counts as fence."""
    width, height, unit = 1024, 64, 64
    cover = np.zeros((height, width), np.uint8)
    for post in range(0, width + 1, 2 * unit):
        cv2.line(cover, (post, 0), (post, height), 255, 5)
    for bar in range(0, width, 8):
        cv2.line(cover, (bar, 6), (bar, 58), 255, 2)
    for rail in (2, 60):
        cv2.line(cover, (0, rail), (width, rail), 255, 4)
    gray = rng.uniform(70, 150)
    image = np.full((height, width, 3), gray, np.float32)
    image *= 1 + 0.1 * fractal(rng, height, width, 32, 3)[..., None]
    return Texture(np.dstack([to_uint8(image), cover]), (unit, unit),
                   np.full((height, width), FENCE, np.uint8))


def board_fence(rng: np.random.Generator) -> Texture:
    """Return a fence of upright boards 16 m long and 1.8 m high."""
    unit, width, height = 64, 1024, 112
    color = floats([(58, 78, 98), (70, 84, 92), (52, 66, 60)][rng.integers(3)])
    image = np.ones((height, width, 1), np.float32) * color
    boards = np.repeat(rng.standard_normal(width // 8).astype(np.float32), 8)
    image *= (1 + 0.12 * boards)[None, :, None]
    image *= (1 + 0.1 * cv2.resize(fractal(rng, 8, width, 64, 4), (width, height)))[..., None]
    image[:, ::8] *= 0.5
    image[:, 1::128] *= 0.6
    image[10:18] *= 0.8
    image[88:96] *= 0.75
    image[:5] *= 1.2
    return Texture(to_uint8(image), (unit, height / 1.8))


def _blank(width: float, height: float) -> tuple[np.ndarray, np.ndarray]:
    size = (round(height * _UNIT), round(width * _UNIT))
    return np.zeros((*size, 3), np.uint8), np.zeros(size, np.uint8)


def _finish(image: np.ndarray, cover: np.ndarray) -> Texture:
    labels = np.where(cover > 127, np.uint8(SIGN), np.uint8(255))
    return Texture(np.dstack([image, cover]), (_UNIT, _UNIT), labels)


def _round(face: tuple[int, int, int], rim: tuple[int, int, int]) -> Texture:
    image, cover = _blank(0.7, 0.7)
    center = (44, 44)
    cv2.circle(cover, center, 43, 255, -1, cv2.LINE_AA)
    image[:] = rim
    cv2.circle(image, center, 32, face, -1, cv2.LINE_AA)
    ink = _BLACK if face == _WHITE else _WHITE
    if face == _RED:
        cv2.rectangle(image, (18, 38), (70, 51), _WHITE, -1)
    elif face == _BLUE:
        cv2.arrowedLine(image, (26, 62), (60, 28), ink, 9, cv2.LINE_AA, 0, 0.45)
    else:
        cv2.putText(image, '30', (20, 57), cv2.FONT_HERSHEY_SIMPLEX, 1.25, ink, 5, cv2.LINE_AA)
    return _finish(image, cover)


def _triangle() -> Texture:
    image, cover = _blank(0.75, 0.7)
    corners = np.array([(48, 3), (93, 86), (3, 86)])
    cv2.fillConvexPoly(cover, corners, 255, cv2.LINE_AA)
    image[:] = _RED
    inner = np.round(corners.mean(0) + (corners - corners.mean(0)) * 0.62).astype(int)
    cv2.fillConvexPoly(image, inner, _WHITE, cv2.LINE_AA)
    cv2.line(image, (48, 42), (48, 66), _BLACK, 7)
    cv2.circle(image, (48, 75), 3, _BLACK, -1)
    return _finish(image, cover)


def _board(rng: np.random.Generator, width: float, height: float,
           color: tuple[int, int, int]) -> Texture:
    image, cover = _blank(width, height)
    cover[:] = 255
    rows, columns = cover.shape
    ink = _WHITE if sum(color) < 420 else _BLACK
    image[:] = color
    cv2.rectangle(image, (3, 3), (columns - 4, rows - 4), ink, 3)
    for row in range(16, rows - 20, 24):
        column = 14
        while column < columns - 24:
            wide = int(rng.integers(6, 14))
            cv2.rectangle(image, (column, row), (column + wide - 4, row + 13), ink, -1)
            column += wide + (10 if rng.random() < 0.15 else 0)
    return _finish(image, cover)
