# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures of a run: a video and a strip of image | colour mask | overlay. No ROS here."""

from __future__ import annotations

from pathlib import Path
import statistics

import cv2
import numpy as np

from segnode.files import write_result
from segnode.fitting import at_size

PANEL_WIDTH = 640  # pixels; wider images are shrunk to it
STRIP_ROWS = 4
FRAMES_BEFORE_VIDEO = 5  # held until the frame rate is known
CODEC, VIDEO_NAME = 'mp4v', 'segmentation.mp4'
STRIP_NAME = 'segmentation.png'


def panel(image: np.ndarray) -> np.ndarray:
    """Shrink an image to what a panel shows of it; the image itself where it fits.

    Args:
        image: uint8 (H, W, 3).

    Returns:
        uint8 (h, w, 3) with w at most 640, both sides even, as video codecs want them.
    """
    height, width = image.shape[:2]
    scale = min(1.0, PANEL_WIDTH / width)
    size = (max(2, round(width * scale) // 2 * 2), max(2, round(height * scale) // 2 * 2))
    if size == (width, height):
        return image
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def side_by_side(*panels: np.ndarray) -> np.ndarray:
    """Put images of one size beside each other.

    Args:
        panels: uint8 (H, W, 3), all of one size.

    Returns:
        uint8 (h, n * w, 3), each shrunk by ``panel``.
    """
    return np.hstack([panel(image) for image in panels])


class Strip:
    """A few rows, evenly spread over a sequence whose length is not known beforehand."""

    def __init__(self, rows: int = STRIP_ROWS) -> None:
        self._rows = rows
        self._stride = 1
        self._seen = 0
        self._kept: list[np.ndarray] = []

    def add(self, row: np.ndarray) -> None:
        """Take a row: uint8 (h, w, 3)."""
        if self._seen % self._stride == 0:
            self._kept.append(row)
            if len(self._kept) >= 4 * self._rows:  # thin out: every other one, twice the stride
                self._kept = self._kept[::2]
                self._stride *= 2
        self._seen += 1

    def picture(self) -> np.ndarray | None:
        """Return the rows below each other, or None when there were none."""
        if not self._kept:
            return None
        count = min(self._rows, len(self._kept))
        chosen = np.linspace(0, len(self._kept) - 1, count).round().astype(int)
        rows = [self._kept[index] for index in chosen]
        rows = [row for row in rows if row.shape == rows[0].shape]
        return np.vstack(rows)


class Album:
    """Writes the video as frames come, and the strip at the end.

    Args:
        folder: made where it is not there; files of an earlier run are overwritten.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for name in (VIDEO_NAME, STRIP_NAME):
            (folder / name).unlink(missing_ok=True)
        self._strip = Strip()
        self._waiting: list[tuple[float, np.ndarray]] = []
        self._writer: cv2.VideoWriter | None = None
        self._size: tuple[int, int] | None = None
        self.frames = 0

    def add(self, seconds: float, image: np.ndarray, color: np.ndarray,
            overlay: np.ndarray) -> None:
        """Take one frame: its time, and three uint8 (H, W, 3) BGR images.

        The colours may be smaller than the other two, as the labels then are.
        """
        row = side_by_side(image, at_size(color, image.shape[:2]), overlay)
        self._strip.add(row)
        self.frames += 1
        if self._writer is not None:
            self._write(row)
            return
        self._waiting.append((seconds, row))
        if len(self._waiting) >= FRAMES_BEFORE_VIDEO:
            self._open()

    def close(self) -> list[Path]:
        """Finish the files and return those that there are, the video first.

        Raises:
            SegnodeError: the strip cannot be written.
        """
        if self._writer is None and self._waiting:
            self._open()
        if self._writer is not None:
            self._writer.release()
        video = self._folder / VIDEO_NAME
        if video.exists() and not _readable(video):
            video.unlink()  # this OpenCV has no working codec: the strip must do
        picture = self._strip.picture()
        if picture is not None:
            write_result(self._folder / STRIP_NAME, cv2.imencode('.png', picture)[1].tobytes())
        return [path for path in (video, self._folder / STRIP_NAME) if path.exists()]

    def _open(self) -> None:
        times = [seconds for seconds, _ in self._waiting]
        gaps = [later - earlier for earlier, later in zip(times, times[1:]) if later > earlier]
        rate = min(60.0, max(1.0, 1.0 / statistics.median(gaps))) if gaps else 10.0
        height, width = self._waiting[0][1].shape[:2]
        self._size = (width, height)
        self._writer = cv2.VideoWriter(
            str(self._folder / VIDEO_NAME), cv2.VideoWriter.fourcc(*CODEC), rate, self._size)
        for _, row in self._waiting:
            self._write(row)
        self._waiting.clear()

    def _write(self, row: np.ndarray) -> None:
        assert self._writer is not None and self._size is not None
        if (row.shape[1], row.shape[0]) != self._size:  # the camera changed its size
            row = cv2.resize(row, self._size, interpolation=cv2.INTER_AREA)
        self._writer.write(row)


def _readable(video: Path) -> bool:
    capture = cv2.VideoCapture(str(video))
    try:
        return bool(capture.isOpened() and capture.read()[0])
    finally:
        capture.release()
