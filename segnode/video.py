# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Video files by OpenCV: frames out of any that it reads, and mp4 in."""

from __future__ import annotations

from collections.abc import Iterator
import os
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np

from segnode.errors import SegnodeError

DEFAULT_RATE = 25.0  # Hz, of a file that does not say
CODEC = 'mp4v'  # MPEG-4 part 2, which OpenCV's wheels and the distributions' builds all have


class VideoReader:
    """The frames of a video file, uint8 (H, W, 3) BGR; iterating again starts again.

    Attributes:
        rate: frames per second.
        count: how many frames the file states, 0 where it does not; some files are wrong.

    Raises:
        SegnodeError: OpenCV reads no frame of it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        capture = self._open()
        try:
            rate = capture.get(cv2.CAP_PROP_FPS)
            count = capture.get(cv2.CAP_PROP_FRAME_COUNT)
            readable = capture.read()[0]
        finally:
            capture.release()
        if not readable:
            raise SegnodeError(f'{path} cannot be read as an image or a video')
        self.rate = float(rate) if 0 < rate < 1000 else DEFAULT_RATE
        self.count = int(count) if 0 < count < 1e9 else 0

    def _open(self) -> cv2.VideoCapture:
        capture = cv2.VideoCapture(str(self.path))
        if not capture.isOpened():
            raise SegnodeError(f'{self.path} cannot be read as an image or a video')
        return capture

    def __iter__(self) -> Iterator[np.ndarray]:
        capture = self._open()
        try:
            while True:
                readable, image = capture.read()
                if not readable:
                    return
                yield image
        finally:
            capture.release()


class VideoWriter:
    """Writes an mp4, whole or not at all: the file appears when the ``with`` block ends well.

    Args:
        path: of the file, ``*.mp4``.
        rate: frames per second.

    Raises:
        SegnodeError: at the end of the block, the file cannot take its place; its draft stays.
    """

    def __init__(self, path: Path, rate: float) -> None:
        self.path, self.rate = path, rate
        self._draft = path.with_name(f'.{path.stem}.draft{path.suffix}')
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)

    def __enter__(self) -> VideoWriter:
        return self

    def write(self, bgr: np.ndarray) -> None:
        """Append one frame, uint8 (H, W, 3); all are of the first one's size.

        Codecs want even sides: the last row or column of an odd one is repeated.

        Raises:
            SegnodeError: OpenCV cannot write the file.
        """
        height, width = bgr.shape[:2]
        if height % 2 or width % 2:
            bgr = cv2.copyMakeBorder(bgr, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
        if self._writer is None:
            self._size = (bgr.shape[1], bgr.shape[0])
            self._writer = cv2.VideoWriter(
                str(self._draft), cv2.VideoWriter.fourcc(*CODEC), self.rate, self._size)
            if not self._writer.isOpened():
                raise SegnodeError(f'{self.path} cannot be written: there is no such folder, or '
                                   f'this OpenCV has no {CODEC} codec')
        if (bgr.shape[1], bgr.shape[0]) != self._size:
            bgr = cv2.resize(bgr, self._size, interpolation=cv2.INTER_AREA)
        self._writer.write(bgr)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._writer is not None:
            self._writer.release()
        if error is None and self._draft.exists():
            try:
                os.replace(self._draft, self.path)
            except OSError as reason:
                raise SegnodeError(
                    f'{self.path} cannot be written: {reason.strerror or reason}; the video is '
                    f'{self._draft}'
                ) from reason
        self._draft.unlink(missing_ok=True)
