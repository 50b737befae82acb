# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""
Cars, vans and buses: a side view drawn out over the width, with wheels, glass, lamps and plates.

A body is the closed line of its side view (metres forward of the middle, metres up), each part
of which becomes a strip across the car, and two flanks that lean in above the belt line.
"""

import dataclasses
import functools
import itertools

import numpy as np

from segnode.road_scene.camera import Camera, NEAR
from segnode.road_scene.canvas import Canvas, fixed_point, Light
from segnode.road_scene.noise import floats

CAR = 8  # train id in the camvid set

_PAINTS = [(168, 168, 164), (140, 138, 134), (30, 28, 28), (88, 46, 30), (34, 32, 120),
           (196, 198, 198), (62, 58, 56), (60, 70, 34), (120, 84, 50), (40, 60, 110),
           (44, 42, 44), (150, 150, 148)]
_GLASS, _DARK = floats((34, 32, 30)), floats((26, 26, 27))
_RED, _AMBER = floats((36, 30, 150)), floats((60, 120, 190))
_PLATE, _LAMP = floats((40, 180, 205)), floats((224, 226, 226))
_CIRCLE = [(float(np.sin(a)), float(np.cos(a)))
           for a in np.linspace(0, 2 * np.pi, 16, endpoint=False)]
# Paint and mirrored sky on a side from the sill up: the round of the doors in the light.
_SIDE_TONES = ((0.3, 0.0), (0.42, 0.0), (0.5, 0.02), (0.54, 0.03), (0.58, 0.04), (0.64, 0.06),
               (0.74, 0.11), (0.86, 0.2), (0.8, 0.16), (0.64, 0.07))
_Point = tuple[float, float, float]
_Line = tuple[float, float, float, float]  # back, low, front, high


@dataclasses.dataclass(frozen=True)
class Shape:
    """
    A kind of vehicle.

    Args:
        outline: (forward, up, part) from the rear foot over the roof to the front foot; `part` is
            what the strip from this corner to the next shows.
        half_width: below the belt line, metres.
        lean: how much narrower each side is at the roof, metres.
        belt: height of the belt line, metres.
        panes: (rear low, rear high, front high, front low) forward places of each side window.
        wheel: radius, metres.
        axles: forward places of the axles.
    """

    outline: tuple[tuple[float, float, str], ...]
    half_width: float
    lean: float
    belt: float
    panes: tuple[tuple[float, float, float, float], ...]
    wheel: float
    axles: tuple[float, float]

    @functools.cached_property
    def roof(self) -> float:
        """Return the greatest height in metres."""
        return max(up for _, up, _ in self.outline)

    @functools.cached_property
    def length(self) -> float:
        """Return the length in metres."""
        forward = [place for place, _, _ in self.outline]
        return max(forward) - min(forward)

    def half(self, up: float) -> float:
        """Return half the width at a height; flanks lean in above the belt line."""
        if up <= self.belt:
            return self.half_width - 0.04 * max(0.0, (0.5 - up) / 0.5)
        return self.half_width - self.lean * (up - self.belt) / (self.roof - self.belt)

    @functools.cached_property
    def above_belt(self) -> list[tuple[float, float]]:
        """Return the outline (forward, up) of the part above the belt line."""
        line = [(place, up) for place, up, _ in self.outline]
        found: list[tuple[float, float]] = []
        for (back, low), (front, high) in itertools.pairwise(line):
            if (low < self.belt) != (high < self.belt):
                share = (self.belt - low) / (high - low)
                found.append((back + (front - back) * share, self.belt))
            if high >= self.belt:
                found.append((front, high))
        return found


HATCHBACK = Shape(
    ((-1.92, 0.3, 'skirt'), (-1.98, 0.42, 'bumper'), (-1.97, 0.66, 'tail'), (-1.86, 0.98, 'rear'),
     (-1.5, 1.4, 'roof'), (-1.1, 1.47, 'roof'), (0.1, 1.48, 'roof'), (0.38, 1.44, 'screen'),
     (1.06, 0.98, 'bonnet'), (1.72, 0.84, 'bonnet'), (1.9, 0.72, 'face'), (1.97, 0.52, 'grille'),
     (1.96, 0.4, 'skirt'), (1.9, 0.26, 'floor')),
    0.85, 0.2, 0.96, ((-1.6, -1.38, -0.9, -0.86), (-0.8, -0.84, -0.14, -0.1),
                      (-0.03, -0.07, 0.3, 0.88)), 0.31, (-1.22, 1.26))
SALOON = Shape(
    ((-2.2, 0.3, 'skirt'), (-2.27, 0.42, 'bumper'), (-2.26, 0.66, 'tail'), (-2.2, 0.97, 'boot'),
     (-1.6, 1.03, 'rear'), (-0.98, 1.38, 'roof'), (-0.6, 1.44, 'roof'), (0.15, 1.44, 'roof'),
     (0.4, 1.4, 'screen'), (1.12, 0.98, 'bonnet'), (2.0, 0.84, 'bonnet'), (2.18, 0.72, 'face'),
     (2.25, 0.52, 'grille'), (2.24, 0.4, 'skirt'), (2.16, 0.26, 'floor')),
    0.88, 0.22, 0.97, ((-1.36, -0.9, -0.72, -0.68), (-0.62, -0.66, 0.0, 0.05),
                       (0.12, 0.07, 0.36, 0.94)), 0.32, (-1.35, 1.42))
ESTATE = Shape(
    ((-2.2, 0.36, 'skirt'), (-2.28, 0.5, 'bumper'), (-2.27, 0.76, 'tail'), (-2.2, 1.1, 'rear'),
     (-1.98, 1.6, 'roof'), (-1.6, 1.68, 'roof'), (0.1, 1.7, 'roof'), (0.4, 1.65, 'screen'),
     (1.04, 1.14, 'bonnet'), (2.0, 1.0, 'bonnet'), (2.16, 0.88, 'face'), (2.22, 0.62, 'grille'),
     (2.22, 0.48, 'skirt'), (2.14, 0.32, 'floor')),
    0.91, 0.17, 1.1, ((-2.02, -1.88, -1.18, -1.18), (-1.08, -1.08, -0.28, -0.26),
                      (-0.17, -0.19, 0.32, 0.86)), 0.36, (-1.3, 1.4))
VAN = Shape(
    ((-2.4, 0.4, 'skirt'), (-2.47, 0.52, 'bumper'), (-2.46, 0.72, 'tail'), (-2.44, 1.25, 'rear'),
     (-2.38, 1.92, 'roof'), (-2.2, 1.98, 'roof'), (0.7, 2.0, 'roof'), (1.0, 1.92, 'screen'),
     (1.62, 1.2, 'bonnet'), (2.25, 1.02, 'bonnet'), (2.4, 0.86, 'face'), (2.46, 0.6, 'grille'),
     (2.46, 0.44, 'skirt'), (2.36, 0.34, 'floor')),
    0.95, 0.1, 1.2, ((0.2, 0.2, 0.92, 1.46),), 0.35, (-1.5, 1.55))
BUS = Shape(
    ((-5.2, 0.4, 'skirt'), (-5.25, 0.6, 'tail'), (-5.22, 1.3, 'rear'), (-5.2, 1.9, 'face'),
     (-5.18, 2.6, 'rear'), (-5.15, 3.5, 'face'), (-5.05, 4.2, 'roof'), (4.9, 4.25, 'face'),
     (5.1, 3.7, 'screen'), (5.16, 2.7, 'face'), (5.2, 2.3, 'screen'), (5.25, 1.05, 'face'),
     (5.25, 0.5, 'skirt'), (5.2, 0.35, 'floor')),
    1.25, 0.05, 1.25,
    tuple((x, x, x + 1.3, x + 1.3) for x in (-4.7, -3.2, -1.7, -0.2, 1.3, 2.8)), 0.5, (-3.0, 3.2))
KINDS = (HATCHBACK, SALOON, ESTATE, VAN, BUS)


@dataclasses.dataclass(frozen=True)
class Vehicle:
    """
    One vehicle somewhere on the road.

    Args:
        shape: what kind it is.
        paint: BGR.
        place: world point of the middle of its footprint.
        forward: unit vector in the ground plane that it faces.
        turn: angle of its wheels, radians.
        braking: whether its brake lamps are lit.
    """

    shape: Shape
    paint: np.ndarray
    place: np.ndarray
    forward: np.ndarray
    turn: float = 0.0
    braking: bool = False

    def world(self, points: np.ndarray) -> np.ndarray:
        """Return world points of (N, 3): metres right of, above and ahead of the middle."""
        right = np.array([self.forward[2], 0.0, -self.forward[0]])
        return (self.place + points[:, :1] * right + points[:, 1:2] * np.array([0.0, 1.0, 0.0])
                + points[:, 2:] * self.forward)

    def footprint(self, grow: float) -> np.ndarray:
        """Return the (4, 3) ground rectangle beneath it, larger by `grow` metres all round."""
        half, long = self.shape.half_width + grow, self.shape.length / 2 + grow
        return self.world(np.array([(-half, 0, -long), (half, 0, -long), (half, 0, long),
                                    (-half, 0, long)], np.float64))


def random_paint(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Return a BGR paint that such a vehicle may have."""
    if shape is BUS:
        return floats([(36, 34, 150), (150, 100, 40), (60, 110, 60)][rng.integers(3)])
    if shape is VAN and rng.random() < 0.7:
        return floats((200, 202, 202))
    return floats(_PAINTS[rng.integers(len(_PAINTS))]) * floats(rng.uniform(0.8, 1.1))


def random_shape(rng: np.random.Generator, large: bool = True) -> Shape:
    """Return a kind of vehicle, vans and buses only where large ones fit."""
    share = np.array([0.42, 0.24, 0.18, 0.11 * large, 0.05 * large])
    return KINDS[rng.choice(len(KINDS), p=share / share.sum())]


class VehiclePainter:
    """
    Paints vehicles on a canvas.

    Args:
        canvas, camera, light: where, whence and in what air.
        gain: brightness of the day.
        sky: BGR of the sky that roofs and glass mirror.
    """

    def __init__(self, canvas: Canvas, camera: Camera, light: Light, gain: float,
                 sky: np.ndarray) -> None:
        self._canvas, self._camera, self._light = canvas, camera, light
        self._gain, self._sky = gain, sky
        self._faces: list[tuple[list[_Point], np.ndarray, bool, bool]] = []

    def paint(self, car: Vehicle) -> None:
        """Paint one vehicle: far wheels, strips from far to near, then the flank that is seen."""
        depth = float(self._camera.depth(car.place))
        if not self._in_view(car):
            return
        self._faces.clear()
        eye = self._local_eye(car)
        # Distances in pixels: what is smaller than a few pixels is left out.
        detail = self._camera.focal / max(depth, 1.0)  # pixels per metre
        outline = car.shape.outline
        self._underside(car.shape)
        for step in sorted(range(len(outline) - 1),
                           key=lambda i: -abs(outline[i][0] + outline[i + 1][0] - 2 * eye[2])):
            self._strip(car, step, eye, detail)
        if abs(eye[0]) > car.shape.half_width:
            self._flank(car, 1.0 if eye[0] > 0 else -1.0, detail)
        self._flush(car, depth)

    def _in_view(self, car: Vehicle) -> bool:
        """Return whether any of it may be in the image."""
        base = car.footprint(0.3)
        box = np.concatenate([base, base + np.array([0.0, car.shape.roof + 0.1, 0.0])])
        depths = self._camera.depth(box)
        if depths.max() < NEAR:
            return False
        if depths.min() < NEAR:
            return True
        pixels = self._camera.project(box)
        return bool(pixels[:, 0].max() >= 0 and pixels[:, 0].min() < self._canvas.labels.shape[1])

    def _local_eye(self, car: Vehicle) -> np.ndarray:
        """Return the camera's place in the vehicle's own axes."""
        offset = self._camera.center - car.place
        right = np.array([car.forward[2], 0.0, -car.forward[0]])
        return np.array([offset @ right, offset[1], offset @ car.forward])

    def _face(self, points: list[_Point], color: np.ndarray, label: bool = True,
              convex: bool = True) -> None:
        """Note a polygon in the vehicle's own axes (right, up, forward), to be painted next."""
        self._faces.append((points, color, label, convex))

    def _flush(self, car: Vehicle, depth: float) -> None:
        """Paint the faces noted, all projected at once: far cheaper than one by one."""
        counts = np.array([len(points) for points, _, _, _ in self._faces])
        world = car.world(np.array([point for points, _, _, _ in self._faces for point in points]))
        veil = self._light.veil(depth)
        colors = np.array([color for _, color, _, _ in self._faces]) * self._gain
        colors = np.minimum(colors, 255) * (1 - veil) + veil * np.array(self._light.haze)
        ends = np.cumsum(counts)
        whole = bool(self._camera.depth(world).min() > NEAR)
        pixels = fixed_point(self._camera.project(world)) if whole else None
        for (_, _, label, convex), color, start, end in zip(
                self._faces, colors.tolist(), (ends - counts).tolist(), ends.tolist(),
                strict=True):
            if pixels is not None:
                self._canvas.fill_fixed(pixels[start:end], color, CAR if label else None, convex)
            else:
                self._canvas.fill(self._camera.outline(world[start:end]), color,
                                  CAR if label else None, convex)

    def _underside(self, shape: Shape) -> None:
        """Note the tyres as they show from front or rear, below the body."""
        for axle in shape.axles:
            for sign in (-1, 1):
                inner, outer = sign * (shape.half_width - 0.28), sign * (shape.half_width - 0.05)
                for place in (axle - shape.wheel * 0.92, axle + shape.wheel * 0.92):
                    self._face([(inner, 0.0, place), (outer, 0.0, place),
                                (outer, shape.wheel, place), (inner, shape.wheel, place)],
                               _DARK * 0.7)

    def _strip(self, car: Vehicle, step: int, eye: np.ndarray, detail: float) -> None:
        """Note one part of the outline across the whole width, if it faces the camera."""
        (back, low, part), (front, high, _) = car.shape.outline[step:step + 2]
        normal = low - high, front - back  # outwards: forward, up
        if normal[0] * (eye[2] - back) + normal[1] * (eye[1] - low) <= 0:
            return
        line = back, low, front, high
        halves = car.shape.half(low), car.shape.half(high)
        up = max(normal[1] / max(float(np.hypot(*normal)), 1e-6), 0.0)
        base = _DARK if part == 'skirt' else car.paint
        shine = 0.32 * up ** 2
        pieces = 4 if detail > 30 else 1
        for piece in range(pieces):
            start, end = piece / pieces, (piece + 1) / pieces
            tone = 0.62 + 0.42 * up + 0.14 * (start + end - 1) * (1 - up)
            self._face(_across(line, halves, start, end), base * (tone * (1 - shine))
                       + self._sky * shine)
        if part in ('rear', 'screen'):
            self._pane(line, halves, part == 'rear', detail)
        elif detail > 14:
            self._trim(car, part, line, halves)

    def _pane(self, line: _Line, halves: tuple[float, float], rear: bool, detail: float) -> None:
        """Note a front or rear window: dark inside, seats, a mirrored sky towards the top."""
        low, high = (0.1, 0.92) if rear else (0.06, 0.95)
        pieces = 5 if detail > 30 else 2
        for piece in range(pieces):
            start = low + (high - low) * piece / pieces
            end = low + (high - low) * (piece + 1) / pieces
            mirror = 0.08 + 0.34 * ((piece + 0.5) / pieces) ** 1.5 * (1.0 if rear else 1.3)
            color = _GLASS * (1 - mirror) + self._sky * (mirror * 0.75)
            self._face(_across(line, halves, start, end, 0.86), color, label=False)
        if detail > 24:
            for seat in (-0.38, 0.38):
                quad = _across(line, halves, 0.12, 0.5, 0.16)
                self._face([(x + seat, up, place) for x, up, place in quad], _GLASS * 0.6,
                           label=False)

    def _trim(self, car: Vehicle, part: str, line: _Line, halves: tuple[float, float]) -> None:
        """Note lamps, plates, grilles and lines on the ends of the body."""
        def patch(left: float, right: float, start: float, end: float,
                  color: np.ndarray) -> None:
            first, second, third, fourth = _across(line, halves, start, end)
            width = second[0]
            self._face([(left * width, *first[1:]), (right * width, *second[1:]),
                        (right * width, *third[1:]), (left * width, *fourth[1:])], color,
                       label=False)

        rear = line[0] < 0 and line[2] < 0
        if part == 'tail':
            red = _RED * (1.6 if car.braking else 1.0)
            for sign in (-1, 1):
                patch(sign * 0.97, sign * 0.74, 0.25, 0.95, red)
                patch(sign * 0.94, sign * 0.78, 0.25, 0.45, _AMBER)
                patch(sign * 0.9, sign * 0.8, 0.6, 0.8, red * 1.5)
            patch(-0.3, 0.3, 0.1, 0.45, _PLATE)
            patch(-0.25, 0.25, 0.2, 0.36, _PLATE * 0.45)
            patch(-0.7, 0.7, 0.93, 1.0, car.paint * 0.5)
        elif part == 'bumper':
            patch(-0.99, 0.99, 0.0, 0.12, _DARK)
            patch(-0.99, 0.99, 0.86, 1.0, car.paint * 0.42)
        elif part == 'face' and not rear and car.shape is not BUS:
            for sign in (-1, 1):
                patch(sign * 0.98, sign * 0.58, 0.05, 0.9, _LAMP * 0.76)
                patch(sign * 0.9, sign * 0.68, 0.2, 0.75, _LAMP)
            patch(-0.45, 0.45, 0.15, 0.75, _DARK * 1.3)
        elif part == 'grille':
            patch(-0.55, 0.55, 0.1, 0.95, _DARK)
            patch(-0.31, 0.31, 0.2, 0.85, _LAMP * 0.92)
            patch(-0.26, 0.26, 0.4, 0.68, _LAMP * 0.43)

    def _flank(self, car: Vehicle, side: float, detail: float) -> None:
        """Note the side that is seen, with its windows, door lines and wheels."""
        shape, paint, belt = car.shape, car.paint, car.shape.belt

        def flat(points: list[tuple[float, float]], color: np.ndarray, label: bool = True,
                 convex: bool = True) -> None:
            self._face([(side * shape.half(up), up, place) for place, up in points], color, label,
                       convex)

        line = [(place, up) for place, up, _ in shape.outline]
        flat([(place, min(up, belt)) for place, up in line], paint * 0.74, convex=False)
        if detail > 14:
            ends = line[0][0] + 0.1, line[-1][0] - 0.12
            tones = _SIDE_TONES if detail > 30 else _SIDE_TONES[1::2]
            step = (belt - 0.3) / len(tones)
            for band, (tone, shine) in enumerate(tones):
                bottom, top = 0.3 + step * band, 0.3 + step * (band + 1)
                flat([(ends[0], bottom), (ends[1], bottom), (ends[1], top), (ends[0], top)],
                     paint * tone + self._sky * shine, label=False)
        flat(shape.above_belt, paint * 0.68, convex=False)
        storeys = ((0.06, 0.38), (0.56, 0.86)) if shape is BUS else ((0.06, 0.86),)
        for start, end in storeys:
            low, high = belt + (shape.roof - belt) * start, belt + (shape.roof - belt) * end
            for rear_low, rear_high, front_high, front_low in shape.panes:
                flat([(rear_low, low), (rear_high, high), (front_high, high), (front_low, low)],
                     _GLASS * 1.05 + self._sky * 0.05, label=False)
                if detail > 14:
                    flat([((rear_low + rear_high) / 2, (low + high) / 2), (rear_high, high),
                          (front_high, high), ((front_low + front_high) / 2, (low + high) / 2)],
                         _GLASS * 0.85 + self._sky * 0.17, label=False)
        if detail > 20 and shape is not BUS:
            self._doors(shape, paint, side)
        for axle in shape.axles:
            self._wheel(car, side, axle, detail)

    def _doors(self, shape: Shape, paint: np.ndarray, side: float) -> None:
        """Note door gaps, handles and the mirror."""
        belt, half = shape.belt, side * shape.half_width
        for _, _, _, pane in shape.panes:
            place = min(pane + 0.05, shape.axles[1] - 0.42)
            for left, low, right, high, tone in (
                    (place, 0.36, place + 0.025, belt, 0.4),
                    (place - 0.22, belt - 0.16, place - 0.06, belt - 0.12, 0.5)):
                self._face([(half, low, left), (half, low, right), (half, high, right),
                            (half, high, left)], paint * tone, label=False)
        place, tip = shape.panes[-1][3], half + side * 0.2
        self._face([(half, belt, place), (tip, belt + 0.02, place - 0.02),
                    (tip, belt + 0.15, place - 0.04), (half, belt + 0.12, place - 0.02)],
                   paint * 0.6)

    def _wheel(self, car: Vehicle, side: float, axle: float, detail: float) -> None:
        """Note arch, tyre, rim and spokes of one wheel."""
        radius, out = car.shape.wheel, side * (car.shape.half_width + 0.005)

        def disc(size: float, color: np.ndarray, label: bool, least: float = 0.0) -> None:
            self._face([(out, max(radius + size * sin, least), axle + size * cos)
                        for sin, cos in _CIRCLE], color, label)

        disc(radius * 1.16, _DARK * 0.6, False, 0.3)
        disc(radius, _DARK * 1.15, True)
        if detail > 14:
            disc(radius * 0.66, _LAMP * 0.53, False)
        if detail > 30:
            for spoke in range(5):
                angle = car.turn + spoke * 2 * np.pi / 5
                tips = [(out, radius + radius * 0.6 * np.sin(a), axle + radius * 0.6 * np.cos(a))
                        for a in (angle - 0.3, angle + 0.3)]
                self._face([(out, radius, axle), *tips], _LAMP * 0.25, label=False)
            disc(radius * 0.16, _LAMP * 0.4, False)


def _across(line: _Line, halves: tuple[float, float], start: float, end: float,
            wide: float = 1.0) -> list[_Point]:
    """Return the corners of a part of a strip, from share `start` to `end` along the outline."""
    back, low, front, high = line
    first = (halves[0] + (halves[1] - halves[0]) * start) * wide
    second = (halves[0] + (halves[1] - halves[0]) * end) * wide
    bottom = low + (high - low) * start, back + (front - back) * start
    top = low + (high - low) * end, back + (front - back) * end
    return [(-first, *bottom), (first, *bottom), (second, *top), (-second, *top)]
