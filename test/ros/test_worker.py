# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The worker's thread: what it takes together, and what it does when something fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
import threading
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip('rclpy')

from rclpy.logging import get_logger
from sensor_msgs.msg import Image

from probe import until
from segnode.labels import load_label_set
from segnode.ros.health import FAILED, Health, REPLACED, UNDECODABLE, UNWANTED
from segnode.ros.image_codec import fill_image
from segnode.ros.inputs import Frame
from segnode.ros.rate_limit import RateLimit
from segnode.ros.serving import Serving
from segnode.ros.worker import Worker
from segnode.segmenter import Segmentation
from segnode.view import View

SETTINGS = {'max_rate': 0.0, 'image_bits': 16, 'overlay_alpha': 0.5}
BROKEN = 99  # a value of the images that the network cannot stand


class Network:
    """In place of a Segmenter: labels are the image's first channel; it waits where it is told."""

    label_set = load_label_set('camvid')

    def __init__(self) -> None:
        self.go = threading.Event()
        self.entered = threading.Event()
        self.runs: list[list[int]] = []

    def fitted(self, image: np.ndarray, view: View) -> Any:
        if image.shape[0] == 1:
            raise ValueError('the region reaches beyond')
        return SimpleNamespace(image=image, view=view, milliseconds=0.0)

    def run(self, images: list[Any]) -> list[Segmentation]:
        values = [int(one.image[0, 0, 0]) for one in images]
        self.entered.set()
        assert self.go.wait(60)
        self.runs.append(values)
        if BROKEN in values:
            raise MemoryError('no memory')
        return [Segmentation(one.image[..., 0]) for one in images]


class Camera:
    """In place of a Channel: keeps what is published."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.health = Health()
        self.rate_limit = RateLimit()
        self.outputs = self
        self.camera_info = SimpleNamespace(beside=lambda header, size: None)
        self.listeners = True
        self.published: list[tuple[str, int]] = []

    def an_image(self) -> str:
        return f'an image of {self.name}'

    def wanted(self, settings: dict[str, Any]) -> tuple[str, ...]:
        return ('labels',) if self.listeners else ()

    def publish(self, wanted: Any, header: Any, result: Any, info: Any) -> tuple[str, ...]:
        self.published.append((header.frame_id, int(result.labels[0, 0])))
        return ('labels',)

    def publish_latency(self, wanted: Any, stages: dict[str, float]) -> None:
        assert all(value >= 0 for value in stages.values())

    def drops(self) -> dict[str, int]:
        return {cause: n for cause, n in self.health.snapshot().drops.items() if n}


@pytest.fixture
def network() -> Network:
    return Network()


@pytest.fixture
def cameras() -> dict[str, Any]:
    return {name: Camera(name) for name in ('front', 'left', 'right')}


@pytest.fixture
def worker(network: Any, cameras: dict[str, Any]) -> Iterator[Worker]:
    model: Any = SimpleNamespace(
        segmenter=network, views=dict.fromkeys(cameras, View()), values={'min_confidence': 0.0})
    serving = Serving(lambda old, new: None, lambda model, error: None)
    serving.begin(model)
    made = Worker(serving, get_logger('test_worker'), lambda: dict(SETTINGS))
    yield made
    network.go.set()
    assert made.stop(60.0)


@pytest.fixture
def send(worker: Worker, cameras: dict[str, Any]) -> Callable[..., None]:
    """Return a function that offers an image all of whose pixels are of a value."""
    def offer(name: str, value: int, height: int = 4) -> None:
        msg = fill_image(Image(), np.full((height, 6, 3), value, np.uint8), 'bgr8')
        msg.header.frame_id = f'{name} {value}'
        worker.offer(cameras[name], Frame(msg, 0.0, None))
    return offer


@pytest.fixture
def busy(network: Network, send: Callable[..., None]) -> None:
    """Have the network at work on an image of the front camera, until it is told to go on."""
    send('front', 1)
    assert network.entered.wait(60)


def test_what_waits_goes_together_and_the_newest_wins(
        network: Network, cameras: dict[str, Any], worker: Worker, send: Callable[..., None],
        busy: None) -> None:
    for name, value in (('left', 2), ('right', 3), ('left', 4), ('front', 5)):
        send(name, value)
    network.go.set()
    until(lambda: all(camera.published for camera in cameras.values()))
    until(lambda: len(cameras['front'].published) == 2)
    assert network.runs == [[1], [4, 3, 5]]
    assert (worker.runs, worker.images) == (2, 4)
    assert cameras['front'].published == [('front 1', 1), ('front 5', 5)]
    assert cameras['left'].published == [('left 4', 4)]
    assert cameras['right'].published == [('right 3', 3)]
    assert cameras['left'].drops() == {REPLACED: 1} and not cameras['front'].drops()


def test_nobody_is_waited_for(
        network: Network, cameras: dict[str, Any], worker: Worker, send: Callable[..., None]
) -> None:
    """One camera alone has its masks at once, again and again."""
    network.go.set()
    for value in range(1, 5):
        send('left', value)
        until(lambda value=value: len(cameras['left'].published) == value)
    assert network.runs == [[1], [2], [3], [4]]


def test_an_image_that_breaks_the_network_breaks_no_other(
        network: Network, cameras: dict[str, Any], worker: Worker, send: Callable[..., None],
        busy: None) -> None:
    send('front', 5)
    send('left', BROKEN)
    send('right', 7)
    network.go.set()
    until(lambda: cameras['right'].published)
    assert network.runs == [[1], [5, BROKEN, 7], [5], [BROKEN], [7]]
    assert [value for _, value in cameras['front'].published] == [1, 5]
    assert not cameras['left'].published and cameras['left'].drops() == {FAILED: 1}
    assert 'MemoryError: no memory' in cameras['left'].health.snapshot().last_error
    assert not cameras['front'].drops() and not cameras['right'].drops()


def test_what_is_of_no_use_does_not_reach_the_network(
        network: Network, cameras: dict[str, Any], worker: Worker, send: Callable[..., None],
        busy: None) -> None:
    cameras['front'].listeners = False
    send('front', 2)
    send('left', 3, height=0)
    send('right', 4, height=1)
    network.go.set()
    until(lambda: all(camera.drops() for camera in cameras.values()))
    send('right', 6)
    until(lambda: cameras['right'].published)
    assert network.runs == [[1], [6]]
    assert cameras['front'].drops() == {UNWANTED: 1}
    assert cameras['left'].drops() == {UNDECODABLE: 1}
    assert cameras['right'].drops() == {FAILED: 1}
    # The books follow what is published.
    until(lambda: all(
        camera.health.snapshot().seconds_on_frame == 0 for camera in cameras.values()))
