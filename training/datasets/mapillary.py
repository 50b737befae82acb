# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Mapillary Vistas, v1.2 (65 classes) and v2.0 (123), with its own classes.

Layouts: ``SPLIT/images/*.jpg`` with ``SPLIT/v1.2/labels/*.png`` or ``SPLIT/v2.0/labels/*.png``,
or, of older downloads, ``SPLIT/labels/*.png``; SPLIT is training, validation (``train`` and
``val`` mean those) or testing. Labels are PNG with a palette; the classes are those of the
folder's own config_v1.2.json, config_v2.0.json or config.json.
"""

from __future__ import annotations

from pathlib import Path

from segnode.errors import SegnodeError
from segnode.labels import LabelSet, load_label_set, load_mapillary_config
from training.datasets.base import Dataset, files_by_stem, raw_label

SPLITS = {'train': 'training', 'val': 'validation', 'test': 'testing'}


def _files(root: Path, split: str, version: str) -> tuple[dict[str, Path], dict[str, Path]]:
    base = root / SPLITS.get(split, split)
    folders = [base / version / 'labels']
    if version == 'v1.2':
        folders.append(base / 'labels')
    for folder in folders:
        if (base / 'images').is_dir() and folder.is_dir():
            return files_by_stem(base / 'images'), files_by_stem(folder)
    tried = ', '.join(str(f.relative_to(root)) for f in folders)
    raise SegnodeError(
        f'No Mapillary {version} split "{split}" below {root}: looked for '
        f'{base.name}/images with {tried}.'
    )


def _label_set(root: Path, version: str) -> LabelSet:
    names = [f'config_{version}.json'] + (['config.json'] if version == 'v1.2' else [])
    for name in names:
        if (root / name).is_file():
            return load_mapillary_config(root / name)[0]
    if version == 'v1.2':
        return load_label_set('mapillary')
    raise SegnodeError(
        f'{root / names[0]} is missing: it names the classes of Mapillary {version}.'
    )


def _dataset(name: str, version: str) -> Dataset:
    return Dataset(
        name=name,
        licence='Mapillary Vistas Dataset, research edition: for non-commercial research only',
        files=lambda root, split: _files(root, split, version),
        label_set=lambda root: _label_set(root, version),
        read_label=raw_label,
        counts={'training': 18000, 'validation': 2000, 'train': 18000, 'val': 2000},
        variable='MAPILLARY_DATASET',
        images_of='mapillary',
    )


MAPILLARY = _dataset('mapillary', 'v1.2')
MAPILLARY_V2 = _dataset('mapillary_v2', 'v2.0')
