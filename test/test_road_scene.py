# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The rendered street: the same for the same seed, exact labels, motion that fits the camera."""

import time

import numpy as np
import pytest

from segnode.labels import load_label_set
from segnode.road_scene import RoadScene
from segnode.road_scene.camera import Camera, Course, NEAR

SKY, BUILDING, POLE, ROAD, SIDEWALK, TREE, SIGN, FENCE, CAR, PEDESTRIAN, BICYCLIST = range(11)


@pytest.fixture(scope='module')
def scene():
    """Return one scene that the tests here share."""
    return RoadScene(height=180, width=240, seed=1)


@pytest.mark.parametrize('height, width', [(360, 480), (64, 64), (65, 211), (200, 90), (700, 640)])
def test_any_size(height, width):
    """Frames have the size asked for, BGR and labels, every pixel of some class."""
    image, labels = RoadScene(height, width, seed=3).frame(7)
    assert image.shape == (height, width, 3) and image.dtype == np.uint8
    assert labels.shape == (height, width) and labels.dtype == np.uint8
    assert image.flags.c_contiguous and labels.flags.c_contiguous
    assert labels.max() < load_label_set('camvid').num_classes


def test_same_frame_in_any_order(scene):
    """A frame depends on seed and index alone: not on other frames or on the object."""
    first = [scene.frame(index) for index in (0, 40, 500)]
    other = RoadScene(height=180, width=240, seed=1)
    again = [other.frame(index) for index in (500, 40, 0)][::-1]
    for (image, labels), (image2, labels2) in zip(first, again, strict=True):
        assert np.array_equal(image, image2)
        assert np.array_equal(labels, labels2)


def test_another_seed_is_another_street(scene):
    """Seeds differ in what stands where and in how it looks."""
    image, labels = scene.frame(0)
    image2, labels2 = RoadScene(height=180, width=240, seed=2).frame(0)
    assert (labels != labels2).mean() > 0.1
    assert np.abs(image.astype(int) - image2).mean() > 10


@pytest.mark.parametrize('seed', [0, 1, 2])
def test_all_classes_occur(seed):
    """Within eight seconds every class has been seen, the large ones always."""
    scene = RoadScene(height=180, width=240, seed=seed)
    seen = np.zeros(11, int)
    for index in range(0, 120, 12):
        labels = scene.frame(index)[1]
        count = np.bincount(labels.ravel(), minlength=11)
        share = count / labels.size
        assert 0.2 < share[ROAD] < 0.55
        assert 0.03 < share[SKY] < 0.45
        assert share[BUILDING] > 0.02
        seen += count
    assert (seen > 50).all(), dict(zip(load_label_set('camvid').names, seen, strict=True))


def test_layout(scene):
    """The sky is above, the road below, and sky is nowhere beneath the horizon."""
    for index in (0, 100, 1000):
        labels = scene.frame(index)[1]
        assert not (labels[:60] == ROAD).any()
        assert not (labels[110:] == SKY).any()
        assert (labels[-1, 90:150] == ROAD).mean() > 0.5


def test_colors_fit_the_labels(scene):
    """Sky is far brighter than road and people, as an image in the wrong order would not show."""
    image, labels = scene.frame(30)
    gray = image.mean(2)
    assert gray[labels == SKY].mean() > 200
    assert 30 < gray[labels == ROAD].mean() < 130
    assert gray[labels == SKY].mean() > 1.5 * gray[labels == BUILDING].mean()
    blue, _, red = image[labels == SKY].mean(0)
    assert blue >= red  # BGR


def test_label_edges_are_image_edges():
    """Where labels turn from sky to house, the image turns dark at that very pixel."""
    image, labels = RoadScene(seed=0).frame(20)
    gray = image.mean(2)
    reach = 4
    stack = np.stack([labels[row:len(labels) - 2 * reach + row] for row in range(2 * reach)])
    sky, house = (stack[:reach] == SKY).all(0), (stack[reach:] == BUILDING).all(0)
    rows, columns = np.nonzero(sky & house)
    assert len(rows) > 100
    column = np.stack([gray[rows + step, columns] for step in range(2 * reach)])
    assert (column[0] - column[-1] > 25).mean() > 0.9
    steepest = np.argmin(np.diff(column, axis=0), axis=0)  # between row `steepest` and the next
    assert (np.abs(steepest - (reach - 1)) <= 1).mean() > 0.9
    assert abs(steepest.mean() - (reach - 1)) < 0.3


def test_neighbouring_frames_move_a_little(scene):
    """One fifteenth of a second changes few labels, a second far more."""
    now, soon, later = (scene.frame(index)[1] for index in (60, 61, 75))
    assert 0.001 < (now != soon).mean() < 0.12
    assert (now != later).mean() > 1.5 * (now != soon).mean()


def test_long_drives(scene):
    """An hour later the street still goes on."""
    labels = scene.frame(15 * 3600)[1]
    assert len(np.unique(labels)) >= 6


@pytest.mark.parametrize('arguments, message', [
    ({'height': 63}, 'at least 64 x 64'), ({'width': 10}, 'at least 64 x 64'),
    ({'seed': -1}, 'seed is 0 or more'),
])
def test_bad_arguments(arguments, message):
    """Sizes and seeds out of range are refused."""
    with pytest.raises(ValueError, match=message):
        RoadScene(**arguments)


def test_negative_index(scene):
    """There is nothing before the first frame."""
    with pytest.raises(ValueError, match='index is 0 or more, not -1'):
        scene.frame(-1)


def test_camera_geometry():
    """Projection by points, by outline and by plane agree; the horizon is where far points go."""
    course = Course(5)
    camera = Camera(course, 5, 33, 360, 480)
    origin = camera.center + camera.axes[2] * 9
    right, up = np.array([0.6, 0, 0.8]), np.array([0, 1.0, 0])
    points = np.stack([origin, origin + right, origin + right + 2 * up, origin + 2 * up])
    pixels = camera.project(points)
    assert np.allclose(pixels[0], (239.5, 179.5))  # straight ahead is the image's middle
    assert np.allclose(camera.outline(points), pixels)
    assert np.allclose(camera.depth(points)[0], 9)
    corners = camera.plane(origin, right, up) @ np.array([[0, 1, 1, 0], [0, 0, 2, 2], [1] * 4])
    assert np.allclose((corners[:2] / corners[2]).T, pixels)
    far = camera.center + np.array([camera.axes[2][0], 0, camera.axes[2][2]]) * 1e7
    assert abs(camera.project(far)[1] - camera.horizon) < 0.01


def test_camera_cuts_at_the_near_plane():
    """A polygon that reaches behind the camera is cut, one wholly behind it is nothing."""
    camera = Camera(Course(5), 5, 0, 360, 480)
    ahead, right = camera.axes[2], camera.axes[0]
    strip = camera.center - camera.axes[1] + np.stack(
        [-right - 5 * ahead, right - 5 * ahead, right + 20 * ahead, -right + 20 * ahead])
    pixels = camera.outline(strip)
    assert len(pixels) == 4
    near_half_width = camera.focal / NEAR
    assert np.allclose(sorted(pixels[:, 0] - 239.5)[::3], [-near_half_width, near_half_width])
    assert len(camera.outline(strip - 30 * ahead)) == 0


@pytest.mark.slow
def test_speed():
    """A frame of 360 x 480 takes well under 50 ms of one core on an idle machine."""
    scene = RoadScene(seed=1)
    scene.frame(0)
    times = []
    for index in range(0, 30, 2):
        start = time.process_time()
        scene.frame(index)
        times.append(time.process_time() - start)
    assert min(times) < 0.1  # twice the aim, for machines that are slow or busy
