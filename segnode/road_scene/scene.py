# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""RoadScene: pictures of a drive down a street, with exact labels."""

from collections.abc import Callable
from functools import partial

import cv2
import numpy as np

from segnode.road_scene.camera import Camera, Course, NEAR
from segnode.road_scene.canvas import Canvas, Light, Texture
from segnode.road_scene.furniture import FENCE
from segnode.road_scene.ground import crossings, FAR, Ground, KERB, Profile
from segnode.road_scene.noise import floats, fractal, random, to_uint8
from segnode.road_scene.people import PHASES
from segnode.road_scene.street import Lot, Parked, Post, Props, Street
from segnode.road_scene.vehicles import random_paint, random_shape, Vehicle, VehiclePainter

SKY, BUILDING, POLE = 0, 1, 2  # train ids in the camvid set
_UP = np.array([0.0, 1.0, 0.0])
_Item = tuple[float, Callable[[], None]]


class RoadScene:
    """
    An endless drive down a street that never was, seen at 15 frames a second.

    A small true scene in space: ground, house fronts, parked and moving cars, poles, signs,
    fences, plants and people stand at places of their own and are painted from far to near through
    a pinhole camera. Image and labels are painted by the same polygons on a canvas twice as fine,
    so labels are exact and hard while the image's edges are soft. As in CamVid's own labels, the
    gaps in a railing count as fence and the sky between a tree's twigs as tree.

    Args:
        height, width: size of the frames in pixels, 64 or more each.
        seed: 0 or more; another seed is another street, light and traffic.

    Raises:
        ValueError: a size or seed is out of range.
    """

    def __init__(self, height: int = 360, width: int = 480, seed: int = 0) -> None:
        if height < 64 or width < 64:
            raise ValueError(f'frames are at least 64 x 64 pixels, not {height} x {width}')
        if seed < 0:
            raise ValueError(f'the seed is 0 or more, not {seed}')
        self._size = height, width
        self._seed = seed
        # Twice as fine where it is cheap; large frames have enough pixels as they are.
        self._fine = 2 if height * width <= 640 * 480 else 1
        rng = random(seed, 'day')
        self._profile = Profile(rng.uniform(4.7, 5.4), rng.uniform(2.2, 3.2))
        self._course = Course(seed)
        self._props = Props(seed)
        self._street = Street(seed, self._profile, self._props)
        self._ground = Ground(seed, self._course, self._profile)
        sun = rng.random()
        self._sun = 0 if sun < 0.4 else (-1 if sun < 0.7 else 1)  # side that is in the shade
        self._gain = rng.uniform(0.9, 1.1)
        self._sky = _sky_picture(rng)
        horizon = self._sky[-40:].reshape(-1, 3).mean(0)
        self._light = Light(tuple(horizon), rng.uniform(260, 480))
        self._sky_tint = floats(self._sky[::16, ::16].reshape(-1, 3).mean(0))
        self._noise = rng.normal(0, 2.6, (256, 512, 3)).astype(np.float32)
        self._tones, self._colors = _film(rng)
        self._vignette = _vignette(height, width)

    def frame(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """
        Paint one frame.

        Args:
            index: frame number, 0 or more, at 15 Hz; frames can be asked for in any order.

        Returns: the image, uint8 (height, width, 3) BGR, and its camvid train ids, uint8 (height,
            width), every pixel labelled. The same (seed, index, size) gives the same frame as
            long as NumPy and OpenCV are the same; other releases may draw other numbers.

        Raises:
            ValueError: `index` is below 0.
        """
        if index < 0:
            raise ValueError(f'the frame index is 0 or more, not {index}')
        height, width = self._size[0] * self._fine, self._size[1] * self._fine
        camera = Camera(self._course, self._seed, index, height, width)
        canvas = Canvas(height, width)
        self._paint_sky(canvas, camera)
        cars = self._cars(camera)
        self._ground.paint(canvas, camera, self._light, self._gain, self._shadows(camera, cars))
        self._paint_vista(canvas, camera)
        painter = VehiclePainter(canvas, camera, self._light, self._gain, self._sky_tint)
        items: list[_Item] = []
        for car in cars:
            items.append((float(camera.depth(car.place)), partial(painter.paint, car)))
        items += self._lots(canvas, camera)
        items += self._furniture(canvas, camera)
        items += self._people(canvas, camera)
        for _, paint in sorted(items, key=lambda item: -item[0]):
            paint()
        return self._develop(canvas, index)

    def _paint_sky(self, canvas: Canvas, camera: Camera) -> None:
        """Fill everything with sky; the ground is laid over it."""
        height, width = canvas.labels.shape
        rows = int(np.clip(camera.horizon + 6, 1, height))
        # The picture spans 130 degrees across and, above the horizon, 33 degrees up.
        scale = self._sky.shape[1] / np.deg2rad(130) / camera.focal
        shift_x = self._sky.shape[1] / 2 + scale * (camera.yaw * camera.focal - width / 2)
        shift_y = self._sky.shape[0] - 1 - scale * camera.horizon
        matrix = np.array([[scale, 0, shift_x], [0, scale, shift_y]])
        canvas.image[:rows] = cv2.warpAffine(
            self._sky, matrix, (width, rows), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE)
        canvas.labels[:] = SKY

    def _paint_vista(self, canvas: Canvas, camera: Camera) -> None:
        """Close the street's far end with the trees of the next bend."""
        picture = self._props.tree_line
        center = self._course.spot(0.0, 0.0, camera.z + FAR)
        for step in (-3, -2, -1, 0, 1, 2):
            origin = center + np.array([step * picture.width, 0.0, 0.0])
            self._upright(canvas, camera, picture, origin, np.array([1.0, 0, 0]), picture.width,
                          picture.height, 0.9)

    def _upright(self, canvas: Canvas, camera: Camera, texture: Texture, origin: np.ndarray,
                 right: np.ndarray, width: float, height: float, gain: float,
                 label: int | None = None, size: float = 1.0) -> None:
        """Paint the lower left part of a picture on an upright plane, enlarged by `size`."""
        corners = np.stack([origin, origin + width * right, origin + width * right + height * _UP,
                            origin + height * _UP])
        depth = float(camera.depth(corners).mean())
        canvas.paste(texture, camera.plane(origin, right * size, _UP * size),
                     camera.outline(corners), self._light.table(depth, gain * self._gain), label)

    def _side_gain(self, side: int) -> float:
        """Return how bright walls of one side are: low winter sun, or an even grey sky."""
        if not self._sun:
            return 0.82
        return 0.42 if side == self._sun else 1.35

    def _lots(self, canvas: Canvas, camera: Camera) -> list[_Item]:
        """Return what paints houses and gardens, each with its farthest distance."""
        items: list[_Item] = []
        for side in (-1, 1):
            for lot in self._street.lots(side, camera.z + 0.5, camera.z + FAR):
                paint = self._house if lot.front else self._garden
                items.append((lot.end - camera.z, partial(paint, canvas, camera, lot)))
        return items

    def _run(self, lot: Lot, away: float) -> tuple[np.ndarray, np.ndarray, float]:
        """Return a lot's line beside the road: origin, unit vector, length; left end first."""
        ends = self._course.place(lot.side * away, 0.0, np.array([lot.start, lot.end]))
        if lot.side > 0:  # seen from the road, the far end of the right side is on the left
            ends = ends[::-1]
        length = float(np.linalg.norm(ends[1] - ends[0]))
        return ends[0], (ends[1] - ends[0]) / length, length

    def _house(self, canvas: Canvas, camera: Camera, lot: Lot) -> None:
        """Paint a row of houses: roof, end wall, front, chimneys."""
        front = lot.front
        assert front is not None
        gain = self._side_gain(lot.side) * lot.tone
        away = self._profile.front + lot.setback
        origin, along, length = self._run(lot, away)
        tall, deep = front.height, 8.0
        back = np.array([lot.side * 1.0, 0, 0])
        number = round(lot.start / 4)
        depth = float(camera.depth(self._course.spot(0.0, 0.0, (lot.start + lot.end) / 2)))
        if lot.roof:
            slope = (back * deep / 2 + _UP * lot.roof)
            run = float(np.linalg.norm(slope))
            eaves = origin + tall * _UP - back * 0.3
            corners = np.stack([eaves, eaves + length * along, eaves + length * along + slope,
                                eaves + slope])
            roof = self._props.roofs[number % 3]
            canvas.paste(roof, camera.plane(eaves, along, slope / run), camera.outline(corners),
                         self._light.table(depth, gain * 1.15), BUILDING)
        if lot.chimney:
            for share in (0.2, 0.8):
                foot = origin + along * length * share + back * deep / 2 + _UP * (
                    tall + lot.roof - 0.5)
                self._upright(canvas, camera, self._props.walls[number % 3], foot,
                              np.array([1.0, 0, 0]), 0.9, 1.9, gain * 0.8, BUILDING)
        if lot.free:
            self._end_wall(canvas, camera, lot, away, gain * (0.85 if self._sun else 0.7), depth)
        self._upright(canvas, camera, front, origin, along, length, tall, gain, BUILDING)

    def _end_wall(self, canvas: Canvas, camera: Camera, lot: Lot, away: float, gain: float,
                  depth: float) -> None:
        """Paint the end of a row of houses that faces the camera, with its gable."""
        assert lot.front is not None
        tall, deep = lot.front.height, 8.0
        back = np.array([lot.side * 1.0, 0, 0])
        near = self._course.spot(lot.side * away, 0.0, lot.start)
        across = back if lot.side > 0 else -back
        left = near if lot.side > 0 else near + back * deep
        wall = self._props.walls[round(lot.start / 4) % 3]
        self._upright(canvas, camera, wall, left, across, deep, tall, gain, BUILDING)
        if lot.roof:
            gable = np.stack([left + tall * _UP, left + across * deep + tall * _UP,
                              left + across * deep / 2 + (tall + lot.roof) * _UP])
            canvas.paste(wall, camera.plane(left, across, _UP), camera.outline(gable),
                         self._light.table(depth, gain * self._gain), BUILDING)

    def _garden(self, canvas: Canvas, camera: Camera, lot: Lot) -> None:
        """Paint trees behind a hedge or fence."""
        gain = 0.95 if not self._sun else (0.7 if lot.side == self._sun else 1.15)
        ahead = lot.end - camera.z
        if ahead < 90:
            self._backdrop(canvas, camera, lot, gain * 0.8)
        right = np.array([np.cos(camera.yaw), 0.0, -np.sin(camera.yaw)])
        # Far away one tree hides the next: every second one is enough.
        for tree, x, z, size in lot.trees[::2] if ahead > 70 else lot.trees:
            if z - camera.z > 2.5:
                foot = self._course.spot(x, 0.0, z) - right * tree.width * size / 2
                self._upright(canvas, camera, tree, foot, right, tree.width * size,
                              tree.height * size, gain, None, size)
        border = lot.border
        assert border is not None
        if border.labels is None:
            # The near end of a board fence may stand free, so it is painted like a front.
            origin, along, length = self._run(lot, self._profile.front)
            self._upright(canvas, camera, border, origin, along, length, border.height, gain,
                          FENCE)
        else:
            origin, along, length = self._run(lot, self._profile.front + 0.2)
            self._upright(canvas, camera, border, origin, along, length, border.height, gain)

    def _backdrop(self, canvas: Canvas, camera: Camera, lot: Lot, gain: float) -> None:
        """Paint shrubs along the far end of a garden."""
        picture = self._props.tree_line
        origin, along, length = self._run(lot, self._profile.front + 12)
        share = (lot.start % 32.0) / 32.0  # not the same bushes in every garden
        shift = share * (picture.width - length)
        high = picture.height * _UP
        corners = np.stack([origin, origin + length * along, origin + length * along + high,
                            origin + high])
        canvas.paste(picture, camera.plane(origin - shift * along, along, _UP),
                     camera.outline(corners),
                     self._light.table(lot.end - camera.z, gain * self._gain))

    def _furniture(self, canvas: Canvas, camera: Camera) -> list[_Item]:
        """Return what paints poles, signs, traffic lights and guard rails."""
        items: list[_Item] = []
        kerb = self._profile.half_road + 0.35
        for post in self._street.posts(camera.z + 2, camera.z + 85):
            items.append((post.z - camera.z, partial(self._post, canvas, camera, post, kerb)))
        for z in crossings(camera.z):
            lamp = (0, 2, 2, 1)[int(camera.time / 4) % 4]
            for side in (-1, 1):
                post = Post('light', side, z - 3.6, 3.3, 0.12, 50.0, (self._props.lights[lamp],))
                items.append((post.z - camera.z, partial(self._post, canvas, camera, post, kerb)))
        picture = self._props.railing
        for rail in self._street.railings(camera.z, camera.z + 70):
            for piece in np.arange(rail.start, rail.end, 4.0):
                origin, along, length = self._run(Lot(rail.side, piece, piece + 4.0),
                                                  self._profile.half_road + 0.25)
                items.append((piece + 2.0 - camera.z, partial(
                    self._upright, canvas, camera, picture, origin + KERB * _UP, along, length,
                    1.0, 0.9)))
        return items

    def _post(self, canvas: Canvas, camera: Camera, post: Post, kerb: float) -> None:
        """Paint one pole with what hangs on it."""
        foot = self._course.spot(post.side * kerb, KERB, post.z)
        depth = float(camera.depth(foot))
        if depth < NEAR + 0.3:
            return
        right = np.array([np.cos(camera.yaw), 0.0, -np.sin(camera.yaw)])
        gain = self._gain * (0.85 if post.side == self._sun else 1.0)
        least = 0.55 * self._fine * depth / camera.focal  # no thinner than a pixel
        half = max(post.thick / 2, least) * camera.focal / depth  # pixels

        def bar(ends: list[np.ndarray], thick: float, tone: float, shift: float = 0.0,
                label: int | None = POLE) -> None:
            start, end = camera.project(np.stack(ends))
            along = (end - start) / max(float(np.hypot(*(end - start))), 1e-6)
            away = np.array([-along[1], along[0]]) * half
            first, last = away * (shift - thick), away * (shift + thick)
            color = self._light.color((tone * 1.02, tone, tone * 0.98), depth, gain)
            canvas.fill(np.stack([start + first, start + last, end + last, end + first]), color,
                        label)

        top = foot + post.height * _UP
        bar([foot, top], 1.0, post.tone)
        if depth < 25:
            bar([foot, top], 0.25, post.tone * 1.5, 0.4, None)
        if post.kind == 'lamp':
            arm = top + np.array([-post.side * 1.3, 0.35, 0.0])
            bar([top, arm], 0.7, post.tone)
            bar([arm, arm + np.array([-post.side * 0.6, 0.02, 0.0])], 1.5, post.tone * 1.2)
        elif post.kind == 'bollard':
            bar([foot + 0.8 * _UP, foot + 0.92 * _UP], 1.05, 190.0)
        high = post.height + 0.15
        for plate in post.plates:
            high -= plate.height
            origin = foot + high * _UP - right * plate.width / 2
            self._upright(canvas, camera, plate, origin, right, plate.width, plate.height, 0.95)
            high -= 0.05

    def _people(self, canvas: Canvas, camera: Camera) -> list[_Item]:
        """Return what paints walkers on the sidewalks and cyclists on the road."""
        items: list[_Item] = []
        right = np.array([np.cos(camera.yaw), 0.0, -np.sin(camera.yaw)])

        def add(picture: Texture, x: float, up: float, z: float, mirror: int) -> None:
            foot = self._course.spot(x, up, z)
            depth = float(camera.depth(foot))
            if not NEAR + 0.5 < depth < 95:
                return
            origin = foot - mirror * right * picture.width / 2
            items.append((z - camera.z, partial(
                self._upright, canvas, camera, picture, origin, mirror * right, picture.width,
                picture.height, 0.95 if x * self._sun <= 0 else 0.75)))

        for side in (-1, 1):
            for way in (-1, 1):
                kind = f'walk{side}{way}'
                rng = random(self._seed, kind)
                speed, every = way * rng.uniform(1.1, 1.5), rng.uniform(9, 15)
                drift = speed * camera.time
                first = int((camera.z - drift) // every)
                for place in range(first, first + int(95 // every) + 1):
                    rng = random(self._seed, kind, place)
                    if rng.random() < 0.3:
                        continue
                    pictures = self._props.walkers[rng.integers(len(self._props.walkers))]
                    z = place * every + rng.uniform(0, 6) + drift
                    x = side * (self._profile.half_road + rng.uniform(
                        0.8, self._profile.walk - 0.5))
                    phase = int((camera.time * 0.9 + rng.random()) * PHASES) % PHASES
                    add(pictures[phase], x, KERB, z, way)
        rng = random(self._seed, 'cycling')
        # The first keeps ahead of us near the kerb, the others come the other way.
        gap, swing = rng.uniform(8.5, 12), 2.5 * np.sin(camera.time * rng.uniform(0.2, 0.4))
        riders = self._props.cyclists
        turn = int(camera.time * 1.1 * PHASES)
        add(riders[0][turn % PHASES], -2.45 + 0.1 * np.sin(camera.time), 0.0,
            camera.z + gap + swing, 1)
        speed, every = -rng.uniform(3.5, 4.5), rng.uniform(24, 34)
        drift = speed * camera.time
        first = int((camera.z - drift) // every)
        for place in range(first, first + int(95 // every) + 1):
            draw = random(self._seed, 'cyclist', place)
            add(riders[draw.integers(1, len(riders))][(turn + place) % PHASES],
                draw.uniform(2.5, 3.0), 0.0, place * every + draw.uniform(0, 8) + drift, -1)
        return items

    def _cars(self, camera: Camera) -> list[Vehicle]:
        """Return parked cars, those ahead in our lane and those that come towards us."""
        found = [self._vehicle(parked)
                 for parked in self._street.parked(camera.z - 1, camera.z + 110)]
        rng = random(self._seed, 'ahead')
        gap = rng.uniform(13, 20)
        for place in range(2):
            shape = random_shape(rng)
            paint = random_paint(rng, shape)
            swing = np.sin(camera.time * rng.uniform(0.2, 0.35) + rng.uniform(0, 6.3))
            z = camera.z + gap + (5.0 + 3.0 * place) * swing
            found.append(self._vehicle(Parked(shape, paint, -1, z, 1, 0.0), x=-1.6,
                                       turn=z * 3.0, braking=bool(swing < -0.6)))
            gap += rng.uniform(18, 34)
        speed, every = rng.uniform(6, 9), rng.uniform(26, 40)
        drift = -speed * camera.time
        first = int((camera.z - drift) // every)
        for place in range(first - 1, first + int(110 // every) + 1):
            draw = random(self._seed, 'oncoming', place)
            shape = random_shape(draw)
            paint = random_paint(draw, shape)
            z = place * every + draw.uniform(0, 12) + drift
            if z - camera.z > -6 and draw.random() < 0.8:
                found.append(self._vehicle(Parked(shape, paint, 1, z, -1, 0.0), x=1.75,
                                           turn=-z * 3.0))
        return [car for car in found if camera.depth(car.place) > NEAR - car.shape.length / 2]

    def _vehicle(self, parked: Parked, x: float | None = None, turn: float = 0.0,
                 braking: bool = False) -> Vehicle:
        """Put a car on the road."""
        if x is None:
            x = parked.side * (self._profile.half_road - parked.shape.half_width - 0.2)
        slope = self._course.slope(parked.z) + parked.askew
        forward = np.array([slope, 0.0, 1.0]) / np.hypot(slope, 1.0) * parked.facing
        return Vehicle(parked.shape, parked.paint, self._course.spot(x, 0.0, parked.z), forward,
                       turn, braking)

    def _shadows(self, camera: Camera, cars: list[Vehicle]) -> list[tuple[np.ndarray, float]]:
        """Return the shadows on the ground as world polygons and the light left in each."""
        found = []
        if self._sun:
            reach = random(self._seed, 'sun').uniform(0.45, 0.65)
            skew = 0.8 * reach  # the sun stands ahead of us, to the side
            for lot in self._street.lots(self._sun, camera.z - 8, camera.z + 90):
                tall = lot.front.height + 0.6 * lot.roof if lot.front else 2.0
                edge, late = self._profile.front - reach * tall, -skew * tall
                z = np.array([lot.start, lot.start + late, lot.end + late, lot.end])
                x = self._sun * np.array([self._profile.front + 3, edge, edge,
                                          self._profile.front + 3])
                found.append((self._course.place(x, 0.02, z), 0.6))
        for car in cars:
            if camera.depth(car.place) < 55:
                base = car.footprint(0.12)
                if self._sun:
                    lean = np.array([-self._sun * 0.55 * car.shape.roof, 0.0, 0.0])
                    found.append((base + lean, 0.55))
                found.append((base, 0.38))
                found.append((car.footprint(-0.12), 0.25))
        return found

    def _develop(self, canvas: Canvas, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return image and labels at their size, with lens blur, vignette and sensor noise."""
        height, width = self._size
        # Each pixel is a blur around the very canvas pixel that its label is taken from.
        chosen = slice(self._fine - 1, None, self._fine)
        labels = np.ascontiguousarray(canvas.labels[chosen, chosen])
        image = cv2.GaussianBlur(canvas.image, (5, 5), 0.55 * self._fine)[chosen, chosen]
        image = cv2.transform(np.ascontiguousarray(image), self._colors)
        image = cv2.LUT(image, self._tones)
        rng = random(self._seed, 'grain', index)
        rows = -(-height // 256) + 1
        columns = -(-width // 512) + 1
        down, across = int(rng.integers(256)), int(rng.integers(512))
        grain = np.tile(self._noise, (rows, columns, 1))[down:down + height,
                                                         across:across + width]
        return cv2.add(cv2.multiply(image, self._vignette, dtype=cv2.CV_32F), grain,
                       dtype=cv2.CV_8U), labels


def _sky_picture(rng: np.random.Generator) -> np.ndarray:
    """Return the sky from the horizon (last row) to 33 degrees up, uint8 (384, 1536, 3)."""
    height, width = 384, 1536
    up = np.linspace(1, 0, height, dtype=np.float32)[:, None, None]
    cover = rng.uniform(0.2, 1.0)  # from clear to overcast
    low, high = floats((246, 246, 242)), floats((236, 214, 186))
    image = low + (high - low) * (up ** 0.8) * (1.15 - 0.9 * cover)
    clouds = np.zeros((height, width, 1), np.float32)
    # Clouds are flat layers: they crowd together towards the horizon.
    picture = fractal(rng, 512, 1024, 5, 6, 0.58)
    rows = 1 / (0.06 + np.linspace(0.62, 0, height, dtype=np.float32))
    across = np.linspace(-1.13, 1.13, width, dtype=np.float32)
    x = np.tile(np.mod(np.outer(rows, across) * 42 + 512, 1024).astype(np.float32), 1)
    y = np.repeat(np.mod(rows * 48, 512)[:, None], width, 1).astype(np.float32)
    clouds[..., 0] = cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    share = np.clip((clouds - 1.1 + 2.0 * cover) * 0.8, 0, 1)
    white = floats((249, 249, 248)) - rng.uniform(0, 26) * np.clip(clouds + 0.3, 0, 1.5)
    image = image + (white - image) * share * np.clip(up * 6, 0, 1)
    return to_uint8(cv2.GaussianBlur(image, (0, 0), 1.2))


def _film(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return a camera's tone curve, uint8 (256,), and colour mixing, float32 (3, 3)."""
    value = np.linspace(0, 1, 256)
    steep = rng.uniform(0.25, 0.6)
    curve = value * (1 - steep) + steep * (3 * value ** 2 - 2 * value ** 3)
    curve = np.clip(curve * rng.uniform(1.0, 1.06), 0, 1)
    vivid = rng.uniform(0.6, 0.85)
    gray = floats((0.114, 0.587, 0.299))
    mix = vivid * np.eye(3, dtype=np.float32) + (1 - vivid) * gray[None]
    return to_uint8(255 * curve), mix.astype(np.float32)


def _vignette(height: int, width: int) -> np.ndarray:
    """Return how much light reaches each pixel through the lens, float32 (height, width, 3)."""
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None]
    fall = 1 - 0.1 * (0.5 * (x * x + y * y)) ** 1.5
    return np.ascontiguousarray(np.broadcast_to(fall[..., None], (height, width, 3)))
