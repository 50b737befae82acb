# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""A camera's calibration for masks of another size. No ROS here."""

from __future__ import annotations

from collections.abc import Sequence
import copy
from typing import Any

import numpy as np

CAMERA_INFO_TYPE = 'sensor_msgs/msg/CameraInfo'
_MOST = 2**32 - 1  # that a size or an offset holds


def fitted(info: Any, size: tuple[int, int]) -> Any:
    """Return a copy of a CameraInfo (of rclpy or rosbags) for a mask of the size (height, width).

    A mask of the size of the camera's images, which is that of the region of interest (the whole
    where there is none) over the binning, needs nothing. For another size the whole geometry is
    scaled: size, region, K and P, the principal point so that pixel centres stay where they are
    (OpenCV's convention, centres at whole numbers: c' = (c + 0.5) s - 0.5). Distortion and
    rectification are of angles and stay. What is unknown (zeros) stays so, too.
    """
    info = copy.copy(info)
    region = info.roi
    height = (region.height or info.height) // max(1, info.binning_y)
    width = (region.width or info.width) // max(1, info.binning_x)
    if not height or not width or (height, width) == size:
        return info
    y, x = size[0] / height, size[1] / width
    # What the mask covers, before binning: exactly, though the size need not be a multiple.
    tall, wide = size[0] * max(1, info.binning_y), size[1] * max(1, info.binning_x)
    top, left = round(region.y_offset * y), round(region.x_offset * x)
    # Rounding must not let the region end outside of the image.
    info.height = min(_MOST, max(round(info.height * y), top + tall) if region.height else tall)
    info.width = min(_MOST, max(round(info.width * x), left + wide) if region.width else wide)
    info.roi = copy.copy(region)
    for name, value in (
        ('x_offset', left), ('y_offset', top),
        ('width', region.width and wide), ('height', region.height and tall),
    ):
        setattr(info.roi, name, min(_MOST, value))
    if info.k[0]:
        info.k = _scaled(info.k, 3, x, y)
    if info.p[0]:
        info.p = _scaled(info.p, 4, x, y)
    return info


def _scaled(matrix: Sequence[float], columns: int, x: float, y: float) -> np.ndarray:
    """Return K (3 columns) or P (4), row by row, for an image x and y times as large."""
    values = [float(value) for value in matrix]
    for row, scale in ((0, x), (1, y)):
        begin = row * columns
        center = (values[begin + 2] + 0.5) * scale - 0.5
        values[begin:begin + columns] = [v * scale for v in values[begin:begin + columns]]
        values[begin + 2] = center
    return np.array(values)
