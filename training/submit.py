# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The files that the servers of Cityscapes and BDD100K take, written and then checked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
import os
from pathlib import Path
import re
import zipfile

import numpy as np
from tqdm import tqdm

from segnode.errors import SegnodeError
from segnode.files import check_writable, replacing
from segnode.labels import IGNORE, LabelSet, load_label_set
from training.datasets.base import read_ids, read_image
from training.datasets.registry import dataset
from training.evaluate import save_labels, Segments


@dataclass(frozen=True)
class Server:
    """What a benchmark's server takes: one PNG of one 8-bit channel for every image.

    Args:
        label_set: name of the classes that it evaluates.
        size: (height, width) of the images, and so of the files; None for any.
        key: what a frame's key looks like, a regular expression.
        name: key -> file name.
        table: classes -> uint8 (256,), train id to what is written.
        folder: where the files go unless the user says.
        source: where this is documented.
    """

    label_set: str
    size: tuple[int, int] | None
    key: str
    name: Callable[[str], str]
    table: Callable[[LabelSet], np.ndarray]
    folder: Callable[[Path], Path]
    source: str

    def allowed(self, classes: LabelSet) -> np.ndarray:
        """Return the values that a file may hold."""
        return np.unique(self.table(classes)[[*range(classes.num_classes), IGNORE]])


def _cityscapes_folder(root: Path) -> Path:
    named = os.environ.get('CITYSCAPES_RESULTS')
    return Path(named).expanduser() if named else root / 'results'


SERVERS = {
    'cityscapes': Server(
        label_set='cityscapes',
        size=(1024, 2048),
        key=r'[A-Za-z-]+_\d{6}_\d{6}',
        name=lambda key: f'{key}_labelIds.png',
        # Label ids, not train ids; what is no class is 0, "unlabeled".
        table=lambda classes: classes.train_to_raw,
        folder=_cityscapes_folder,
        source='cityscapesScripts evaluation/evalPixelLevelSemanticLabeling.py: getPrediction '
        'looks for CITY_SEQUENCE_FRAME*.png in CITYSCAPES_RESULTS, else below the dataset in '
        'results, and stops where it finds two; pixels are label ids.',
    ),
    'bdd100k': Server(
        label_set='cityscapes',
        # 720x1280 as published, but some images of train and val are turned by 90 degrees.
        size=None,
        key=r'.+',
        name=lambda key: f'{key}.png',
        # Train ids, as its own masks; 255 is unknown and is counted as wrong.
        table=lambda classes: np.arange(256, dtype=np.uint8),
        folder=lambda root: root / 'results',
        source='bdd100k doc/source/evaluate.rst: for semantic segmentation the server takes a '
        'folder of masks; doc/source/format.rst: PNG of one 8-bit channel, train ids 0 to 18; '
        'bdd100k/common/utils.py pairs them with the images by stem.',
    ),
}


@dataclass(frozen=True)
class Submission:
    """What was written.

    Args:
        folder: of the files.
        files: how many.
        archive: the zip file, None where none was asked for.
        warning: what is to be known of it; '' for nothing.
    """

    folder: Path
    files: int
    archive: Path | None = None
    warning: str = ''


def submit(
    segmenter: Segments,
    spec: str,
    root: str | None = None,
    *,
    out: Path | None = None,
    archive: bool = False,
    partial: bool = False,
    progress: bool = True,
) -> Submission:
    """Segment the images of a split, with or without labels, and write what its server takes.

    Args:
        segmenter: a model with the server's classes.
        spec: DATASET:SPLIT, such as cityscapes:test.
        root: the dataset's folder; by default its variable says.
        out: folder for the files; by default the server's script says.
        archive: pack them into OUT.zip, too.
        partial: go on though the split is not complete.
        progress: show a bar.

    Raises:
        SegnodeError: there is no server for that dataset, the model has other classes, the split
            is not complete, the folder holds other files, or a file did not come out right.
    """
    name, _, split = spec.partition(':')
    if name not in SERVERS or not split:
        raise SegnodeError(
            f'Files are made for {" and ".join(SERVERS)}, such as cityscapes:test, not "{spec}".'
        )
    server, data = SERVERS[name], dataset(name)
    classes = load_label_set(server.label_set)
    if segmenter.label_set.names != classes.names:
        raise SegnodeError(
            f'The model knows the classes of "{segmenter.label_set.name}", but the {name} server '
            f'takes those of "{classes.name}".'
        )
    folder = data.folder(root)
    images = data.images(folder, split)
    _check_keys(server, images)
    expected = data.counts.get(split, len(images))
    incomplete = ''
    if len(images) != expected:
        incomplete = f'{spec} has {len(images)} images here, but {expected} were published.'
        if not partial:
            raise SegnodeError(f'{incomplete} --partial goes on with what there is.')
    target = out or server.folder(folder)
    wanted = {key: target / server.name(key) for key in sorted(images)}
    _check_folder(target, set(wanted.values()))
    if archive:
        check_writable(_archive(target))  # before all the images
    table = server.table(classes)
    keys = list(wanted)
    bar = tqdm(zip(keys, _read_ahead([images[key] for key in keys])), total=len(keys), desc=spec,
               unit='image', leave=False, disable=None if progress else True)
    sizes = {}
    for key, image in bar:
        sizes[wanted[key]] = image.shape[:2]
        if server.size and image.shape[:2] != server.size:
            raise SegnodeError(
                f'{images[key]} is {image.shape[0]}x{image.shape[1]}, but the images of {name} '
                f'are {server.size[0]}x{server.size[1]}.'
            )
        save_labels(wanted[key], table[segmenter.segment(image).labels])
    check(target, sizes, server.allowed(classes), progress)
    packed = _pack(target, list(wanted.values())) if archive else None
    return Submission(target, len(wanted), packed, incomplete)


def check(
    folder: Path, sizes: Mapping[Path, tuple[int, ...]], allowed: np.ndarray, progress: bool = True
) -> None:
    """Read back what was written: names, number, sizes, channels, values.

    Args:
        folder: of the files.
        sizes: (height, width) of each file that is to be there; no others are to be.
        allowed: values that they may hold.
        progress: show a bar.

    Raises:
        SegnodeError: names the first file that is not as the server takes it.
    """
    found = set(folder.rglob('*.png'))
    if found != set(sizes):
        strange = sorted(found ^ set(sizes))
        raise SegnodeError(
            f'{folder} holds {len(found)} PNG files instead of {len(sizes)}; missing or strange '
            f'is {strange[0]}.'
        )
    for path in tqdm(sorted(sizes), desc='check', unit='file', leave=False,
                     disable=None if progress else True):
        ids = read_ids(path)
        wrong = ids[~np.isin(ids, allowed)]
        if ids.shape != sizes[path] or wrong.size:
            raise SegnodeError(
                f'{path} is {ids.shape[0]}x{ids.shape[1]} instead of '
                f'{sizes[path][0]}x{sizes[path][1]}.' if not wrong.size else
                f'{path} holds the value {wrong[0]}, which the server does not know.'
            )


def _check_keys(server: Server, images: dict[str, Path]) -> None:
    for key, path in images.items():
        if not re.fullmatch(server.key, key):
            raise SegnodeError(f'{path} is not named as the images of this benchmark are.')


def _check_folder(folder: Path, wanted: set[Path]) -> None:
    """Make sure that the server will find one file for an image, and none for anything else."""
    strange = sorted(set(folder.rglob('*.png')) - wanted) if folder.is_dir() else []
    if strange:
        raise SegnodeError(
            f'{folder} holds {len(strange)} PNG files of something else, first: {strange[0]}; '
            'give an empty folder (--out).'
        )


def _read_ahead(paths: list[Path]) -> Iterator[np.ndarray]:
    """Yield images in order; the next are decoded while one is segmented."""
    with ThreadPoolExecutor(2) as readers:
        waiting = [readers.submit(read_image, path) for path in paths[:4]]
        for place in range(len(paths)):
            image = waiting.pop(0).result()
            if place + 4 < len(paths):
                waiting.append(readers.submit(read_image, paths[place + 4]))
            yield image


def _pack(folder: Path, paths: list[Path]) -> Path:
    """Write FOLDER.zip with the files, by their names alone.

    Raises:
        SegnodeError: it cannot be written; the files are there.
    """
    archive = _archive(folder)
    try:
        with replacing(archive) as temporary, zipfile.ZipFile(temporary, 'w') as packed:
            for path in sorted(paths):
                packed.write(path, path.name)  # PNG does not shrink any further
    except OSError as error:
        raise SegnodeError(
            f'{archive} cannot be written: {error.strerror or error}; its {len(paths)} files are '
            f'in {folder}.'
        ) from error
    return archive


def _archive(folder: Path) -> Path:
    folder = folder.resolve()
    return folder.with_name(f'{folder.name}.zip')
