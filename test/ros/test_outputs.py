# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The pictures that the node publishes of one frame."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip('rclpy')

from segnode.labels import IGNORE, load_label_set
from segnode.pictures import overlay_picture
from segnode.ros.outputs import Result


def result(alpha: float) -> Result:
    """Return a frame whose left third is unlabelled."""
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 11, (30, 60), np.uint8)
    labels[:, :20] = IGNORE
    image = generator.integers(0, 256, (30, 60, 3), np.uint8)
    return Result(image, labels, None, load_label_set('camvid'), {'overlay_alpha': alpha})


@pytest.mark.parametrize('alpha', [0.0, 0.3, 1.0])
def test_overlay_leaves_unlabelled_pixels_as_they_are(alpha: float) -> None:
    """Colours elsewhere, mixed by alpha; the same picture as the command line makes."""
    frame = result(alpha)
    rgb = frame.image[..., ::-1]
    np.testing.assert_array_equal(frame.overlay[:, :20], rgb[:, :20])
    expected = alpha * frame.color[:, 20:] + (1 - alpha) * rgb[:, 20:]
    assert np.abs(frame.overlay[:, 20:] - expected).max() <= 1.0
    np.testing.assert_array_equal(
        frame.overlay[..., ::-1],
        overlay_picture(frame.image, frame.labels, frame.label_set, alpha))


def test_each_picture_is_made_once() -> None:
    """The JPEG and the raw overlay share one blend, the overlay and the colours one look-up."""
    frame = result(0.5)
    assert frame.overlay is frame.overlay and frame.color is frame.color
