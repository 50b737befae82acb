# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Augmentation keeps image and label together."""

import cv2
import numpy as np

from training.augment import Augment, jitter_color


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


def test_jitter_by_hand():
    class Fixed:

        def uniform(self, low, high, count):
            return np.array([0.1, 0.0, 0.0])  # brightness 1.1

    image = np.full((4, 4, 3), 100, np.uint8)
    assert (jitter_color(image, 0.3, Fixed()) == 110).all()
