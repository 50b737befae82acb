# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Fitting an image to the network and its labels back to the image."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from segnode.errors import SegnodeError
from segnode.fitting import fit_image, FITS

SIZE = (128, 256)


def _halves(height: int, width: int) -> np.ndarray:
    """Return an image whose left half is 0 and whose right half is 200."""
    image = np.zeros((height, width, 3), np.uint8)
    image[:, width // 2:] = 200
    return image


def test_same_size_is_the_same_array() -> None:
    image = _halves(*SIZE)
    fitted, placement = fit_image(image, SIZE)
    assert fitted is image
    labels = np.zeros(SIZE, np.uint8)
    assert np.shares_memory(placement.restore(labels), labels)


def test_a_view_becomes_contiguous() -> None:
    image = _halves(128, 512)[:, ::2]
    fitted, _ = fit_image(image, SIZE)
    assert fitted.flags.c_contiguous
    assert (fitted == image).all()


@pytest.mark.parametrize('fit', FITS)
@pytest.mark.parametrize('height, width', [
    (360, 480), (128, 256), (1, 1), (1, 999), (999, 1), (64, 128), (131, 257), (1080, 1920),
    (100, 900),
])
def test_sizes_and_edges(fit: str, height: int, width: int) -> None:
    image = _halves(height, width)
    fitted, placement = fit_image(image, SIZE, fit)
    assert fitted.shape == (*SIZE, 3)
    assert fitted.dtype == np.uint8
    labels = (fitted[..., 0] > 100).astype(np.uint8)
    restored = placement.restore(labels)
    assert restored.shape == (height, width)
    assert restored.dtype == np.uint8
    seen = restored != 255
    truth = image[..., 0] > 100
    # The edge may move by one pixel of the network, which is width / 256 of the image's.
    columns = np.arange(width)
    near = abs(columns - width // 2) <= max(2, 2 * width / min(SIZE), 2 * height / min(SIZE))
    wrong = seen & (restored != truth)
    assert not wrong[:, ~near].any()
    if fit != 'crop':
        assert seen.all()


def test_letterbox_keeps_the_aspect_and_pads_black() -> None:
    image = np.full((100, 100, 3), 255, np.uint8)
    fitted, _ = fit_image(image, SIZE, 'letterbox')
    assert (fitted[:, 64:192] == 255).all()
    assert not fitted[:, :64].any() and not fitted[:, 192:].any()


def test_crop_cuts_both_sides_alike() -> None:
    image = np.full((100, 400, 3), 9, np.uint8)
    image[:, :100] = image[:, 300:] = 77
    fitted, placement = fit_image(image, SIZE, 'crop')
    assert (fitted == 9).all()
    restored = placement.restore(np.full(SIZE, 4, np.uint8))
    assert (restored[:, 100:300] == 4).all()
    assert (restored[:, :100] == 255).all() and (restored[:, 300:] == 255).all()
    assert (placement.restore(np.full(SIZE, 4, np.uint8), outside=0)[:, 0] == 0).all()


def test_shrinking_averages_and_enlarging_interpolates() -> None:
    stripes = np.zeros((256, 512, 3), np.uint8)
    stripes[:, ::2] = 200
    assert (fit_image(stripes, SIZE)[0] == 100).all()
    ramp = np.repeat(np.array([[0, 100]], np.uint8), 2, 0)[..., None].repeat(3, 2)
    assert len(np.unique(fit_image(ramp, SIZE)[0])) > 50


def test_nearest_takes_the_pixel_whose_centre_is_nearest() -> None:
    labels = np.arange(128, dtype=np.uint8)[:, None].repeat(256, 1)
    _, placement = fit_image(np.zeros((384, 768, 3), np.uint8), SIZE)
    restored = placement.restore(labels)
    assert (restored[:, 0] == np.arange(384) // 3).all()
    _, placement = fit_image(np.zeros((120, 240, 3), np.uint8), SIZE)
    restored = placement.restore(labels)
    centres = (np.arange(120) + 0.5) * 128 / 120
    between = centres == np.round(centres)  # as near to the one as to the other
    assert (restored[~between, 0] == np.floor(centres[~between])).all()


def test_grey_images() -> None:
    fitted, _ = fit_image(np.zeros((50, 50), np.uint8), SIZE, 'letterbox')
    assert fitted.shape == SIZE


@pytest.mark.parametrize('image', [
    np.zeros((0, 10, 3), np.uint8), np.zeros((10, 10, 3), np.float32), np.zeros(10, np.uint8),
])
def test_no_image(image: np.ndarray) -> None:
    with pytest.raises(SegnodeError):
        fit_image(image, SIZE)


def test_unknown_fit() -> None:
    with pytest.raises(SegnodeError, match='stretch, letterbox or crop'):
        fit_image(_halves(10, 10), SIZE, 'pad')


@pytest.mark.parametrize('fit', FITS)
def test_one_pixel_never_reaches_opencv(fit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused by OpenCV 4.5.4 (Ubuntu 22.04) with NumPy 1.21."""
    really = cv2.resize

    def resize(image: np.ndarray, *args: Any, **kwargs: Any) -> Any:
        assert image.shape[:2] != (1, 1)
        return really(image, *args, **kwargs)

    monkeypatch.setattr(cv2, 'resize', resize)
    for image in (np.full((1, 1, 3), 7, np.uint8), np.full((1, 1), 7, np.uint8)):
        fitted, placement = fit_image(image, SIZE, fit)
        assert fitted.shape == (*SIZE, *image.shape[2:]) and fitted.flags.writeable
        assert set(np.unique(fitted)) <= {0, 7} and (fitted[:, 128] == 7).all()
        assert (placement.restore(np.full(SIZE, 4, np.uint8)) == 4).all()
    _, placement = fit_image(np.zeros((9, 9, 3), np.uint8), (1, 1), fit)
    assert (placement.restore(np.full((1, 1), 4, np.uint8)) == 4).all()
