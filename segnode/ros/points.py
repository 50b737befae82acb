# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Labels and depth of one frame as points of a pinhole camera. No ROS here.

The bytes of a PointCloud2 are built here with NumPy, not by sensor_msgs_py: that package comes
with a ROS installation only (there is no wheel of it), and this is all that would be used of it. A
test compares the two where it is installed.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
import functools
from typing import Any

import numpy as np

from segnode.labels import IGNORE, LabelSet
from segnode.ros.image_codec import DecodeError

# What pcl::PointXYZRGBL and PointXYZL take as it is: PCL asks for its own name and type of a field
# (FieldMatches in its PCLPointField.h) and leaves out what has another type (its issue #3518), or
# in newer versions casts it with a warning. So the label is uint32, though ids fit into a byte.
# Red, green and blue are the low bytes of 'rgb', which the message must call a float32 (its issue
# #3383). No padding: readers that reckon the size of a point from its fields find the same.
OFFSETS = {'x': 0, 'y': 4, 'z': 8, 'rgb': 12, 'label': 16}  # bytes in a point
POINT = np.dtype({
    'names': list(OFFSETS),
    'formats': ['f4', 'f4', 'f4', 'u4', 'u4'],
    'offsets': list(OFFSETS.values()),
})
MILLIMETRE = np.float32(0.001)
DEPTH_TYPES = {'16UC1': 'u2', 'mono16': 'u2', '32FC1': 'f4'}  # mm, mm, m (REP 118)
LABEL_TYPES = {'mono8': 'u1', '8UC1': 'u1'}


@dataclass(frozen=True)
class Intrinsics:
    """Focal lengths and principal point in pixels, pixel centres at whole numbers."""

    fx: float
    fy: float
    cx: float
    cy: float

    @classmethod
    def of(cls, info: Any) -> Intrinsics:
        """Return those of the images that a CameraInfo comes with.

        Of P, which rectified images have, or of K without P. Both are of the whole sensor: region
        of interest and binning are applied here (sensor_msgs/msg/CameraInfo.msg).

        Raises:
            DecodeError: the camera is not calibrated.
        """
        k, p = info.k, info.p
        fx, fy, cx, cy = (p[0], p[5], p[2], p[6]) if p[0] else (k[0], k[4], k[2], k[5])
        if not (fx > 0 and fy > 0 and np.isfinite([fx, fy, cx, cy]).all()):
            raise DecodeError('camera_info holds no calibration: the focal lengths of P and K are '
                              f'{fx:g} and {fy:g}')
        region, x, y = info.roi, max(1, info.binning_x), max(1, info.binning_y)
        # A binned pixel's centre is that of the pixels it is made of.
        return cls(float(fx) / x, float(fy) / y, (float(cx) - region.x_offset + 0.5) / x - 0.5,
                   (float(cy) - region.y_offset + 0.5) / y - 0.5)


def plane(msg: Any, types: dict[str, str], what: str) -> np.ndarray:
    """Return the picture of an Image message of one channel, without a copy.

    Args:
        msg: Image message.
        types: of each encoding that may be, the type of its values.
        what: to call it in an error.

    Raises:
        DecodeError: another encoding, or sizes that do not fit each other.
    """
    if msg.encoding not in types:
        raise DecodeError(f'{what} must be {" or ".join(types)}, not {msg.encoding!r}')
    kind = np.dtype(types[msg.encoding]).newbyteorder('>' if msg.is_bigendian else '<')
    height, width, step = int(msg.height), int(msg.width), int(msg.step)
    data = np.frombuffer(msg.data, np.uint8) if len(msg.data) else np.empty(0, np.uint8)
    if not height or not width or step < width * kind.itemsize \
            or data.size < step * (height - 1) + width * kind.itemsize:
        raise DecodeError(f'{what}: {data.size} bytes are no {width}x{height} {msg.encoding} '
                          f'with a step of {step}')
    return np.ndarray((height, width), kind, data, strides=(step, kind.itemsize))


def metres(depth: np.ndarray) -> np.ndarray:
    """Return depth as float32 m: whole numbers are mm."""
    if depth.dtype.kind == 'u':
        return np.multiply(depth, MILLIMETRE, dtype=np.float32)
    return depth.astype(np.float32, copy=False)


class CloudMaker:
    """Makes clouds of one label set's labels.

    Args:
        label_set: gives the colours.
        classes: names of the classes to keep; all, and what is unlabelled, where it is empty.
        stride: of every so many rows and columns of the depth image one.
        organized: one point for each of these pixels, NaN where there is none; else only those
            that there are.
        max_depth: m, beyond which there is none; 0 is no limit.

    Raises:
        ValueError: the set has no such class.
    """

    def __init__(self, label_set: LabelSet, classes: Collection[str] = (), *, stride: int = 1,
                 organized: bool = False, max_depth: float = 0.0) -> None:
        for name in classes:
            if name not in label_set.names:
                raise ValueError(f'"{label_set.name}" has no class {name!r}, but '
                                 f'{", ".join(label_set.names)}')
        red, green, blue = label_set.palette.T.astype(np.uint32)
        self._colors = red << 16 | green << 8 | blue
        self._kept: np.ndarray | None = None
        if classes:
            self._kept = np.zeros(IGNORE + 1, bool)
            self._kept[[label_set.names.index(name) for name in classes]] = True
        self._stride = stride
        self._organized = organized
        self._max_depth = max_depth

    def make(self, labels: np.ndarray, depth: np.ndarray, intrinsics: Intrinsics) -> np.ndarray:
        """Return the points in the camera's optical frame: x right, y down, z ahead, in m.

        Args:
            labels: uint8 (h, w); the whole of what the depth image shows, at whatever size.
            depth: uint16 (H, W) in mm, 0 unknown, or float32 in m, unknown where it is not above
                0 or not finite.
            intrinsics: for the depth image.

        Returns:
            ``POINT``s, (rows, columns) if organized, else (n,), row by row.
        """
        picked = (slice(None, None, self._stride),) * 2
        z = metres(depth[picked])
        labels = _as_seen(labels, depth.shape, self._stride)
        known = z > 0
        known &= z <= (self._max_depth or np.finfo(np.float32).max)
        if self._kept is not None:
            known &= self._kept[labels]
        x, y = _rays(intrinsics, (depth.shape[0], depth.shape[1]), self._stride)
        if self._organized:
            z = np.where(known, z, np.float32(np.nan))
            x, y = x[None], y[:, None]
        else:
            index = np.flatnonzero(known)
            rows, columns = np.divmod(index.astype(np.uint32), np.uint32(z.shape[1]))
            z, labels, x, y = z.ravel()[index], labels.ravel()[index], x[columns], y[rows]
        points = np.zeros(z.shape, POINT)
        with np.errstate(all='ignore'):  # of the NaN that are there on purpose
            np.multiply(x, z, out=points['x'])
            np.multiply(y, z, out=points['y'])
        points['z'] = z
        points['rgb'] = self._colors[labels]
        points['label'] = labels
        return points


def _as_seen(labels: np.ndarray, size: tuple[int, ...], stride: int) -> np.ndarray:
    """Return the nearest label of every stride-th pixel of an image of (height, width)."""
    if labels.shape == size:
        return labels[::stride, ::stride]
    rows, columns = _nearest(labels.shape, size, stride)
    return labels[rows[:, None], columns]


@functools.lru_cache(4)
def _nearest(
    have: tuple[int, ...], want: tuple[int, ...], stride: int
) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = (
        ((2 * np.arange(0, big, stride) + 1) * small // (2 * big)).astype(np.intp)
        for small, big in zip(have, want))
    return rows, columns


@functools.lru_cache(4)
def _rays(
    camera: Intrinsics, size: tuple[int, int], stride: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return x / z of the columns and y / z of the rows, float32."""
    x = (np.arange(0, size[1], stride) - camera.cx) / camera.fx
    y = (np.arange(0, size[0], stride) - camera.cy) / camera.fy
    return x.astype(np.float32), y.astype(np.float32)
