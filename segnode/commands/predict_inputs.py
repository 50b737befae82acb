# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""What ``predict`` is given: images, folders of images, videos, and the truth beside them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from segnode.errors import SegnodeError
from segnode.image_files import is_image_name

if TYPE_CHECKING:
    import numpy as np

    from segnode.labels import LabelSet


@dataclass(frozen=True)
class Frame:
    """One image to segment.

    Args:
        source: what to call it in answers.
        name: of its pictures.
        load: gives the image, uint8 (H, W, 3) BGR, and its truth, uint8 (H, W) train ids or
            None; SegnodeError where it cannot be read.
        video: the file, where it is one: then ``load`` is not called.
    """

    source: str
    name: str
    load: Callable[[], tuple[np.ndarray, np.ndarray | None]]
    video: Path | None = None


def frames_of(
    images: Sequence[Path], truth: Path | None = None
) -> Callable[[LabelSet], list[Frame]]:
    """Return what gives a frame for each file, once the model's classes are known.

    Args:
        images: images, folders of images, or videos.
        truth: folder of label pictures with the images' stems.

    Raises:
        SegnodeError: one of them is not there.
    """
    paths = image_paths(images)
    return lambda labels: _frames(paths, truth, labels)


def _frames(paths: Sequence[Path], truth: Path | None, labels: LabelSet) -> list[Frame]:
    """Return a frame for each file.

    Raises:
        SegnodeError: ``truth`` has no label picture for any of them.
    """
    truths = _truths(truth) if truth else {}
    if truth and not any(path.stem in truths for path in paths):
        raise SegnodeError(f'{truth} has no label picture with the stem of any image')
    return [
        Frame(str(path), name, _reader(path, truths.get(path.stem), labels),
              None if is_image_name(path) or _is_image(path) else path)
        for path, name in zip(paths, unique_names(paths))
    ]


def _truths(folder: Path) -> dict[str, Path]:
    try:
        return {path.stem: path for path in folder.iterdir() if is_image_name(path)}
    except OSError as error:
        raise SegnodeError(f'{folder} cannot be read: {error.strerror or error}') from error


def _reader(
    path: Path, truth: Path | None, labels: LabelSet
) -> Callable[[], tuple[np.ndarray, np.ndarray | None]]:
    def load() -> tuple[np.ndarray, np.ndarray | None]:
        from segnode.image_reading import read_image
        from segnode.label_files import read_labels

        image = read_image(path)
        if image is None:
            raise SegnodeError(f'{path} cannot be read as an image')
        known = read_labels(truth, labels) if truth else None
        if known is not None and known.shape != image.shape[:2]:
            raise SegnodeError(
                f'{path} is {image.shape[0]}x{image.shape[1]}, but its truth {truth} is '
                f'{known.shape[0]}x{known.shape[1]}'
            )
        return image, known
    return load


def _is_image(path: Path) -> bool:
    """Tell whether a file whose name does not say so is an image."""
    from segnode.image_reading import read_image

    return read_image(path) is not None


def image_paths(given: Sequence[Path]) -> list[Path]:
    """Return the files given, and the images in the folders given, in order of name."""
    paths = []
    for path in given:
        try:
            if path.is_dir():
                inside = sorted(filter(is_image_name, path.iterdir()))
                if not inside:
                    raise SegnodeError(f'there are no images in {path}')
                paths += inside
            elif path.is_file():
                paths.append(path)
            else:
                raise SegnodeError(f'there is no {path}')
        except OSError as error:
            raise SegnodeError(f'{path} cannot be read: {error.strerror or error}') from error
    return paths


def unique_names(paths: Sequence[Path]) -> list[str]:
    """Return a name for each file: its stem, numbered where an earlier file has it."""
    stems = {path.stem for path in paths}
    taken: set[str] = set()
    names = []
    for path in paths:
        name, count = path.stem, 1
        while name in taken or (count > 1 and name in stems):
            count += 1
            name = f'{path.stem}-{count}'
        taken.add(name)
        names.append(name)
    return names
