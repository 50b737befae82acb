# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""One list of image suffixes, the same wherever a folder of images is read."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from segnode.commands.predict_inputs import image_paths
from segnode.image_files import IMAGE_SUFFIXES, is_image_name
from segnode.ros.frame_sources import FolderSource
from training.datasets.base import files_by_stem, read_image


def test_names() -> None:
    assert is_image_name(Path('a.PNG')) and is_image_name(Path('b/a.tiff'))
    assert not is_image_name(Path('png')) and not is_image_name(Path('a.mp4'))


@pytest.mark.parametrize('suffix', IMAGE_SUFFIXES)
def test_each_is_read_everywhere(suffix: str, tmp_path: Path) -> None:
    from segnode.benchmarking.images import load_images

    path = tmp_path / f'a{suffix}'
    grey = np.full((8, 8) if suffix == '.pgm' else (8, 8, 3), 90, np.uint8)
    assert cv2.imwrite(str(path), grey)
    assert read_image(path).shape == (8, 8, 3)
    assert files_by_stem(tmp_path) == {'a': path}
    assert image_paths([tmp_path]) == [path]
    assert [frame.image.shape for frame in FolderSource(tmp_path)] == [(8, 8, 3)]
    assert len(load_images(tmp_path, (8, 8))) == 1
