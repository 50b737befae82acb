# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The calibration of a mask whose size is not the camera's."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip('rclpy')

from builtin_interfaces.msg import Time
from sensor_msgs.msg import CameraInfo, RegionOfInterest
from std_msgs.msg import Header

from segnode.ros.calibration import fitted
from segnode.ros.camera_info import CameraInfoRelay, KEPT


def calibration(**changes: Any) -> CameraInfo:
    """Return that of a stereo camera's right eye, 640x480."""
    return CameraInfo(**{
        'height': 480, 'width': 640, 'distortion_model': 'plumb_bob',
        'd': [0.1, -0.05, 0.001, 0.002, 0.0],
        'k': [500.0, 0.0, 319.5, 0.0, 510.0, 239.5, 0.0, 0.0, 1.0],
        'r': [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        'p': [500.0, 0.0, 319.5, -60.0, 0.0, 510.0, 239.5, 0.0, 0.0, 0.0, 1.0, 0.0],
        **changes})


def test_a_mask_of_the_images_size_needs_nothing() -> None:
    """Whole, of a region, or binned: what the camera sends is what the calibration is of."""
    for info, size in (
            (calibration(), (480, 640)),
            (calibration(binning_x=2, binning_y=4), (120, 320)),
            (calibration(roi=RegionOfInterest(x_offset=10, y_offset=20, width=100, height=50)),
             (50, 100)),
            (CameraInfo(), (480, 640))):  # a driver that knows nothing
        assert fitted(info, size) == info


@pytest.mark.parametrize('size', [(240, 320), (960, 640), (100, 333)])
def test_points_land_where_the_resized_image_has_them(size: tuple[int, int]) -> None:
    """Projected by the scaled K, they are the pixels that cv2.resize moves them to."""
    info = calibration()
    scaled = fitted(info, size)
    assert (scaled.height, scaled.width) == size
    assert (info.height, info.width) == (480, 640), 'the one that was given is left alone'
    points = np.array([[0.1, -0.2, 1.0], [-0.4, 0.3, 2.0], [0.0, 0.0, 1.0]])
    before = points @ np.reshape(info.k, (3, 3)).T
    before = before[:, :2] / before[:, 2:]
    after = points @ np.reshape(scaled.k, (3, 3)).T
    after = after[:, :2] / after[:, 2:]
    # Where resize takes each pixel from, by resizing the coordinates themselves.
    y, x = np.mgrid[:480, :640].astype(np.float32)
    small_x, small_y = (cv2.resize(plane, size[::-1], interpolation=cv2.INTER_LINEAR)
                        for plane in (x, y))
    for (u, v), (u2, v2) in zip(before, after):
        column, row = int(round(u2)), int(round(v2))
        assert abs(small_x[row, column] + (u2 - column) * 640 / size[1] - u) < 0.02
        assert abs(small_y[row, column] + (v2 - row) * 480 / size[0] - v) < 0.02
    np.testing.assert_allclose(np.reshape(scaled.p, (3, 4))[:, :3], np.reshape(scaled.k, (3, 3)))
    assert scaled.p[3] / scaled.p[0] == pytest.approx(-60 / 500), 'the baseline stays'
    assert (list(scaled.d), list(scaled.r)) == (list(info.d), list(info.r))


def test_region_and_binning_are_scaled_with_the_image() -> None:
    """A region of 320x240, binned to 160x120, and a mask of half that."""
    info = calibration(binning_x=2, binning_y=2, roi=RegionOfInterest(
        x_offset=100, y_offset=60, width=320, height=240))
    scaled = fitted(info, (60, 80))
    assert (scaled.height, scaled.width) == (240, 320)
    roi = scaled.roi
    assert (roi.x_offset, roi.y_offset, roi.width, roi.height) == (50, 30, 160, 120)
    assert (scaled.binning_x, scaled.binning_y) == (2, 2)
    assert scaled.k[0] == 250.0
    assert info.roi.width == 320
    assert fitted(scaled, (60, 80)) == scaled


@pytest.mark.parametrize('region', [(0, 0), (100, 483)])
@pytest.mark.parametrize('binning', [2, 3, 4])
@pytest.mark.parametrize('size', [(384, 512), (60, 80)])
def test_binning_that_leaves_a_remainder(
        region: tuple[int, int], binning: int, size: tuple[int, int]) -> None:
    """643 pixels binned by 4 are 160: the result is still of exactly the mask's size."""
    info = calibration(width=643, height=483, binning_x=binning, binning_y=binning,
                       roi=RegionOfInterest(width=region[0], height=region[1]))
    scaled = fitted(info, size)
    rows, columns = scaled.roi.height or scaled.height, scaled.roi.width or scaled.width
    assert (rows // binning, columns // binning) == size
    assert fitted(scaled, size) == scaled
    seen = (region[0] or 643) // binning
    assert scaled.k[0] == pytest.approx(500 * size[1] / seen)


def test_rounding_leaves_the_region_inside() -> None:
    """Offset 3 and size 6 of 9, at half the size: 1.5 and 4.5 must not become 2 + 3 of 4."""
    info = calibration(width=9, height=9, roi=RegionOfInterest(
        x_offset=3, y_offset=3, width=6, height=6))
    scaled = fitted(info, (3, 3))
    roi = scaled.roi
    assert (roi.height, roi.width) == (3, 3)
    assert roi.y_offset + roi.height <= scaled.height
    assert roi.x_offset + roi.width <= scaled.width


def test_an_uncalibrated_camera_stays_uncalibrated() -> None:
    """A zero matrix says that nothing is known; scaled centres would say something else."""
    scaled = fitted(CameraInfo(height=480, width=640), (240, 320))
    assert (scaled.height, scaled.width) == (240, 320)
    assert not any(scaled.k) and not any(scaled.p)


def test_absurd_regions_still_fit_into_their_fields() -> None:
    """No value of a hostile message may fail when it is published."""
    info = calibration(height=2**32 - 1, width=2**32 - 1, roi=RegionOfInterest(
        x_offset=2**32 - 1, y_offset=2**32 - 1, width=1, height=1))
    scaled = fitted(info, (480, 640))
    for message in (scaled, scaled.roi):
        for name in ('height', 'width'):
            assert 0 <= getattr(message, name) < 2**32
    assert scaled.roi.x_offset < 2**32


def names(**remapped: str) -> Any:
    """Return what a relay needs of a node: the full names of topics."""
    def resolve(name: str, only_expand: bool = False) -> str:
        return f'/{name}' if only_expand else remapped.get(name, f'/{name}')

    return SimpleNamespace(resolve_topic_name=resolve)


@pytest.mark.parametrize('remapped, topic', [
    ({}, '/camera_info'),
    ({'image': '/image_raw'}, '/camera_info'),
    ({'image': '/front/image_raw'}, '/front/camera_info or /camera_info'),
    ({'image': '/front/image_raw/compressed'}, '/front/camera_info or /camera_info'),
    ({'image': '/front/image_raw', 'camera_info': '/calibration'}, '/calibration'),
])
def test_the_calibration_lies_beside_the_images(remapped: dict[str, str], topic: str) -> None:
    """Where drivers publish it, unless told otherwise."""
    assert CameraInfoRelay(names(**remapped), None, 'camera_info', 'image').topic == topic


def test_that_beside_the_images_comes_first() -> None:
    """Even where another one was there before."""
    subscribed: dict[str, Any] = {}

    def subscribe(kind: type, topic: str, receive: Any, *_: Any, **__: Any) -> str:
        subscribed[topic] = receive
        return topic

    node = names(image='/front/image_raw')
    node.create_subscription, node.destroy_subscription = subscribe, subscribed.pop
    relay = CameraInfoRelay(node, None, 'camera_info', 'image')
    relay.start()
    for topic, height in (('/camera_info', 100), ('/front/camera_info', 200)):
        assert not relay.known or relay.topic == '/camera_info'
        subscribed[topic](CameraInfo(height=height, width=300))
        assert relay.known and relay.topic == topic
        assert relay.beside(Header(), (height, 300)).height == height
    relay.stop()
    assert not relay.known and not subscribed


class Relay(CameraInfoRelay):
    """A relay that is fed by hand."""

    def __init__(self) -> None:
        super().__init__(names(), None, 'camera_info', 'image')

    def take(self, sec: int, focus: float) -> None:
        """Receive a calibration of that stamp."""
        self._receive(self._infos['/camera_info'], calibration(
            header=Header(stamp=Time(sec=sec)), k=[focus, 0, 0, 0, focus, 0, 0, 0, 1]))

    def focus(self, sec: int) -> float:
        """Return the focal length beside a mask of that stamp."""
        info = self.beside(Header(stamp=Time(sec=sec), frame_id='mask'), (480, 640))
        assert info is not None and info.header.frame_id == 'mask'
        return float(info.k[0])


def test_the_stamp_decides_then_the_newest_also_when_time_goes_back() -> None:
    """A bag that loops sends old stamps anew; what came last is the newest."""
    relay = Relay()
    assert relay.beside(Header(), (480, 640)) is None
    for sec in range(1, 40):
        relay.take(sec, 100.0 + sec)
    assert relay.focus(39) == 139.0 and relay.focus(30) == 130.0
    assert relay.focus(1000) == 139.0
    relay.take(20, 520.0)  # the second round
    assert relay.focus(20) == 520.0
    assert relay.focus(1000) == 520.0
    for sec in range(100, 100 + KEPT - 1):
        relay.take(sec, float(sec))
    assert relay.focus(20) == 520.0, 'not forgotten before older ones'
    relay.take(500, 1.0)
    assert relay.focus(20) == 1.0
