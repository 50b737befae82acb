# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Recipes by name: in the checkout, or where the package is installed. Imports nothing heavy."""

from __future__ import annotations

import os
from pathlib import Path

from segnode.errors import SegnodeError

_FOLDER = Path('config') / 'training'


def folders() -> list[Path]:
    """Return the folders that hold recipes, the checkout's first."""
    root = Path(__file__).resolve().parents[1]
    installed = Path('share') / 'segnode' / _FOLDER
    # A checkout; then the prefix that site-packages lies in (pip, colcon), and colcon's others.
    named = filter(None, os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep))
    prefixes = [*root.parents, *map(Path, named)]
    candidates = [root / _FOLDER, *(prefix / installed for prefix in prefixes)]
    return [folder for folder in dict.fromkeys(candidates) if folder.is_dir()]


def recipes() -> dict[str, Path]:
    """Return the recipes by name, that is, by the stem of their file."""
    found: dict[str, Path] = {}
    for folder in folders():
        for path in sorted(folder.glob('*.yaml')):
            found.setdefault(path.stem, path)
    return found


def find_recipe(name_or_path: str) -> Path:
    """Return the file of a recipe.

    Args:
        name_or_path: a path, or the name of a recipe.

    Raises:
        SegnodeError: it is neither; the text lists the names.
    """
    path = Path(name_or_path).expanduser()
    if path.is_file():
        return path
    known = recipes()
    name = name_or_path.removesuffix('.yaml')
    if name in known:
        return known[name]
    # Installed, a path of the checkout such as config/training/NAME.yaml means the recipe too.
    if path.parent == _FOLDER and path.stem in known:
        return known[path.stem]
    names = ', '.join(known) if known else 'none here'
    raise SegnodeError(f'There is no recipe or file {name_or_path}; recipes are {names}.')
