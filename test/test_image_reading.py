# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""A file that OpenCV cannot read is named, whichever way OpenCV says so."""

import cv2
from damaged_pictures import oversized_png
import numpy as np
import pytest

from segnode.benchmarking.images import load_images
from segnode.errors import SegnodeError
from segnode.image_reading import read_image
from segnode.label_files import read_labels
from segnode.labels import load_label_set
from segnode.ros.frame_sources import FolderSource


def test_what_imread_returns(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    cv2.imwrite(str(tmp_path / 'good.png'), image)
    assert (read_image(tmp_path / 'good.png') == image).all()
    grey = read_image(tmp_path / 'good.png', cv2.IMREAD_GRAYSCALE)
    assert grey is not None and grey.shape == (5, 7)
    (tmp_path / 'text.png').write_text('no picture')
    assert read_image(tmp_path / 'text.png') is None
    assert read_image(tmp_path / 'missing.png') is None


def test_a_header_that_claims_too_much(tmp_path):
    path = oversized_png(tmp_path / 'a.png')
    assert read_image(path) is None
    for read in (
        lambda: read_labels(path, load_label_set('camvid')),
        lambda: load_images(tmp_path, (32, 32)),
        lambda: list(FolderSource(tmp_path)),
    ):
        with pytest.raises(SegnodeError, match=r'a\.png'):
            read()
