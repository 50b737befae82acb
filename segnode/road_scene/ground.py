# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The ground: asphalt, lane markings, kerbs, paved sidewalks, and the shadows on them."""

import dataclasses

import cv2
import numpy as np

from segnode.road_scene.camera import Camera, Course
from segnode.road_scene.canvas import Canvas, fixed_point, Light
from segnode.road_scene.noise import floats, fractal, fraction, random, to_uint8

ROAD, SIDEWALK = 3, 4  # train ids in the camvid set
KERB = 0.12  # metres that the sidewalk lies above the road
FAR = 150.0  # metres; the street is drawn as far as this
_FINE, _COARSE = 6.0, 48.0  # metres after which the surface's pictures repeat


@dataclasses.dataclass(frozen=True)
class Profile:
    """
    What a cut across the street looks like, in metres.

    Args:
        half_road: from the centre line to either kerb.
        walk: width of each sidewalk.
    """

    half_road: float
    walk: float

    @property
    def front(self) -> float:
        """Return the distance of the house fronts from the centre line."""
        return self.half_road + self.walk


class Ground:
    """
    Paints everything that lies flat.

    Args:
        seed: the scene's seed.
        course: the road.
        profile: its widths.
    """

    def __init__(self, seed: int, course: Course, profile: Profile) -> None:
        self._seed, self._course, self._profile = seed, course, profile
        rng = random(seed, 'ground')
        self._gray = rng.uniform(78, 98)
        self._tint = floats((1.04, 1.0, rng.uniform(0.95, 0.99)))
        self._paving = floats([(86, 89, 92), (74, 77, 82), (94, 97, 97)][
            rng.integers(3)])
        self._yellow_lines = rng.random() < 0.6
        self._dash = (2.0, 6.0) if rng.random() < 0.5 else (4.0, 9.0)  # mark, repeat
        self._asphalt = _levels(_asphalt(rng))
        self._slabs = _levels(_slabs(rng))
        self._coarse = to_uint8(128 + 6 * fractal(rng, 512, 512, 10, 5, 0.8))
        cracks = cv2.Canny(to_uint8(128 + 60 * fractal(rng, 512, 512, 3, 5)), 200, 250)
        self._coarse = cv2.subtract(self._coarse, cv2.GaussianBlur(cracks, (3, 3), 0) // 8)

    def paint(self, canvas: Canvas, camera: Camera, light: Light, gain: float,
              shadows: list[tuple[np.ndarray, float]]) -> None:
        """
        Paint the ground below the horizon.

        Args:
            canvas, camera, light: where, whence and in what air.
            gain: brightness of the day.
            shadows: world polygons (N, 3) and how much light (0..1) is left in each.
        """
        height, width = canvas.labels.shape
        top = int(np.clip(np.ceil(camera.horizon + 1), 0, height - 1))
        ahead = camera.z + np.concatenate([np.arange(1.5, 12, 1.5), np.geomspace(12, FAR, 24)])
        canvas.image[top:] = tuple(self._gray * self._tint)
        canvas.labels[top:] = ROAD
        self._markings(canvas, camera)
        luminance = self._surface(camera, self._asphalt, (top, height), (0, width), 0.0)
        broad = _lay(camera, self._coarse, _COARSE, (top, height), (0, width), 0.0)
        luminance = cv2.multiply(luminance, broad, scale=1 / 128)
        self._wear(luminance, camera, ahead, top)
        walks = self._walks(canvas, camera, ahead)
        for walk in walks:
            self._pave(luminance, camera, walk, top)
        shade = self._shade(camera, shadows, top, height, width)
        luminance = cv2.multiply(luminance, shade, scale=gain / 255)
        part = canvas.image[top:]
        lit = cv2.multiply(part, cv2.cvtColor(luminance, cv2.COLOR_GRAY2BGR), scale=1 / 128)
        rows = np.arange(top, height)
        depth = camera.focal * camera.center[1] / np.maximum(rows - camera.horizon, 0.5)
        veil = (1 - np.exp(-depth / light.reach)).astype(np.float32)[:, None, None]
        haze_rows = int(np.searchsorted(-veil[:, 0, 0], -0.05))  # nothing to see nearer by
        veil = veil[:haze_rows]
        lit[:haze_rows] = to_uint8(lit[:haze_rows] * (1 - veil) + veil * floats(light.haze))
        part[:] = lit

    def _pave(self, luminance: np.ndarray, camera: Camera, walk: np.ndarray, top: int) -> None:
        """Put slabs in place of asphalt within a sidewalk's outline in pixels."""
        if len(walk) < 3:
            return
        height, width = luminance.shape
        left, low = np.clip(np.floor(walk.min(0)).astype(int) - (0, top), 0, (width, height))
        right, high = np.clip(np.ceil(walk.max(0)).astype(int) + 1 - (0, top), 0, (width, height))
        if right <= left or high <= low:
            return
        inside = np.zeros((high - low, right - left), np.uint8)
        cv2.fillPoly(inside, [fixed_point(walk - (left, low + top))], 255, cv2.LINE_8, 4)
        slabs = self._surface(camera, self._slabs, (int(low) + top, int(high) + top),
                              (int(left), int(right)), KERB)
        cv2.copyTo(slabs, inside, luminance[low:high, left:right])

    def _surface(self, camera: Camera, levels: list[np.ndarray], rows: tuple[int, int],
                 columns: tuple[int, int], up: float) -> np.ndarray:
        """Return the brightness of a level surface, uint8 (rows, columns), 128 = even."""
        top, bottom = rows
        result = np.empty((bottom - top, columns[1] - columns[0]), np.uint8)
        drop = camera.center[1] - up
        # Coarser pictures farther away, where one pixel spans more of the road.
        borders = [int(np.clip(camera.horizon + camera.focal * drop / z, top, bottom))
                   for z in (26.0, 11.0, 5.5)]
        for start, end, picture in zip([top, *borders], [*borders, bottom], levels[::-1],
                                       strict=True):
            if end > start:
                result[start - top:end - top] = _lay(camera, picture, _FINE, (start, end), columns,
                                                     up)
        return result

    def _line(self, camera: Camera, left: float, right: float, start: float, end: float,
              up: float = 0.0) -> np.ndarray:
        """Return the outline in pixels of a straight piece of a line along the road."""
        return camera.outline(self._course.place(
            np.array([left, right, right, left]), up, np.array([start, start, end, end])))

    def _markings(self, canvas: Canvas, camera: Camera) -> None:
        """Paint the lines, drawn before the asphalt's texture so that they wear with it."""
        white, yellow = floats((196, 200, 202)), floats((70, 150, 176))
        mark, repeat = self._dash
        half = self._profile.half_road
        first = int(camera.z // repeat)
        for dash in range(first, first + int(90 // repeat)):
            tone = 0.72 + 0.28 * fraction(self._seed, 0, dash)
            canvas.fill(self._line(camera, -0.06, 0.06, dash * repeat, dash * repeat + mark),
                        tuple(white * tone))
        for piece in range(int(camera.z // 6), int(camera.z // 6) + 12):
            tone = 0.8 + 0.2 * fraction(self._seed, 1, piece)
            start, end = piece * 6.0, piece * 6.0 + 6.0
            for side in (-1, 1):
                lines = [(half - 0.3, half - 0.22), (half - 0.5, half - 0.42)]
                if not self._yellow_lines:
                    lines = [(half - 2.16, half - 2.06)] if piece % 3 else []
                color = tuple((yellow if self._yellow_lines else white) * tone)
                for low, high in lines:
                    canvas.fill(self._line(camera, side * low, side * high, start, end), color)
        for crossing in crossings(camera.z):
            left, right = -half + 0.2, half - 0.2
            canvas.fill(self._line(camera, left, 0.0, crossing - 3.4, crossing - 3.1),
                        tuple(white * 0.9))
            for stripe in np.arange(left, right - 0.5, 1.0):
                canvas.fill(self._line(camera, stripe, stripe + 0.5, crossing - 1.5,
                                       crossing + 1.0), tuple(white * 0.92))

    def _wear(self, luminance: np.ndarray, camera: Camera, ahead: np.ndarray, top: int) -> None:
        """Darken the wheel tracks, the gutters and a few mended patches."""
        bands = [(-2.45, -1.95, 0.93), (-1.0, -0.5, 0.94), (0.8, 1.3, 0.93), (2.2, 2.7, 0.95)]
        half = self._profile.half_road
        bands += [(-half, -half + 0.35, 0.8), (half - 0.35, half, 0.8)]
        for left, right, share in bands:
            self._dim(luminance, self._ribbon(camera, ahead, left, right, 0.0), share, top)
        for patch in range(int(camera.z // 14), int(camera.z // 14) + 5):
            rng = random(self._seed, 'patch', patch)
            left, start = rng.uniform(-half, half - 2), patch * 14 + rng.uniform(0, 8)
            outline = self._line(camera, left, left + rng.uniform(0.5, 2.2), start,
                                 start + rng.uniform(0.7, 6))
            self._dim(luminance, outline, rng.uniform(0.72, 1.15), top)

    def _dim(self, luminance: np.ndarray, outline: np.ndarray, share: float, top: int) -> None:
        if len(outline) < 3:
            return
        low, high = np.floor(outline.min(0)).astype(int), np.ceil(outline.max(0)).astype(int)
        rows = slice(max(low[1] - top, 0), max(high[1] + 1 - top, 0))
        columns = slice(max(low[0], 0), max(high[0] + 1, 0))
        part = luminance[rows, columns]
        if not part.size:
            return
        mask = np.zeros(part.shape, np.uint8)
        shift = (columns.start, rows.start + top)
        cv2.fillPoly(mask, [fixed_point(outline - shift)], 255, cv2.LINE_8, 4)
        cv2.copyTo(cv2.convertScaleAbs(part, alpha=share), mask, part)

    def _ribbon(self, camera: Camera, ahead: np.ndarray, left: float, right: float,
                up: float) -> np.ndarray:
        """Return the outline in pixels of a band along the whole visible road."""
        points = np.concatenate([self._course.place(left, up, ahead),
                                 self._course.place(right, up, ahead[::-1])])
        return camera.outline(points)

    def _walks(self, canvas: Canvas, camera: Camera, ahead: np.ndarray) -> list[np.ndarray]:
        """Paint kerbs and sidewalks flat; return the sidewalks' outlines."""
        half, outer = self._profile.half_road, self._profile.front + 14
        found = []
        for side in (-1, 1):
            face = np.concatenate([self._course.place(side * half, 0, ahead),
                                   self._course.place(side * half, KERB, ahead[::-1])])
            canvas.fill(camera.outline(face), (84, 87, 88), SIDEWALK, convex=False)
            walk = self._ribbon(camera, ahead, side * half, side * outer, KERB)
            canvas.fill(walk, tuple(self._paving), SIDEWALK, convex=False)
            stone = self._ribbon(camera, ahead, side * half, side * (half + 0.16), KERB)
            canvas.fill(stone, (108, 111, 112), SIDEWALK, convex=False)
            found.append(walk)
        return found

    def _shade(self, camera: Camera, shadows: list[tuple[np.ndarray, float]], top: int,
               height: int, width: int) -> np.ndarray:
        """Return the light left on each pixel of the ground, uint8, drawn small and enlarged."""
        small = 4
        shade = np.full((-(-(height - top) // small), -(-width // small)), 255, np.uint8)
        for polygon, share in shadows:
            outline = camera.outline(polygon)
            if len(outline) >= 3:
                layer = np.full_like(shade, 255)
                cv2.fillPoly(layer, [fixed_point((outline - (0, top)) / small)], 255 * share,
                             cv2.LINE_AA, 4)
                np.minimum(shade, layer, out=shade)
        soft = cv2.GaussianBlur(shade, (0, 0), max(height / 480, 0.6))
        return cv2.resize(soft, (width, height - top), interpolation=cv2.INTER_LINEAR)


def crossings(z: float) -> list[float]:
    """Return where along the road zebra crossings lie near and ahead of z, in metres."""
    every = 118.0
    first = int(np.floor((z - 8) / every))
    return [60.0 + every * place for place in range(first - 1, first + 2)
            if -8 < 60.0 + every * place - z < FAR]


def _lay(camera: Camera, picture: np.ndarray, period: float, rows: tuple[int, int],
         columns: tuple[int, int], up: float) -> np.ndarray:
    """Return the part of the image where a repeating picture lies level at a height."""
    # The picture repeats, so its origin may be moved near the camera: OpenCV counts to 32767.
    origin = np.array([np.floor(camera.center[0] / period) * period, up,
                       np.floor(camera.center[2] / period) * period])
    plane = camera.plane(origin, np.array([1.0, 0, 0]), np.array([0, 0, 1.0]))
    zoom = picture.shape[0] / period
    shift = np.array([[1, 0, -columns[0]], [0, 1, -rows[0]], [0, 0, 1]])
    place = shift @ plane @ np.diag([1 / zoom, 1 / zoom, 1])
    return cv2.warpPerspective(picture, place, (columns[1] - columns[0], rows[1] - rows[0]),
                               flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)


def _levels(picture: np.ndarray) -> list[np.ndarray]:
    """Return a picture and three coarser ones, each a third of the side before."""
    levels = [picture]
    for _ in range(3):
        side = levels[-1].shape[0] // 3
        levels.append(cv2.resize(levels[-1], (side, side), interpolation=cv2.INTER_AREA))
    return levels


def _asphalt(rng: np.random.Generator) -> np.ndarray:
    """Return the grain of asphalt, uint8 (810, 810), mean 128."""
    grain = rng.standard_normal((810, 810)).astype(np.float32)
    grain = cv2.GaussianBlur(grain, (0, 0), 0.8, borderType=cv2.BORDER_REFLECT) * 1.6
    return to_uint8(128 + 19 * grain + 4 * fractal(rng, 810, 810, 6, 7, 0.9))


def _slabs(rng: np.random.Generator) -> np.ndarray:
    """Return paving slabs of 60 by 60 cm, uint8 (810, 810), mean about 128."""
    single = cv2.resize(rng.standard_normal((10, 10)).astype(np.float32), (810, 810),
                        interpolation=cv2.INTER_NEAREST)
    image = 130 + 9 * single + 8 * fractal(rng, 810, 810, 8, 6, 0.8)
    image += 6 * rng.standard_normal((810, 810)).astype(np.float32)
    for seam in range(0, 810, 81):
        image[seam:seam + 3] -= 34
        image[:, seam:seam + 3] -= 34
    return to_uint8(image)
