# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""
What stands where along the street.

Every stretch is made from (seed, its number) alone, so a place looks the same from every frame.
"""

from collections.abc import Callable
import dataclasses
from typing import TypeVar

import numpy as np

from segnode.road_scene import facades, furniture, people, plants
from segnode.road_scene.canvas import Texture
from segnode.road_scene.ground import Profile
from segnode.road_scene.noise import random
from segnode.road_scene.vehicles import random_paint, random_shape, Shape

CELL = 48.0  # metres; lots fill a cell exactly
_SLOT = 6.0  # metres for one parked car
_T = TypeVar('_T')
_SPLITS = ((12, 12, 12, 12), (16, 16, 16), (8, 16, 12, 12), (16, 8, 8, 16), (8, 12, 16, 12))


@dataclasses.dataclass(frozen=True)
class Lot:
    """
    A stretch of one side of the street: a house row, or a garden behind hedge or fence.

    Args:
        side: -1 left, 1 right.
        start, end: places along the road, metres.
        setback: metres behind the sidewalk.
        front: the house front; None for a garden.
        roof: rise of a pitched roof, metres; 0 for a flat one.
        border: picture of what encloses a garden.
        trees: (picture, metres right of the centre line, along the road, size factor), far
            ones first.
        tone: brightness of this house relative to others.
        chimney: whether there are chimneys.
        free: whether its end towards the camera can be seen.
    """

    side: int
    start: float
    end: float
    setback: float = 0.0
    front: Texture | None = None
    roof: float = 0.0
    border: Texture | None = None
    trees: tuple[tuple[Texture, float, float, float], ...] = ()
    tone: float = 1.0
    chimney: bool = False
    free: bool = True


@dataclasses.dataclass(frozen=True)
class Parked:
    """A parked car: kind, paint, side of the road, place along it, and which way it faces."""

    shape: Shape
    paint: np.ndarray
    side: int
    z: float
    facing: int
    askew: float


@dataclasses.dataclass(frozen=True)
class Post:
    """
    Something on a pole at the kerb.

    Args:
        kind: 'lamp', 'sign', 'light' or 'bollard'.
        side: -1 left, 1 right.
        z: place along the road, metres.
        plates: pictures hung on it, from the top.
        height, thick: of the pole, metres.
        tone: brightness of its paint, 0..255.
    """

    kind: str
    side: int
    z: float
    height: float
    thick: float
    tone: float
    plates: tuple[Texture, ...] = ()


@dataclasses.dataclass(frozen=True)
class Railing:
    """A guard rail at the kerb: side and places along the road, metres."""

    side: int
    start: float
    end: float


class Props:
    """The pictures of one scene, all made once."""

    def __init__(self, seed: int) -> None:
        rng = random(seed, 'props')
        self.fronts = [facades.house_front(rng) for _ in range(9)]
        self.walls = [facades.side_wall(rng) for _ in range(3)]
        self.roofs = [facades.slates(rng) for _ in range(3)]
        self.trees = ([plants.leafy_tree(rng) for _ in range(3)]
                      + [plants.bare_tree(rng) for _ in range(3)]
                      + [plants.conifer(rng) for _ in range(2)])
        self.hedges = [plants.hedge(rng) for _ in range(2)]
        self.fences = [furniture.board_fence(rng) for _ in range(2)]
        self.railing = furniture.railing(rng)
        self.tree_line = plants.tree_line(rng)
        self.plates = furniture.sign_plates(rng)
        self.lights = [furniture.traffic_light(lamp) for lamp in range(3)]
        self.walkers = [people.walker(rng) for _ in range(8)]
        self.cyclists = [people.cyclist(rng, coming=number > 0) for number in range(4)]


class Street:
    """
    Everything that stands, by stretch.

    Args:
        seed: the scene's seed.
        profile: widths of road and sidewalk.
        props: the pictures to choose from.
    """

    def __init__(self, seed: int, profile: Profile, props: Props) -> None:
        self._seed, self._profile, self._props = seed, profile, props
        rng = random(seed, 'street')
        self._green = rng.uniform(0.22, 0.42)  # share of lots that are gardens
        self._parking = rng.uniform(0.25, 0.6)
        self._made: dict[tuple[str, int], list] = {}

    def lots(self, side: int, near: float, far: float) -> list[Lot]:
        """Return the lots of a side between two places, in order."""
        places = range(int(near // CELL), int(far // CELL) + 1)
        return [lot for cell in places
                for lot in self._keep('lots', self._make_lots, side, cell)
                if lot.end > near and lot.start < far]

    def _keep(self, kind: str, make: Callable[[int, int], list[_T]], side: int,
              place: int) -> list[_T]:
        """Return what `make` makes of a place, made once and kept while it is in sight."""
        key = kind, 2 * place + (side > 0)
        if key not in self._made:
            if len(self._made) > 2000:
                self._made.clear()
            self._made[key] = make(side, place)
        return self._made[key]

    def _make_lots(self, side: int, cell: int) -> list[Lot]:
        rng = random(self._seed, 'lots', 2 * cell + (side > 0))
        props, front = self._props, self._profile.front
        lots: list[Lot] = []
        start = cell * CELL
        for length in _SPLITS[rng.integers(len(_SPLITS))]:
            end = start + length
            if rng.random() < self._green:
                trees = []
                for _ in range(int(rng.integers(2, 5))):
                    picture = props.trees[rng.integers(len(props.trees))]
                    trees.append((picture, side * (front + rng.uniform(1.5, 9)),
                                  rng.uniform(start, end), rng.uniform(0.85, 1.5)))
                border = (props.hedges + props.fences)[rng.integers(4)]
                trees.sort(key=lambda tree: -tree[2])
                lots.append(Lot(side, start, end, border=border, trees=tuple(trees)))
            else:
                setback = float(rng.choice([0, 0, 0.4, 1.2]))
                house = props.fronts[rng.integers(len(props.fronts))]
                roof = float(rng.choice([0, 2.2, 2.8, 3.4]))
                last = lots[-1] if lots else None
                hidden = (last is not None and last.front is not None
                          and last.front.height >= house.height + roof
                          and last.setback <= setback)
                lots.append(Lot(side, start, end, setback, house, roof,
                                tone=rng.uniform(0.75, 1.2), chimney=bool(rng.random() < 0.6),
                                free=not hidden))
            start = end
        return lots

    def parked(self, near: float, far: float) -> list[Parked]:
        """Return the cars parked between two places."""
        places = range(int(near // _SLOT), int(far // _SLOT) + 1)
        return [car for place in places for side in (-1, 1)
                for car in self._keep('parked', self._make_parked, side, place)]

    def _make_parked(self, side: int, place: int) -> list[Parked]:
        stretch = random(self._seed, 'parking', 2 * (place // 6) + (side > 0))
        rng = random(self._seed, 'parked', 2 * place + (side > 0))
        if stretch.random() > self._parking or place % 6 == 5 or rng.random() < 0.18:
            return []
        shape = random_shape(rng, large=False)
        z = place * _SLOT + rng.uniform(2.6, 3.4)
        facing = 1 if side < 0 or rng.random() < 0.3 else -1
        return [Parked(shape, random_paint(rng, shape), side, z, facing, rng.normal(0, 0.012))]

    def posts(self, near: float, far: float) -> list[Post]:
        """Return lamp posts, sign posts and bollards between two places."""
        places = range(int(near // 12), int(far // 12) + 1)
        return [post for place in places for side in (-1, 1)
                for post in self._keep('posts', self._make_posts, side, place)
                if near < post.z < far]

    def _make_posts(self, side: int, place: int) -> list[Post]:
        rng = random(self._seed, 'post', 2 * place + (side > 0))
        plates = self._props.plates
        draw, z = rng.random(), place * 12 + rng.uniform(0, 9)
        tone = rng.uniform(30, 110)
        if (place + side) % 3 == 0:
            return [Post('lamp', side, place * 12 + 1.0, rng.uniform(6.5, 8.5), 0.13, tone)]
        if draw < 0.55:
            count = 1 + int(rng.random() < 0.4)
            chosen = tuple(plates[rng.integers(len(plates))] for _ in range(count))
            return [Post('sign', side, z, rng.uniform(2.7, 3.4), 0.08, tone, chosen)]
        if draw < 0.75:
            return [Post('bollard', side, z + gap, 1.0, 0.14, 40.0) for gap in (0, 1.6, 3.2)]
        return []

    def railings(self, near: float, far: float) -> list[Railing]:
        """Return guard rails at the kerb between two places."""
        places = range(int(near // 32), int(far // 32) + 1)
        return [rail for place in places for side in (-1, 1)
                for rail in self._keep('railings', self._make_railings, side, place)
                if rail.end > near and rail.start < far]

    def _make_railings(self, side: int, place: int) -> list[Railing]:
        rng = random(self._seed, 'railing', 2 * place + (side > 0))
        if rng.random() > 0.35:
            return []
        start = place * 32 + rng.uniform(0, 10)
        return [Railing(side, start, start + 4.0 * int(rng.integers(2, 5)))]
