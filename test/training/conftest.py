# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""A small dataset in CamVid's layout, drawn by our own renderer."""

import cv2
import pytest


@pytest.fixture(scope='session')
def rendered_camvid(tmp_path_factory):
    """Return a folder with 8 training and 3 validation frames of 144x192."""
    from segnode.road_scene import RoadScene

    root = tmp_path_factory.mktemp('camvid')
    for split, count, seed in (('train', 8, 1), ('val', 3, 2)):
        scene = RoadScene(144, 192, seed=seed)
        for kind in ('images', 'labels'):
            (root / split / kind).mkdir(parents=True)
        for index in range(count):
            image, label = scene.frame(10 * index)
            cv2.imwrite(str(root / split / 'images' / f'{split}_{index}.png'), image)
            cv2.imwrite(str(root / split / 'labels' / f'{split}_{index}.png'), label)
    return root
