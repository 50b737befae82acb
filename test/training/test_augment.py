# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Augmentation keeps image and label together."""

import dataclasses

import cv2
import numpy as np
import pytest

from segnode.fitting import fit_image
from training.augment import Augment, hue_matrix, mean_color, recolor, tone_curves


def picture(height=90, width=120):
    """Return an image whose colour is its label: channel 0 holds the label times 20."""
    label = (np.arange(height)[:, None] // 15 + np.arange(width) // 30).astype(np.uint8)
    return np.repeat((label * 20)[..., None], 3, axis=2), label


def test_image_and_label_move_together():
    image, label = picture()
    augment = Augment((96, 128), (0.5, 2.0), flip=0.5, jitter=0.0)
    for seed in range(40):
        out, truth = augment(image, label, np.random.default_rng(seed))
        assert out.shape == (96, 128, 3) and truth.shape == (96, 128)
        assert out.flags.c_contiguous and truth.flags.c_contiguous
        seen = truth != 255
        # Away from the borders between labels, where interpolation mixes, they agree.
        inside = seen & (cv2.erode(truth, np.ones((5, 5))) == cv2.dilate(truth, np.ones((5, 5))))
        assert inside.mean() > 0.08
        assert np.abs(out[..., 0][inside].astype(int) - truth[inside] * 20).max() <= 1


def test_zoom_out_pads_with_unlabelled():
    image, label = picture()
    out, truth = Augment((96, 128), (0.5, 0.5), 0.0, 0.0)(image, label, np.random.default_rng(0))
    assert (truth != 255).mean() == 0.25
    assert len(np.unique(out[truth == 255].reshape(-1, 3), axis=0)) <= 2


def test_scale_one_without_flip_is_the_whole_image():
    image, label = picture(96, 128)
    out, truth = Augment((96, 128), (1.0, 1.0), 0.0, 0.0)(image, label, np.random.default_rng(3))
    assert np.array_equal(out, image) and np.array_equal(truth, label)


def test_flip_is_left_right():
    image, label = picture(96, 128)
    augment = Augment((96, 128), (1.0, 1.0), 1.0, 0.0)
    assert np.array_equal(augment(image, label, np.random.default_rng(0))[1], label[:, ::-1])


def test_same_generator_same_result():
    image, label = picture()
    augment = Augment((96, 128))
    first = augment(image, label, np.random.default_rng((1, 2, 3)))
    second = augment(image, label, np.random.default_rng((1, 2, 3)))
    other = augment(image, label, np.random.default_rng((1, 2, 4)))
    assert np.array_equal(first[0], second[0]) and np.array_equal(first[1], second[1])
    assert not np.array_equal(first[0], other[0])


def test_color_by_hand():
    image = np.full((4, 4, 3), 100, np.uint8)
    assert (recolor(image, 1.1, 1.0, 1.0) == 110).all()
    image[:, :2] = 50  # mean 75
    assert (recolor(image, 1.0, 2.0, 1.0)[0, :, 0] == [25, 25, 125, 125]).all()
    image[:] = (0, 0, 100)  # grey 29.9
    assert recolor(image, 1.0, 1.0, 0.5)[0, 0].tolist() == [15, 15, 65]


def test_mean_color_is_numpys():
    for seed in range(20):
        image = np.random.default_rng(seed).integers(0, 256, (7, 5, 3), np.uint8)
        assert np.array_equal(mean_color(image), image.mean((0, 1)).astype(np.uint8))


def as_first_released(image, label, size, scale, flip, jitter, rng):
    """Return what the recipe of the released models does: scale 1 is the image stretched."""
    (height, width), (rows, cols) = label.shape, size
    zoom = float(np.exp(rng.uniform(*np.log(scale))))
    window, target = (0, 0, height, width), (0, 0, rows, cols)
    if zoom >= 1:
        tall, wide = round(height / zoom), round(width / zoom)
        window = (int(rng.integers(0, height - tall + 1)), int(rng.integers(0, width - wide + 1)),
                  tall, wide)
    else:
        tall, wide = round(rows * zoom), round(cols * zoom)
        target = (int(rng.integers(0, rows - tall + 1)), int(rng.integers(0, cols - wide + 1)),
                  tall, wide)
    seen = np.s_[window[0]:window[0] + window[2], window[1]:window[1] + window[3]]
    filled = np.s_[target[0]:target[0] + target[2], target[1]:target[1] + target[3]]
    shrinks = target[2] * target[3] < window[2] * window[3]
    out = np.empty((rows, cols, 3), np.uint8)
    out[:] = image.mean(axis=(0, 1)).astype(np.uint8)
    truth = np.full(size, 255, np.uint8)
    out[filled] = cv2.resize(
        image[seen], (target[3], target[2]),
        interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    truth[filled] = cv2.resize(
        label[seen], (target[3], target[2]), interpolation=cv2.INTER_NEAREST_EXACT)
    if rng.random() < flip:
        out, truth = np.ascontiguousarray(out[:, ::-1]), truth[:, ::-1]
    b, c, s = 1.0 + rng.uniform(-jitter, jitter, 3)
    grey = cv2.cvtColor(out, cv2.COLOR_BGR2GRAY)
    return cv2.addWeighted(
        out, b * c * s, cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR), b * c * (1.0 - s),
        b * (1.0 - c) * float(grey.mean())), truth


def test_the_default_is_the_recipe_of_the_released_models_bit_for_bit():
    label = picture()[1]
    image = np.random.default_rng(5).integers(0, 256, (90, 120, 3), np.uint8)
    for size, scale in (((96, 128), (0.6, 1.6)), ((64, 128), (0.3, 3.0))):
        for seed in range(30):
            out, truth = Augment(size, scale)(image, label, np.random.default_rng(seed))
            expected = as_first_released(
                image, label, size, scale, 0.5, 0.3, np.random.default_rng(seed))
            assert np.array_equal(out, expected[0]) and np.array_equal(truth, expected[1])


def still(size, scale=1.0, **options):
    """Return an augmentation without flip and colours, at one scale."""
    return Augment(size, (scale, scale), flip=0.0, jitter=0.0, **options)


def test_of_the_image_scale_one_is_its_own_pixels():
    image, label = picture()
    image[..., 1] = np.arange(120)
    view = still((32, 48), scale_of='image').draw(label, np.random.default_rng(2))
    top, left, rows, cols = view.source
    assert (rows, cols) == (32, 48) and view.target == (0, 0, 32, 48)
    out, truth = still((32, 48), scale_of='image').apply(view, image, label)
    assert np.array_equal(out, image[top:top + 32, left:left + 48])
    assert np.array_equal(truth, label[top:top + 32, left:left + 48])
    # Where the image is smaller than the crop, the rest is padding.
    out, truth = still((96, 100), scale_of='image')(image, label, np.random.default_rng(2))
    rows = np.flatnonzero((truth != 255).all(1))
    assert len(rows) == 90 and rows[-1] - rows[0] == 89
    assert (truth[rows] == label[:, int(out[rows[0], 0, 1]):][:, :100]).all()


def test_aspect_is_kept_unless_the_image_is_stretched():
    label = np.zeros((90, 160), np.uint8)
    for options, kept in (
        ({'scale_of': 'image'}, True), ({'fit': 'letterbox'}, True), ({'fit': 'crop'}, True),
        ({}, False),
    ):
        for seed in range(20):
            view = Augment((64, 64), (0.3, 3.0), **options).draw(
                label, np.random.default_rng(seed))
            down, right = view.target[2] / view.source[2], view.target[3] / view.source[3]
            assert (abs(down / right - 1) < 0.06) == kept, view


def test_scale_one_of_the_input_is_what_validation_sees():
    image, label = picture(45, 80)
    image[..., 1] = np.arange(80)
    for fit, size in (('letterbox', (48, 80)), ('crop', (90, 100)), ('stretch', (96, 100))):
        out, truth = still(size, fit=fit)(image, label, np.random.default_rng(1))
        seen, placement = fit_image(image, size, fit)
        if fit == 'letterbox':  # the rest is black, and anywhere
            rows = np.flatnonzero((truth != 255).all(1))
            assert len(rows) == 45 and np.array_equal(out[rows], image)
            assert not np.delete(out, rows, 0).any()
        elif fit == 'crop':  # any part, not the middle
            assert truth.max() < 255 and placement.source[2:] == (45, 50)
            view = still(size, fit=fit).draw(label, np.random.default_rng(1))
            assert view.source[2:] == (45, 50)
        else:
            assert np.array_equal(out, seen)


def test_crops_of_what_is_validated_larger():
    label = np.zeros((90, 120), np.uint8)
    view = still((48, 64), whole=(96, 128)).draw(label, np.random.default_rng(0))
    assert view.source[2:] == (45, 60) and view.target == (0, 0, 48, 64)
    view = still((48, 64), whole=(96, 128), fit='letterbox').draw(label, np.random.default_rng(0))
    assert view.source[2:] == (45, 60)


def test_crops_of_one_class_are_drawn_anew():
    label = np.zeros((60, 100), np.uint8)
    label[:, 80:] = np.arange(60)[:, None] // 20 + 1
    label[:10] = 255

    def share(label):
        counts = np.bincount(label.ravel(), minlength=256)[:255]
        return counts.max() / counts.sum()

    shares = {}
    for most in (1.0, 0.75):
        augment = Augment((20, 20), (1.0, 1.0), 0.0, 0.0, scale_of='image', cat_max_ratio=most)
        crops = [augment(np.zeros((60, 100, 3), np.uint8), label, np.random.default_rng(seed))[1]
                 for seed in range(200)]
        shares[most] = np.mean([share(crop) >= 0.75 for crop in crops])
    # A window has a chance of some 1 in 5 to reach the other classes.
    assert shares[1.0] > 0.7 and shares[0.75] < 0.25, shares


def test_a_wanted_class_is_in_the_middle():
    label = np.zeros((60, 100), np.uint8)
    label[40, 30] = 7
    augment = Augment((21, 21), (1.0, 1.0), 0.0, 0.0, scale_of='image')
    view = augment.draw(label, np.random.default_rng(0), wanted=7)
    assert view.source == (30, 20, 21, 21)
    label[40, 30], label[59, 2] = 0, 7  # as far as the border lets it
    assert augment.draw(label, np.random.default_rng(0), wanted=7).source == (39, 0, 21, 21)
    # Without such a pixel, and zoomed out, it is a view like any other.
    assert augment.draw(label, np.random.default_rng(0), wanted=8) == augment.draw(
        label, np.random.default_rng(0))
    wide = still((80, 200), scale_of='image').draw(label, np.random.default_rng(0), wanted=7)
    assert wide.source == (0, 0, 60, 100)


def test_hue_turns_about_grey():
    assert np.allclose(hue_matrix(120), np.roll(np.eye(3), 1, axis=0)) or np.allclose(
        hue_matrix(120), np.roll(np.eye(3), -1, axis=0))
    assert np.allclose(hue_matrix(25) @ hue_matrix(-25), np.eye(3))
    assert np.allclose(hue_matrix(33) @ [90, 90, 90], 90)
    image, label = picture(96, 128)
    image[..., 2] //= 2
    augment = Augment((96, 128), (1.0, 1.0), 0.0, 0.0, hue=30.0)
    out, _ = augment(image, label, np.random.default_rng(0))
    turned = image @ hue_matrix(augment.draw(label, np.random.default_rng(0)).hue).T
    assert np.abs(out - np.clip(turned, 0, 255)).max() <= 0.51 and (out != image).any()


def test_tones_are_curves_of_each_channel():
    assert (tone_curves((1.0, 1.0, 1.0, 1.0)) == np.arange(256)[:, None]).all()
    # Worked out by hand: 100 * 1.2 = 120 and 100 * 0.8 = 80; 300 is white; (80 / 255)**2 * 255.
    assert tone_curves((1.2, 0.8, 1.0, 1.0))[[100, 250]].tolist() == [[120, 80, 100],
                                                                      [255, 200, 250]]
    assert tone_curves((1.0, 0.8, 1.0, 2.0))[100].tolist() == [39, 25, 39]
    image, label = picture(96, 128)
    augment = Augment((96, 128), (1.0, 1.0), 0.0, 0.0, white_balance=0.2, gamma=0.5)
    out, same = augment(image, label, np.random.default_rng(0))
    curves = tone_curves(augment.draw(label, np.random.default_rng(0)).tone)
    for channel in range(3):
        assert (out[..., channel] == curves[image[..., channel], channel]).all()
    assert (same == label).all() and (out != image).any()


def test_tones_are_drawn_within_their_bounds():
    label = np.zeros((96, 128), np.uint8)
    augment = Augment((96, 128), white_balance=0.2, gamma=0.5)
    rng = np.random.default_rng(0)
    tones = np.array([augment.draw(label, rng).tone for _ in range(2000)])
    assert tones.min(0) == pytest.approx([0.8, 0.8, 0.8, 1 / 1.5], abs=0.01)
    assert tones.max(0) == pytest.approx([1.2, 1.2, 1.2, 1.5], abs=0.01)
    # Each has its own factor, and darker is as likely as brighter.
    assert np.abs(np.corrcoef(tones.T) - np.eye(4)).max() < 0.1
    assert np.median(tones, 0) == pytest.approx(1, abs=0.03)
    assert Augment((96, 128)).draw(label, rng).tone is None
    grey = Augment((96, 128), gamma=0.5).draw(label, rng).tone
    assert grey[:3] == (1, 1, 1) and grey[3] != 1


def test_settings_that_are_off_draw_as_before():
    """Runs of before are repeated by their seeds."""
    label = np.zeros((96, 128), np.uint8)
    plain, toned = (Augment((64, 64), hue=9.0, white_balance=tint) for tint in (0.0, 0.1))
    views = [augment.draw(label, np.random.default_rng(3)) for augment in (plain, toned)]
    assert dataclasses.replace(views[1], tone=None) == views[0]


def test_every_pixel_of_a_wanted_class_is_drawn_alike():
    label = np.zeros((9, 9), np.uint8)
    label[[0, 2, 2, 8], [0, 3, 8, 5]] = 4
    augment = Augment((1, 1), (1.0, 1.0), 0.0, 0.0, scale_of='image')
    places = [augment.draw(label, np.random.default_rng(seed), wanted=4).source[:2]
              for seed in range(400)]
    counts = {place: places.count(place) for place in places}
    assert set(counts) == {(0, 0), (2, 3), (2, 8), (8, 5)}
    assert min(counts.values()) > 70  # of 100 each; the standard deviation is 9
