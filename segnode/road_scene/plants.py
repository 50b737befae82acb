# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures of trees, hedges and the tree line, with coverage and outline labels."""

import cv2
import numpy as np

from segnode.road_scene.canvas import Texture
from segnode.road_scene.noise import floats, fractal, to_uint8

TREE = 5  # train id in the camvid set


def _outline(alpha: np.ndarray, reach: int) -> np.ndarray:
    """Return labels of everything within a plant's outline, the sky between its twigs included."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    padded = cv2.copyMakeBorder(alpha, reach, reach, reach, reach, cv2.BORDER_CONSTANT)
    solid = cv2.morphologyEx((padded > 70).astype(np.uint8), cv2.MORPH_CLOSE, kernel)
    solid = solid[reach:-reach, reach:-reach]
    return np.where(solid > 0, np.uint8(TREE), np.uint8(255))


def _foliage(rng: np.random.Generator, height: int, width: int,
             color: np.ndarray) -> np.ndarray:
    """Return float32 (height, width, 3): leaves, twigs and the dark between them."""
    clumps = fractal(rng, height, width, 6, 4)
    leaves = fractal(rng, height, width, 40, 3, 0.8)
    light = 1 + 0.35 * clumps + 0.42 * leaves
    tint = 1 + 0.08 * fractal(rng, height, width, 5, 4)[..., None] * floats((1, 0.2, -0.8))
    return np.clip(light, 0.12, 2.2)[..., None] * color * tint


def leafy_tree(rng: np.random.Generator) -> Texture:
    """Return a tree or tall shrub full of leaves; about 6 m by 8 m."""
    height, width = 512, 384
    across, down = np.meshgrid(np.linspace(-1, 1, width, dtype=np.float32),
                               np.linspace(0, 1, height, dtype=np.float32))
    crown = np.full((height, width), -9.0, np.float32)
    for _ in range(int(rng.integers(7, 13))):
        x, y = rng.uniform(-0.5, 0.5), rng.uniform(0.2, 0.62)
        size = rng.uniform(0.25, 0.45) * (1.15 - abs(x))
        blob = 1 - ((across - x) / size) ** 2 - ((down - y) / (size * 0.62)) ** 2
        crown = np.maximum(crown, blob)
    crown += 0.55 * fractal(rng, height, width, 10, 5, 0.7)
    alpha = np.clip(crown * 4 + 0.5, 0, 1)
    dark = [(36, 54, 52), (30, 44, 40), (42, 60, 66), (44, 60, 58)][rng.integers(4)]
    image = _foliage(rng, height, width, floats(dark))
    image *= (1.35 - 0.75 * down)[..., None]
    trunk = np.zeros((height, width), np.uint8)
    _branch(trunk, rng, (width / 2, height - 1), -np.pi / 2, height * 0.33, 16, 5)
    bark = (trunk > 100) & (alpha < 0.5)
    image[bark] = floats((40, 48, 54)) * (1 + 0.2 * rng.standard_normal((bark.sum(), 1)))
    cover = np.maximum(to_uint8(alpha * 255), trunk)
    return Texture(np.dstack([to_uint8(image), cover]), (64, 64), _outline(cover, 5))


def bare_tree(rng: np.random.Generator) -> Texture:
    """Return a tree in winter; about 7 m by 9 m."""
    height, width = 576, 448
    alpha = np.zeros((height, width), np.uint8)
    _branch(alpha, rng, (width / 2, height - 1), -np.pi / 2, height * 0.27, 13, 8)
    color = floats([(50, 56, 62), (62, 70, 78), (44, 50, 52)][rng.integers(3)])
    image = np.ones((height, width, 1), np.float32) * color
    image *= (1 + 0.25 * fractal(rng, height, width, 30, 3))[..., None]
    return Texture(np.dstack([to_uint8(image), alpha]), (64, 64), _outline(alpha, 9))


def conifer(rng: np.random.Generator) -> Texture:
    """Return a dark narrow evergreen; about 4 m by 9 m."""
    height, width = 576, 256
    across, down = np.meshgrid(np.linspace(-1, 1, width, dtype=np.float32),
                               np.linspace(0, 1, height, dtype=np.float32))
    spread = 0.12 + 0.72 * np.minimum(down * 1.15, 1) ** 0.8
    shape = spread - np.abs(across) + 0.13 * fractal(rng, height, width, 8, 5, 0.75)
    shape -= np.maximum(down - 0.94, 0) * 8
    alpha = np.clip(shape * 8 + 0.5, 0, 1)
    image = _foliage(rng, height, width, floats((30, 48, 40)))
    image *= (1.25 - 0.45 * down)[..., None]
    cover = to_uint8(alpha * 255)
    return Texture(np.dstack([to_uint8(image), cover]), (64, 64), _outline(cover, 4))


def hedge(rng: np.random.Generator) -> Texture:
    """Return a hedge 16 m long and about 1.8 m high with an uneven top."""
    height, width = 128, 1024
    down = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    top = 0.12 + 0.06 * fractal(rng, 1, width, 8, 5)
    alpha = np.clip((down - top) * 20 + 0.5 * fractal(rng, height, width, 64, 3), 0, 1)
    color = [(34, 52, 48), (38, 52, 58), (30, 44, 40)][rng.integers(3)]
    image = _foliage(rng, height, width, floats(color)) * (1.4 - 0.8 * down)[..., None]
    cover = to_uint8(alpha * 255)
    return Texture(np.dstack([to_uint8(image), cover]), (64, 71), _outline(cover, 3))


def tree_line(rng: np.random.Generator) -> Texture:
    """Return trees and shrubs behind one another, 32 m wide and 8 m high."""
    height, width = 256, 1024
    down = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    top = 0.3 + 0.16 * fractal(rng, 1, width, 4, 6, 0.6)
    solid = np.clip((down - top) * 14 + 0.9 * fractal(rng, height, width, 40, 4, 0.8), 0, 1)
    image = _foliage(rng, height, width, floats((48, 62, 66)))
    image *= (1.25 - 0.6 * down)[..., None]
    cover = to_uint8(solid * 255)
    return Texture(np.dstack([to_uint8(image), cover]), (32, 32), _outline(cover, 4))


def _branch(alpha: np.ndarray, rng: np.random.Generator, start: tuple[float, float],
            angle: float, length: float, thick: float, depth: int) -> None:
    """Draw a branch and, from its far half, the branches that leave it."""
    end = (start[0] + length * np.cos(angle), start[1] + length * np.sin(angle))
    cv2.line(alpha, (round(start[0] * 8), round(start[1] * 8)),
             (round(end[0] * 8), round(end[1] * 8)), 255 if thick > 1.4 else 170,
             max(1, round(thick)), cv2.LINE_AA, 3)
    if depth <= 1 or length < 4:
        return
    for fork in range(3 if depth > 2 else 2):
        turn = rng.uniform(0.15, 0.75) * (1, -1, rng.choice([-0.4, 0.4]))[fork]
        part = rng.uniform(0.6, 1.0)
        root = (start[0] + (end[0] - start[0]) * part, start[1] + (end[1] - start[1]) * part)
        _branch(alpha, rng, root, angle + turn - 0.05 * np.cos(angle),
                length * rng.uniform(0.6, 0.82), thick * 0.62, depth - 1)
