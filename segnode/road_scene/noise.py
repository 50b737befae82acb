# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Random numbers by name, and smooth noise made of them."""

import cv2
import numpy as np
from numpy.typing import ArrayLike

_MASK = (1 << 64) - 1


def random(seed: int, kind: str, place: int = 0) -> np.random.Generator:
    """
    Return the generator that belongs to one thing of one scene.

    Whoever asks for the same thing gets the same numbers, in whatever order frames are drawn.

    Args:
        seed: the scene's seed, 0 or more.
        kind: what the numbers are for, such as 'lot'.
        place: which of them; may be a little below 0, behind the camera's start.
    """
    return np.random.default_rng([seed, *kind.encode(), place + (1 << 20)])


def fraction(seed: int, kind: int, place: int) -> float:
    """Return one number of 0..1 that belongs to a place; far cheaper than `random`."""
    bits = (seed * 0x9E3779B97F4A7C15 + kind * 0xC2B2AE3D27D4EB4F + place) & _MASK
    for factor in (0xBF58476D1CE4E5B9, 0x94D049BB133111EB):  # splitmix64
        bits = ((bits ^ (bits >> 30)) * factor) & _MASK
    return ((bits ^ (bits >> 31)) >> 11) / (1 << 53)


def fractal(rng: np.random.Generator, height: int, width: int, cells: int = 4, octaves: int = 5,
            gain: float = 0.55) -> np.ndarray:
    """
    Return smooth noise that can be tiled: float32 (height, width), mean about 0, spread about 1.

    Args:
        rng: where the numbers come from.
        height, width: size in pixels.
        cells: bumps across the width in the coarsest layer.
        octaves: layers, each twice as fine as the one before.
        gain: strength of each layer relative to the one before.
    """
    total = np.zeros((height, width), np.float32)
    strength, norm = 1.0, 0.0
    for octave in range(octaves):
        columns = min(cells << octave, width)
        rows = min(max(1, round(columns * height / width)), height)
        grid = rng.standard_normal((rows, columns)).astype(np.float32)
        total += strength * _enlarge_wrapped(grid, height, width)
        norm += strength * strength
        strength *= gain
    return total / np.float32(np.sqrt(norm) * 0.75)


def _enlarge_wrapped(grid: np.ndarray, height: int, width: int) -> np.ndarray:
    """Enlarge a grid smoothly as if it repeated on all sides."""
    pad = 2
    rows, columns = grid.shape
    padded = np.pad(grid, pad, mode='wrap')
    matrix = np.array([[columns / width, 0, pad + 0.5 * columns / width - 0.5],
                       [0, rows / height, pad + 0.5 * rows / height - 0.5]])
    return cv2.warpAffine(padded, matrix, (width, height),
                          flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
                          borderMode=cv2.BORDER_REFLECT)


def floats(values: ArrayLike) -> np.ndarray:
    """Return numbers, such as a BGR colour, as a float32 array."""
    return np.asarray(values, np.float32)


def to_uint8(values: np.ndarray) -> np.ndarray:
    """Round to uint8, held to 0..255."""
    return np.clip(values + 0.5, 0, 255).astype(np.uint8)
