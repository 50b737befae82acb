# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""
The road's course and the pinhole camera that drives along it.

World axes in metres: x to the right, y up, z along the road. The road's centre line is at
x = Course.offset(z); places beside it are given as (distance right of the centre line, y, z).
"""

import math

import numpy as np

from segnode.road_scene.noise import random

FRAME_RATE = 15.0  # Hz
NEAR = 1.2  # metres; nothing nearer to the camera's plane is drawn


class Course:
    """The gently winding centre line of the road."""

    def __init__(self, seed: int) -> None:
        rng = random(seed, 'course')
        self._amplitude = rng.uniform((3.0, 0.5), (7.0, 1.5))  # metres
        self._wave = 1 / rng.uniform((75.0, 33.0), (110.0, 45.0))  # radians per metre
        self._phase = rng.uniform(0, 2 * np.pi, 2)
        self._waves = np.stack([self._amplitude, self._wave, self._phase], -1).tolist()

    def offset(self, z: float | np.ndarray) -> np.ndarray:
        """Return x of the centre line at z, both in metres."""
        angle = np.multiply.outer(z, self._wave) + self._phase
        return np.sin(angle) @ self._amplitude

    def slope(self, z: float) -> float:
        """Return dx/dz of the centre line at z."""
        return float(np.cos(z * self._wave + self._phase) @ (self._amplitude * self._wave))

    def spot(self, x: float, y: float, z: float) -> np.ndarray:
        """Return the world point float64 (3,) of one place beside the road."""
        bend = sum(size * math.sin(z * wave + phase) for size, wave, phase in self._waves)
        return np.array([x + bend, y, z])

    def place(self, x: float | np.ndarray, y: float | np.ndarray,
              z: float | np.ndarray) -> np.ndarray:
        """Return world points float64 (..., 3) of places beside the road."""
        across, up, along = np.broadcast_arrays(x, y, np.asarray(z, np.float64))
        return np.stack([across + self.offset(along), up, along], -1)


class Camera:
    """
    The camera of one frame.

    Args:
        course: the road.
        seed: the scene's seed.
        index: frame number at 15 Hz.
        height, width: image size in pixels.
    """

    def __init__(self, course: Course, seed: int, index: int, height: int, width: int) -> None:
        rng = random(seed, 'camera')
        speed = rng.uniform(6.0, 9.0)  # m/s
        lane, eye, pitch = rng.uniform(-1.75, -1.35), rng.uniform(1.3, 1.5), rng.uniform(0, 0.02)
        wave, phase = rng.uniform(0.5, 1.1, 4), rng.uniform(0, 2 * np.pi, 4)
        time = index / FRAME_RATE
        sway = np.sin(wave * time + phase)
        self.time = time
        self.z = speed * time
        self.center = course.spot(lane + 0.12 * sway[0], eye + 0.008 * np.sin(9 * time), self.z)
        yaw = np.arctan(course.slope(self.z + 6)) + 0.012 * sway[1]  # drivers look ahead
        pitch = pitch + 0.002 * sway[2] + 0.0012 * np.sin(7 * time + phase[3])
        # A 4:3 image sees 53 degrees across, about as CamVid's does.
        self.focal = 1.33 * height
        cos, sin = np.cos(yaw), np.sin(yaw)
        turn = np.array([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]])
        cos, sin = np.cos(pitch), np.sin(pitch)
        tilt = np.array([[1, 0, 0], [0, cos, sin], [0, -sin, cos]])
        lens = np.array([[self.focal, 0, width / 2 - 0.5], [0, -self.focal, height / 2 - 0.5],
                         [0, 0, 1]])
        self.axes = tilt @ turn
        self._matrix = lens @ self.axes
        self.yaw = float(yaw)
        # Row of the horizon: points at infinity straight ahead.
        self.horizon = float(height / 2 - 0.5 + self.focal * np.tan(-pitch))

    def depth(self, points: np.ndarray) -> np.ndarray:
        """Return the distance (...,) of world points (..., 3) in front of the camera's plane."""
        return (points - self.center) @ self.axes[2]

    def project(self, points: np.ndarray) -> np.ndarray:
        """Return pixels (..., 2), x then y, of world points (..., 3) in front of the camera."""
        seen = (points - self.center) @ self._matrix.T
        return seen[..., :2] / seen[..., 2:]

    def outline(self, points: np.ndarray) -> np.ndarray:
        """Return pixels (M, 2) of a polygon (N, 3), cut at the near plane; M is 0 if behind it."""
        seen = (points - self.center) @ self._matrix.T
        if seen[:, 2].min() < NEAR:
            seen = _clip(seen)
            if not len(seen):
                return np.empty((0, 2))
        return seen[:, :2] / seen[:, 2:]

    def plane(self, origin: np.ndarray, right: np.ndarray, up: np.ndarray) -> np.ndarray:
        """Return the (3, 3) homography from (a, b, 1) to pixels of origin + a right + b up."""
        return self._matrix @ np.stack([right, up, origin - self.center], -1)


def _clip(seen: np.ndarray) -> np.ndarray:
    """Cut a polygon (N, 3) of homogeneous pixels at depth NEAR."""
    kept: list[np.ndarray] = []
    for first, second in zip(seen, np.roll(seen, -1, axis=0), strict=True):
        if first[2] >= NEAR:
            kept.append(first)
        if (first[2] >= NEAR) != (second[2] >= NEAR):
            kept.append(first + (second - first) * ((NEAR - first[2]) / (second[2] - first[2])))
    return np.array(kept).reshape(-1, 3)
