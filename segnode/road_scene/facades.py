# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures of house fronts: walls of brick, render or stone with windows, doors and shops."""

import cv2
import numpy as np

from segnode.road_scene.canvas import Texture
from segnode.road_scene.noise import floats, fractal, to_uint8

BAY = 4.0  # metres; fronts are whole bays wide and can be cut between them
BAYS = 4
DENSITY = 40  # pixels per metre

# BGR of walls as they look in flat light.
_WALLS = {
    'brick': [(62, 78, 110), (70, 92, 128), (96, 130, 152), (110, 148, 168), (58, 66, 88)],
    'render': [(196, 206, 210), (176, 190, 200), (160, 180, 196), (205, 205, 200)],
    'stone': [(118, 134, 144), (100, 116, 128), (132, 142, 150)],
    'modern': [(150, 152, 152), (120, 128, 132), (96, 104, 112)],
}
_FASCIAS = [(120, 40, 20), (40, 70, 24), (28, 28, 140), (30, 30, 30), (150, 110, 40),
            (60, 20, 70), (200, 200, 205), (20, 110, 170)]


def house_front(rng: np.random.Generator) -> Texture:
    """Return one row of houses `BAYS * BAY` metres wide and 6 to 13 m high."""
    kind = str(rng.choice(['brick', 'brick', 'brick', 'render', 'stone', 'modern']))
    shop = rng.random() < 0.6
    floors = int(rng.integers(1, 4))  # above the ground floor
    ground = rng.uniform(3.2, 3.8) if shop else rng.uniform(2.8, 3.1)
    storey = rng.uniform(2.7, 3.3)
    total = ground + floors * storey + rng.uniform(0.3, 0.9)
    height = 16 * round(total * DENSITY / 16)
    width = int(BAYS * BAY * DENSITY)
    wall = np.array(_WALLS[kind][rng.integers(len(_WALLS[kind]))], np.float32)
    image = wall_picture(rng, kind, wall, height, width)
    pen = _Pen(image)
    frame = (225, 228, 228) if rng.random() < 0.75 else (60, 62, 66)
    shape = rng.uniform((0.9, 1.3), (1.3, 1.75))  # window width, height
    per_bay = 1 if kind == 'modern' or rng.random() < 0.3 else 2
    for floor in range(floors):
        sill = ground + floor * storey + 0.85
        if kind == 'modern':
            pen.window(0.2, sill, BAYS * BAY - 0.2, sill + 1.4, frame, rng, panes=16, wall=wall)
            continue
        for slot in range(BAYS * per_bay):
            middle = (slot + 0.5) * BAY / per_bay
            tall = min(shape[1], storey - 1.1)
            pen.window(middle - shape[0] / 2, sill, middle + shape[0] / 2, sill + tall, frame,
                       rng, panes=2, wall=wall)
    for bay in range(BAYS):
        if shop:
            pen.shop(bay * BAY, ground, rng)
        else:
            pen.window(bay * BAY + 0.6, 0.85, bay * BAY + 0.6 + shape[0], 0.85 + shape[1], frame,
                       rng, panes=2, wall=wall)
            pen.door(bay * BAY + 2.6, rng)
    for bay in range(0, BAYS, 2):  # rain pipes
        pen.box(bay * BAY - 0.06, 0.0, bay * BAY + 0.06, total, tuple(wall * 0.35))
    if kind != 'modern':
        pen.box(0, total - 0.22, BAYS * BAY, total - 0.08, tuple(wall * 0.55))
        pen.box(0, total - 0.08, BAYS * BAY, total, (60, 60, 60))
    return Texture(_weather(rng, image, total), (DENSITY, DENSITY))


def side_wall(rng: np.random.Generator) -> Texture:
    """Return a plain end wall 12 m wide and 15 m high."""
    color = np.array(_WALLS['brick'][rng.integers(len(_WALLS['brick']))], np.float32)
    image = wall_picture(rng, 'brick', color, 15 * 24, 12 * 24)
    return Texture(_weather(rng, image, 15), (24, 24))


def slates(rng: np.random.Generator) -> Texture:
    """Return a roof's face, 16 m wide and 6 m up the slope."""
    height, width = 6 * 24, 16 * 24
    color = np.array([(66, 62, 62), (52, 62, 84), (80, 80, 82)][rng.integers(3)], np.float32)
    image = color * (1 + 0.12 * fractal(rng, height, width, 6)[..., None])
    image *= 1 + 0.1 * rng.standard_normal((height, width, 1)).astype(np.float32)
    image[::6] *= 0.72
    return Texture(to_uint8(image), (24, 24))


def wall_picture(rng: np.random.Generator, kind: str, color: np.ndarray, height: int,
                 width: int) -> np.ndarray:
    """Return float32 (height, width, 3), a wall without openings."""
    image = np.empty((height, width, 3), np.float32)
    image[:] = color
    patches = fractal(rng, height, width, 4, 6)[..., None]
    image *= 1 + {'brick': 0.05, 'render': 0.04, 'stone': 0.06, 'modern': 0.04}[kind] * patches
    if kind in ('brick', 'stone'):
        rows, columns = (4, 10) if kind == 'brick' else (14, 26)
        grid = floats(rng.standard_normal((height // rows + 1, width // columns + 2)))
        single = cv2.resize(grid, None, fx=columns, fy=rows, interpolation=cv2.INTER_NEAREST)
        for row in range(1, len(grid), 2):  # each second course shifted by half
            part = single[row * rows:(row + 1) * rows]
            part[:] = np.roll(part, columns // 2, axis=1)
        image *= 1 + (0.065 if kind == 'brick' else 0.06) * single[:height, :width, None]
        image[::rows] *= 0.88 if kind == 'stone' else 1.06
    image *= 1 + 0.03 * rng.standard_normal((height, width, 1)).astype(np.float32)
    return image


def _weather(rng: np.random.Generator, image: np.ndarray, total: float) -> np.ndarray:
    """Darken a wall's foot and top, and add streaks of dirt."""
    height, width = image.shape[:2]
    up = (np.arange(height, 0, -1, dtype=np.float32) / DENSITY)[:, None, None]
    image *= 1 - 0.28 * np.exp(-up / 0.7)
    image *= 1 - 0.18 * np.exp(-np.maximum(total - up, 0) / 0.4)
    streaks = cv2.resize(fractal(rng, 16, width, 16, 4), (width, height))
    image *= 1 + 0.05 * streaks[..., None]
    return to_uint8(image)


class _Pen:
    """Draws in metres from a front's lower left corner."""

    def __init__(self, image: np.ndarray) -> None:
        self.image = image

    def area(self, left: float, low: float, right: float, high: float) -> np.ndarray:
        """Return the part of the image in a rectangle."""
        height, width = self.image.shape[:2]
        columns = np.clip(np.round(np.array([left, right]) * DENSITY), 0, width).astype(int)
        rows = np.clip(np.round(height - np.array([high, low]) * DENSITY), 0, height).astype(int)
        return self.image[rows[0]:rows[1], columns[0]:columns[1]]

    def box(self, left: float, low: float, right: float, high: float,
            color: tuple[float, ...] | np.ndarray) -> None:
        """Fill a rectangle."""
        self.area(left, low, right, high)[:] = np.asarray(color, np.float32)

    def glass(self, left: float, low: float, right: float, high: float,
              rng: np.random.Generator, bright: float = 1.0) -> None:
        """Fill a rectangle with dark glass that mirrors some sky and street."""
        part = self.area(left, low, right, high)
        rows, columns = part.shape[:2]
        if not rows or not columns:
            return
        mirror = fractal(rng, rows, columns, 3, 3)
        ramp = np.linspace(1.25, 0.7, rows, dtype=np.float32)[:, None]
        level = rng.uniform(30, 78) * bright * ramp * (1 + 0.35 * mirror)
        part[:] = level[..., None] * floats((1.08, 1.0, 0.95))
        if rng.random() < 0.35:  # curtain or blind
            part[:int(rows * rng.uniform(0.2, 0.6))] += rng.uniform(25, 70)

    def window(self, left: float, low: float, right: float, high: float,
               frame: tuple[int, int, int], rng: np.random.Generator, panes: int,
               wall: np.ndarray) -> None:
        """Draw a window with lintel, sill, frame and bars."""
        self.box(left - 0.1, high, right + 0.1, high + 0.2, wall * 0.82)
        self.box(left - 0.08, low - 0.1, right + 0.08, low, np.minimum(wall * 1.35, 215))
        self.box(left - 0.06, low - 0.16, right + 0.06, low - 0.1, wall * 0.5)
        self.box(left, low, right, high, frame)
        step = (right - left) / panes
        middle = low + (high - low) * 0.5
        for pane in range(panes):
            edge = left + pane * step
            self.glass(edge + 0.05, middle + 0.03, edge + step - 0.04, high - 0.06, rng)
            self.glass(edge + 0.05, low + 0.06, edge + step - 0.04, middle - 0.03, rng)
        self.area(left, high - 0.12, right, high)[:] *= 0.55  # shadow of the lintel

    def door(self, left: float, rng: np.random.Generator) -> None:
        """Draw a front door with a step."""
        color = np.array(_FASCIAS[rng.integers(len(_FASCIAS))], np.float32) * 0.7
        self.box(left - 0.1, 0, left + 1.0, 2.35, (200, 205, 205))
        self.box(left, 0, left + 0.9, 2.0, color)
        self.glass(left, 2.05, left + 0.9, 2.3, rng)
        self.box(left + 0.12, 0.2, left + 0.4, 0.9, color * 0.75)
        self.box(left + 0.5, 0.2, left + 0.78, 0.9, color * 0.75)

    def shop(self, left: float, ground: float, rng: np.random.Generator) -> None:
        """Draw a shop: stall riser, wide glass, fascia with something like writing on it."""
        color = np.array(_FASCIAS[rng.integers(len(_FASCIAS))], np.float32) * rng.uniform(0.6, 1)
        self.box(left, 0, left + BAY, ground, color * 0.6)
        top = ground - 0.75
        self.box(left + 0.1, ground - 0.62, left + BAY - 0.1, ground - 0.08, color)
        ink = floats((235, 235, 235)) if color.mean() < 130 else floats((40, 40, 60))
        letter = left + rng.uniform(0.5, 1.2)
        while letter < left + BAY - 0.9:
            wide = rng.uniform(0.08, 0.22)
            high = rng.uniform(0.16, 0.3)
            self.box(letter, ground - 0.48, letter + wide, ground - 0.48 + high, ink)
            letter += wide + (0.25 if rng.random() < 0.15 else 0.06)
        self.glass(left + 0.2, 0.5, left + 2.6, top, rng, 0.75)
        self.glass(left + 2.8, 0.12, left + BAY - 0.2, top, rng, 0.6)
        for _ in range(int(rng.integers(2, 7))):  # goods and lamps behind the glass
            goods, low = left + rng.uniform(0.3, 2.2), rng.uniform(0.6, 1.8)
            part = self.area(goods, low, goods + rng.uniform(0.15, 0.5),
                             low + rng.uniform(0.15, 0.6))
            part *= 0.5
            part += rng.uniform(10, 110, 3).astype(np.float32) * 0.6
        self.box(left + 1.4, 0.5, left + 1.44, top, color * 0.5)
        if rng.random() < 0.3:  # awning
            for stripe in range(8):
                tone = color if stripe % 2 else floats((210, 212, 212))
                self.box(left + stripe * BAY / 8, ground - 1.15, left + (stripe + 1) * BAY / 8,
                         ground - 0.62, tone * 0.9)
            self.area(left, ground - 1.6, left + BAY, ground - 1.15)[:] *= 0.6
