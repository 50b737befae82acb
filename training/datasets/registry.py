# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Datasets by name."""

from __future__ import annotations

import os
from pathlib import Path
from types import ModuleType

from segnode.errors import SegnodeError
from training.datasets import camvid

DATASETS: dict[str, ModuleType] = {'camvid': camvid}


def dataset(name: str) -> ModuleType:
    """Return the module that reads the dataset ``name``."""
    try:
        return DATASETS[name]
    except KeyError:
        raise SegnodeError(
            f'There is no dataset "{name}"; known are: {", ".join(sorted(DATASETS))}.'
        ) from None


def dataset_root(name: str, root: str | None, option: str) -> Path:
    """The dataset's folder: what was given, else the variable NAME_DATASET.

    Args:
        name: of the dataset.
        root: what was given.
        option: how a user of this command line gives it, for the error's text.

    Raises:
        SegnodeError: neither is set, or the folder does not exist.
    """
    variable = f'{name.upper()}_DATASET'
    given = root or os.environ.get(variable)
    if not given:
        raise SegnodeError(f'Where is {name}? Give {option} FOLDER or set {variable}.')
    folder = Path(given).expanduser()
    if not folder.is_dir():
        raise SegnodeError(f'The {name} folder {folder} does not exist.')
    return folder
