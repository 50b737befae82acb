# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Which bags lie in a folder, and where each one's output goes."""

from __future__ import annotations

from collections import Counter
import os
from pathlib import Path

from segnode.errors import SegnodeError
from segnode.ros.bags.convert import ROS1_SUFFIX
from segnode.ros.bags.recording import METADATA, STORAGE_OF

BAG_SUFFIXES = (*STORAGE_OF, ROS1_SUFFIX)


def is_bag(path: Path) -> bool:
    """Tell whether this is one bag: a folder with metadata.yaml, or a storage file."""
    if path.is_dir():
        return (path / METADATA).is_file()
    return path.suffix in BAG_SUFFIXES


def find_bags(folder: Path, out: Path) -> list[tuple[Path, Path]]:
    """Return the bags below a folder and their outputs below another, by name.

    A folder with metadata.yaml is one bag; any other .mcap, .db3 or .bag file is one, too. An
    output has its bag's place and name without suffix; where two bags would get the same, a lone
    file's suffix stays, behind an underscore. Hidden folders are passed over.

    Raises:
        SegnodeError: there is no bag.
    """
    found: list[Path] = []
    for place, folders, files in os.walk(folder):
        if METADATA in files:
            found.append(Path(place))
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if not name.startswith('.'))
        # The walk follows no links, which may lead in circles; a bag leads nowhere.
        found += [Path(place, name) for name in folders
                  if Path(place, name).is_symlink() and is_bag(Path(place, name))]
        found += [Path(place, name) for name in files
                  if Path(name).suffix in BAG_SUFFIXES and not name.startswith('.')]
    if not found:
        raise SegnodeError(
            f'{folder} holds no bag: a bag is a folder with {METADATA}, or a file that ends in '
            f'{", ".join(BAG_SUFFIXES)}'
        )
    plain = {path: path if path.is_dir() else path.with_suffix('') for path in found}
    taken = Counter(plain.values())
    pairs = []
    for path in sorted(found):
        named = plain[path]
        if taken[named] > 1 and path.is_file():
            named = path.with_name(f'{path.stem}_{path.suffix[1:]}')
        pairs.append((path, out / named.relative_to(folder)))
    return pairs


def check_places(source: Path, out: Path) -> None:
    """Make sure that the output neither is the input nor lies in it, nor the other way round.

    Raises:
        SegnodeError: it does, or there is no input.
    """
    if not source.exists():
        raise SegnodeError(f'there is nothing at {source}: give a bag, or a folder of bags')
    one, other = source.resolve(), out.resolve()
    if one == other:
        raise SegnodeError(f'{out} is the input: give --out another place')
    if one in other.parents or other in one.parents:
        raise SegnodeError(f'{out} and {source} lie in one another: give --out another place')
