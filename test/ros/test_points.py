# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Points of labels and depth by hand-made geometry, and the pairing of stamps. No ROS here."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from segnode.labels import load_label_set
from segnode.ros.image_codec import DecodeError
from segnode.ros.points import CloudMaker, DEPTH_TYPES, Intrinsics, LABEL_TYPES, plane, POINT
from segnode.ros.stamp_pairs import StampPairs

CAMVID = load_label_set('camvid')
CAMERA = Intrinsics(fx=50.0, fy=40.0, cx=3.5, cy=2.0)
SIZE = (6, 9)


def plane_depth() -> np.ndarray:
    """Return float32 m of the plane z = 4 + 0.5 x + 0.25 y (m), which each ray meets once."""
    v, u = np.indices(SIZE)
    return np.asarray(4 / (1 - 0.5 * (u - 3.5) / 50 - 0.25 * (v - 2) / 40), np.float32)


def labels_of(size: tuple[int, int] = SIZE) -> np.ndarray:
    labels = np.random.default_rng(0).integers(0, 11, size).astype(np.uint8)
    labels[0, 0] = 255
    return labels


def test_points_lie_on_the_plane_that_was_seen() -> None:
    depth, labels = plane_depth(), labels_of()
    points = CloudMaker(CAMVID).make(labels, depth, CAMERA)
    assert points.dtype == POINT and points.shape == (54,)
    np.testing.assert_allclose(points['z'], 4 + 0.5 * points['x'] + 0.25 * points['y'], rtol=1e-6)
    # They project to the pixels that they came from, row by row.
    v, u = np.indices(SIZE)
    np.testing.assert_allclose(points['x'] / points['z'] * 50 + 3.5, u.ravel(), atol=1e-4)
    np.testing.assert_allclose(points['y'] / points['z'] * 40 + 2, v.ravel(), atol=1e-4)
    assert (points['label'] == labels.ravel()).all()
    colors = points['rgb'][:, None] >> np.uint32([16, 8, 0]) & 255
    assert (colors == CAMVID.palette[labels].reshape(-1, 3)).all()
    # As PCL's uint32 sees it, 255 is 255 and nothing but the byte of the id is set.
    assert points['label'].dtype == np.uint32 and points['label'][0] == 255
    assert POINT.itemsize == sum(POINT[name].itemsize for name in POINT.names)


def test_millimetres_and_what_is_unknown() -> None:
    depth = np.full(SIZE, 2500, np.uint16)
    depth[1, 2] = 0
    points = CloudMaker(CAMVID).make(labels_of(), depth, CAMERA)
    assert points.shape == (53,)
    np.testing.assert_allclose(points['z'], 2.5, rtol=1e-6)
    real = (depth / 1000).astype(np.float32)
    for nothing in (0, np.nan, np.inf, -1, -np.inf):
        real[1, 2] = nothing
        found = CloudMaker(CAMVID).make(labels_of(), real, CAMERA)
        assert found.shape == (53,) and found.tobytes() == points.tobytes()
    organized = CloudMaker(CAMVID, organized=True).make(labels_of(), depth, CAMERA)
    assert organized.shape == SIZE
    for axis in 'xyz':
        assert np.flatnonzero(np.isnan(organized[axis])).tolist() == [11]
    assert (np.delete(organized.ravel(), 11) == points).all()


@pytest.mark.parametrize('organized', [False, True])
def test_stride_classes_and_range(organized: bool) -> None:
    depth, labels = plane_depth(), labels_of()
    every = CloudMaker(CAMVID, organized=True).make(labels, depth, CAMERA)
    wanted = {'road': 3, 'bicyclist': 10, 'sky': 0}
    limit = float(np.median(depth))
    maker = CloudMaker(
        CAMVID, tuple(wanted), stride=2, organized=organized, max_depth=limit)
    found = maker.make(labels, depth, CAMERA)
    expected = every[::2, ::2]
    kept = np.isin(labels, list(wanted.values()))[::2, ::2] & (depth <= limit)[::2, ::2]
    assert 0 < kept.sum() < kept.size
    if organized:
        assert (np.isfinite(found['z']) == kept).all()
        found = found[kept]
    assert found.shape == expected[kept].shape and (found == expected[kept]).all()


def test_labels_of_another_size() -> None:
    """Each pixel of the depth image has the label that lies there."""
    labels = labels_of((3, 4))
    depth = np.ones((6, 12), np.float32)
    points = CloudMaker(CAMVID, organized=True).make(labels, depth, CAMERA)
    assert (points['label'] == labels.repeat(2, 0).repeat(3, 1)).all()
    points = CloudMaker(CAMVID, organized=True, stride=3).make(labels, depth, CAMERA)
    assert (points['label'] == labels.repeat(2, 0).repeat(3, 1)[::3, ::3]).all()
    large = labels_of((12, 24))
    points = CloudMaker(CAMVID, organized=True).make(large, depth, CAMERA)
    assert (points['label'] == large[1::2, 1::2]).all()


def test_unknown_class() -> None:
    with pytest.raises(ValueError, match='"camvid" has no class \'person\', but sky, building'):
        CloudMaker(CAMVID, ['person'])


def test_intrinsics() -> None:
    k = [50.0, 0, 3.5, 0, 40, 2, 0, 0, 1]
    p = [60.0, 0, 4.5, 0, 0, 70, 5, 0, 0, 0, 1, 0]
    assert Intrinsics.of(info(k, p)) == Intrinsics(60, 70, 4.5, 5)
    assert Intrinsics.of(info(k)) == CAMERA
    for bad in ([0.0] * 9, [float('nan'), *k[1:]], [float('inf'), *k[1:]]):
        with pytest.raises(DecodeError, match='holds no calibration'):
            Intrinsics.of(info(bad))


@pytest.mark.parametrize('left, top, across, down', [
    (0, 0, 1, 1), (16, 12, 1, 1), (0, 0, 2, 2), (16, 12, 4, 2)])
def test_region_and_binning_of_the_sensor(left: int, top: int, across: int, down: int) -> None:
    """A surface seen by a part of the sensor, or with its pixels binned, stays where it is."""
    k = [50.0, 0, 31.5, 0, 40, 23.5, 0, 0, 1]
    v, u = np.indices((48 - top, 64 - left)) + [[[top]], [[left]]]
    depth = 4 / (1 - 0.5 * (u - 31.5) / 50 - 0.25 * (v - 23.5) / 40)
    # A binned pixel looks where the middle of its pixels looks, at 1 / depth of their mean.
    rows, columns = depth.shape[0] // down, depth.shape[1] // across
    binned = 1 / (1 / depth).reshape(rows, down, columns, across).mean((1, 3))
    points = CloudMaker(CAMVID).make(
        np.zeros(binned.shape, np.uint8), binned.astype(np.float32),
        Intrinsics.of(info(k, left=left, top=top, across=across, down=down)))
    np.testing.assert_allclose(points['z'], 4 + 0.5 * points['x'] + 0.25 * points['y'], rtol=1e-5)


def info(
    k: list[float], p: list[float] | None = None, *, left: int = 0, top: int = 0, across: int = 0,
    down: int = 0,
) -> SimpleNamespace:
    """Return a CameraInfo of a region that begins there, with so many pixels in one."""
    return SimpleNamespace(
        k=k, p=p or [0.0] * 12, binning_x=across, binning_y=down,
        roi=SimpleNamespace(x_offset=left, y_offset=top))


def image(array: np.ndarray, encoding: str, pad: int = 0, /, **changes: Any) -> SimpleNamespace:
    rows = np.ascontiguousarray(array).view(np.uint8).reshape(array.shape[0], -1)
    rows = np.pad(rows, ((0, 0), (0, pad)), constant_values=77)
    return SimpleNamespace(**{
        'height': array.shape[0], 'width': array.shape[1], 'encoding': encoding,
        'is_bigendian': int(array.dtype.byteorder == '>'), 'step': rows.shape[1],
        'data': rows.tobytes(), **changes})


@pytest.mark.parametrize('encoding, kind', [
    ('16UC1', '<u2'), ('16UC1', '>u2'), ('mono16', '<u2'), ('32FC1', '<f4'), ('32FC1', '>f4')])
@pytest.mark.parametrize('pad', [0, 3])
def test_depth_in_either_byte_order_with_padded_rows(encoding: str, kind: str, pad: int) -> None:
    depth = np.random.default_rng(0).integers(1, 9000, SIZE).astype(kind)
    found = plane(image(depth, encoding, pad), DEPTH_TYPES, 'depth')
    assert (found == depth).all()
    points = CloudMaker(CAMVID).make(labels_of(), found, CAMERA)
    scale = 1 if 'F' in encoding else 0.001
    np.testing.assert_allclose(points['z'], depth.astype(float).ravel() * scale, rtol=1e-6)


@pytest.mark.parametrize('changes, words', [
    ({'encoding': 'rgb8'}, "the mask must be mono8 or 8UC1, not 'rgb8'"),
    ({'height': 0}, 'no 9x0 mono8'), ({'width': 2**32 - 1}, 'are no 4294967295x6'),
    ({'step': 8}, 'step of 8'), ({'height': 7}, '54 bytes are no 9x7'),
    ({'height': 2**32 - 1, 'step': 2**32 - 1}, 'are no'), ({'data': b''}, '0 bytes'),
])
def test_damaged_messages(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(DecodeError, match=words):
        plane(image(labels_of(), 'mono8', **changes), LABEL_TYPES, 'the mask')


def pairs(slop: int = 0, kept: int = 5) -> StampPairs[str, str]:
    return StampPairs(slop, kept)


def test_equal_stamps_whichever_comes_first() -> None:
    waiting = pairs()
    assert waiting.add_depth(1, 'd1') == waiting.add_depth(2, 'd2') == []
    assert waiting.add_mask(1, 'm1') == [('m1', 'd1')]
    assert waiting.add_mask(2, 'm2') == [('m2', 'd2')]
    assert waiting.add_mask(3, 'm3') == []
    assert waiting.add_depth(3, 'd3') == [('m3', 'd3')]
    assert waiting.add_mask(4, 'm4') == waiting.add_mask(5, 'm5') == []
    assert waiting.add_depth(5, 'd5') == [('m5', 'd5')]  # what m4 lacks will not come
    assert waiting.unpaired == 1


def test_the_nearest_within_the_slop() -> None:
    waiting = pairs(slop=10)
    assert waiting.add_mask(100, 'm') == []
    assert waiting.add_depth(92, 'far') == []  # a nearer one may come
    assert waiting.add_depth(103, 'near') == [('m', 'near')]
    for stamp in (120, 133, 150):
        waiting.add_depth(stamp, f'd{stamp}')
    assert waiting.add_mask(128, 'n') == [('n', 'd133')]
    assert waiting.add_mask(139, 'o') == []  # 11 from 150, and 133 is taken
    assert waiting.unpaired == 1
    assert waiting.add_mask(140, 'p') == [('p', 'd150')]


def test_bounded() -> None:
    waiting = pairs(kept=3)
    for stamp in range(10):
        assert waiting.add_mask(stamp, f'm{stamp}') == []
    assert waiting.unpaired == 7
    assert waiting.add_depth(7, 'd7') == [('m7', 'd7')]
    for stamp in range(20, 30):
        waiting.add_depth(stamp, f'd{stamp}')
    assert waiting.add_mask(26, 'm26') == []
    assert waiting.add_mask(27, 'm27') == [('m27', 'd27')]


def test_time_that_goes_back() -> None:
    """A bag that loops: depth first, as the network takes its time."""
    waiting = pairs()
    got = []
    for loop in range(3):
        for stamp in range(100, 110):
            got += waiting.add_depth(stamp, f'{loop} d{stamp}')
            late = stamp - 3  # masks lag by three frames, over the seam of the loop
            if late >= 100:
                got += waiting.add_mask(late, f'{loop} m{late}')
            elif loop:
                got += waiting.add_mask(late + 10, f'{loop - 1} m{late + 10}')
    assert len(got) == 3 * 10 - 3 - 2 * 3
    assert all(mask.replace('m', 'd') == depth for mask, depth in got)


def test_clear() -> None:
    waiting = pairs()
    waiting.add_depth(1, 'd')
    waiting.clear()
    assert waiting.add_mask(1, 'm') == []
