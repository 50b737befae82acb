# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""What ``predict`` writes: the pictures of an image, and the videos of a video."""

from __future__ import annotations

from collections.abc import Collection
import contextlib
from pathlib import Path
import sys
import time
from typing import TYPE_CHECKING

from segnode.errors import SegnodeError
from segnode.files import check_writable

if TYPE_CHECKING:
    import numpy as np

    from segnode.labels import LabelSet
    from segnode.segmenter import Segmentation

SAVES = ('labels', 'color', 'overlay', 'side', 'compare', 'uncertainty')


def pictures(
    image: np.ndarray,
    found: Segmentation,
    truth: np.ndarray | None,
    labels: LabelSet,
    *,
    saves: Collection[str],
    alpha: float,
    measure: str,
) -> dict[str, np.ndarray]:
    """Return the pictures of an image that are asked for and that there can be.

    Labels, their colours and the uncertainty have the size of ``found``, all else the image's.

    Args:
        image: uint8 (H, W, 3) BGR.
        found: what was seen in it.
        truth: uint8 (H, W) train ids, or None.
        labels: the classes.
        saves: of ``SAVES``.
        alpha: share of the colours in the overlay.
        measure: that the uncertainty picture shows.
    """
    from segnode.fitting import at_size
    from segnode.pictures import (
        color_picture,
        error_picture,
        overlay_picture,
        side_by_side,
        uncertainty_picture,
    )

    made = {'labels': found.labels}
    whole = at_size(found.labels, image.shape[:2])
    if {'color', 'side', 'compare'} & set(saves):
        colors = color_picture(whole, labels)
        made['color'] = colors
        if whole is not found.labels:
            made['color'] = color_picture(found.labels, labels)
    if {'overlay', 'side'} & set(saves):
        made['overlay'] = overlay_picture(image, whole, labels, alpha)
    if 'side' in saves:
        made['side'] = side_by_side(image, colors, made['overlay'])
    if 'compare' in saves and truth is not None:
        made['compare'] = side_by_side(
            image, color_picture(truth, labels), colors,
            error_picture(image, whole, truth, labels.num_classes))
    if found.uncertainty is not None:
        made['uncertainty'] = uncertainty_picture(found.uncertainty, measure)
    return {kind: picture for kind, picture in made.items() if kind in saves}


def write_picture(path: Path, picture: np.ndarray) -> None:
    """Write a PNG.

    Raises:
        SegnodeError: it cannot be written.
    """
    import cv2

    if not cv2.imwrite(str(path), picture):
        raise SegnodeError(f'{path} cannot be written')


class VideoFiles(contextlib.ExitStack):
    """Writes the pictures of a video's frames: labels as PNGs in a folder, all else as mp4.

    The mp4 appear when the ``with`` block ends well.

    Args:
        folder: to write to.
        name: of the video.
        rate: frames per second.
        kinds: of the pictures that may come, of ``SAVES``.

    Attributes:
        paths: of what is written, by kind.

    Raises:
        SegnodeError: what one of them is to be written to cannot be.
    """

    def __init__(self, folder: Path, name: str, rate: float, kinds: Collection[str]) -> None:
        super().__init__()
        self.folder, self.name, self.rate = folder, name, rate
        self.paths: dict[str, Path] = {}
        self._frames = 0
        for kind in kinds:  # now, for a video may take hours
            path = self._path(kind)
            check_writable(path / '000000.png' if kind == 'labels' else path)

    def add(self, made: dict[str, np.ndarray]) -> None:
        """Write the pictures of the next frame.

        Raises:
            SegnodeError: a file cannot be written.
        """
        from segnode.video import VideoWriter

        if not self._frames:
            self.paths = {kind: self._path(kind) for kind in made}
            self._writers = {
                kind: self.enter_context(VideoWriter(path, self.rate))
                for kind, path in self.paths.items() if kind != 'labels'
            }
        for kind, picture in made.items():
            if kind == 'labels':
                write_picture(self.paths[kind] / f'{self._frames:06}.png', picture)
            else:
                self._writers[kind].write(picture)
        self._frames += 1

    def _path(self, kind: str) -> Path:
        return self.folder / f'{self.name}_{kind}{"" if kind == "labels" else ".mp4"}'


class Progress:
    """Says on a terminal how far a video is; nothing where there is no terminal."""

    def __init__(self, name: str, count: int, quiet: bool) -> None:
        self.name, self.count = name, count
        self.on = sys.stderr.isatty() and not quiet
        self.began = self.said = time.monotonic()

    def show(self, number: int) -> None:
        """Say that so many frames are done."""
        now = time.monotonic()
        if self.on and (now - self.said > 0.5 or number == self.count):
            self.said = now
            of = f' of {self.count}' if self.count else ''
            end = '\n' if number == self.count else ''
            print(f'\r{self.name}: {number}{of} frames, {number / (now - self.began):.1f} a '
                  'second ', end=end, file=sys.stderr, flush=True)
