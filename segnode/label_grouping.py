# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""Label groupings: a task's own classes, each made of some of a model's, by one table look-up.

The groups are a label set of their own: group ids in place of train ids, names, colours. A file
holds::

    name: crossing
    groups:                          # 1 to 255 of them; the first has id 0
      - name: drivable
        color: [128, 64, 128]        # red, green, blue
        classes: [road, 4]           # of the model, by name or train id
      - name: alive
        color: [220, 20, 60]
        classes:                     # for models of several label sets: by the name of the set
          cityscapes: [person, rider]
          camvid: [pedestrian, bicyclist]

A class that no group takes becomes 255. Built-in groupings are the files of ``label_groupings/``.
"""

from __future__ import annotations

from collections.abc import Mapping
import dataclasses
import functools
from pathlib import Path
from typing import Any

import numpy as np

from segnode.errors import SegnodeError
from segnode.labels import IGNORE, LabelSet, load_yaml, YAML_SUFFIXES

BUILT_IN_GROUPINGS = ('driving',)

_FOLDER = Path(__file__).with_name('label_groupings')
_KEYS = ('name', 'color', 'classes')


@dataclasses.dataclass(frozen=True, eq=False)
class LabelGrouping:
    """What becomes of the classes of a label set.

    Args:
        source: the classes of the model.
        groups: those of the task.
        table: uint8 (256,), read-only: the group id of each train id, 255 where it has none.
    """

    source: LabelSet
    groups: LabelSet
    table: np.ndarray

    @property
    def members(self) -> dict[str, tuple[str, ...]]:
        """Return the names of the classes in each group, in the order of their train ids."""
        return {
            group: tuple(name for train_id, name in enumerate(self.source.names)
                         if self.table[train_id] == group_id)
            for group_id, group in enumerate(self.groups.names)
        }

    @property
    def left_out(self) -> tuple[str, ...]:
        """Return the names of the classes that no group takes."""
        return tuple(name for train_id, name in enumerate(self.source.names)
                     if self.table[train_id] == IGNORE)

    def apply(self, labels: np.ndarray) -> np.ndarray:
        """Return uint8 (...): the group of each train id in uint8 (...), as a new array."""
        # 'clip' cannot change a uint8 index into 256 rows; it only spares numpy a buffered copy.
        return np.take(self.table, labels, mode='clip')


def load_grouping(name_or_path: str | Path, source: LabelSet) -> LabelGrouping:
    """Return a built-in grouping by its name, or a user's from a YAML file, for a label set.

    Args:
        name_or_path: 'driving' (for cityscapes and camvid), or the path of a YAML file in this
            module's schema.
        source: the classes that are to be grouped.

    Raises:
        SegnodeError: no such grouping or file, or the file has a fault or does not fit the
            classes; the text names file and entry.
    """
    path = Path(name_or_path)
    if str(name_or_path) in BUILT_IN_GROUPINGS:
        path = _FOLDER / f'{name_or_path}.yaml'
    elif path.suffix.lower() not in YAML_SUFFIXES:
        raise SegnodeError(
            f'no label grouping {str(name_or_path)!r}: give {", ".join(BUILT_IN_GROUPINGS)} or '
            'the path of a .yaml file')
    groups, classes = _read(path)
    known = {name for given in classes.values() if isinstance(given, dict) for name in given}
    if source.name not in known and all(isinstance(g, dict) for g in classes.values()):
        raise SegnodeError(
            f'{path}: no group says which classes of the label set "{source.name}" it takes; '
            f'there are groups for {", ".join(sorted(map(str, known))) or "none"}')
    own = {name: given.get(source.name, []) if isinstance(given, dict) else given
           for name, given in classes.items()}
    table = class_table(str(path), own, source, groups)
    table.setflags(write=False)
    return LabelGrouping(source, groups, table)


def class_table(
    where: str, classes: Mapping[str, Any], source: LabelSet, target: LabelSet
) -> np.ndarray:
    """Return the table from one set's train ids to another's that such lists stand for.

    Args:
        where: what to call them in an error, such as the path of their file.
        classes: of each class of ``target`` those of ``source``, by name or train id; one or a
            list.
        source, target: the sets.

    Returns:
        uint8 (256,), 255 for what no list names.

    Raises:
        SegnodeError: a list names what the sets have not, or what another list has taken.
    """
    table = np.full(256, IGNORE, np.uint8)
    index = {name: train_id for train_id, name in enumerate(source.names)}
    taken: dict[int, str] = {}
    for name, entries in classes.items():
        if name not in target.names:
            raise SegnodeError(f'{where}: "{target.name}" has no class "{name}".')
        for entry in entries if isinstance(entries, list) else [entries]:
            number = isinstance(entry, int) and not isinstance(entry, bool)
            train_id = entry if number else index.get(str(entry), -1)
            if not 0 <= train_id < source.num_classes:
                raise SegnodeError(
                    f'{where}: {name}: "{source.name}" has no class {entry!r}.')
            if train_id in taken:
                raise SegnodeError(
                    f'{where}: {entry!r} stands under both "{taken[train_id]}" and "{name}".')
            taken[train_id] = name
            table[train_id] = target.names.index(name)
    return table


def _read(path: Path) -> tuple[LabelSet, dict[str, Any]]:
    """Read and check a file; return the groups as a label set, and what each is made of."""
    if path.parent == _FOLDER:
        return _read_built_in(path)
    return _checked(load_yaml(path), str(path))


@functools.cache
def _read_built_in(path: Path) -> tuple[LabelSet, dict[str, Any]]:
    return _checked(load_yaml(path), str(path))


def _checked(content: Any, source: str) -> tuple[LabelSet, dict[str, Any]]:
    if not isinstance(content, dict) or set(content) != {'name', 'groups'}:
        raise SegnodeError(f'{source}: a label grouping has a name and groups, and nothing else')
    items = content['groups']
    if not isinstance(items, list) or not items:
        raise SegnodeError(f'{source}: groups must be a list of at least one group')
    labels = []
    for number, item in enumerate(items):
        where = f'{source}: groups[{number}]'
        if not isinstance(item, dict) or set(item) != set(_KEYS):
            raise SegnodeError(f'{where}: a group has {", ".join(_KEYS[:-1])} and {_KEYS[-1]}, '
                               'and nothing else')
        _check_classes(item['classes'], f'{where} ({item["name"]}): classes')
        labels.append({'name': item['name'], 'color': item['color'], 'category': item['name']})
    entries = {'name': content['name'], 'labels': labels}
    try:
        groups = LabelSet.from_dict(entries, source)
    except SegnodeError as error:  # its list has another name here
        raise SegnodeError(str(error).replace(f'{source}: labels', f'{source}: groups')) from error
    return groups, {item['name']: item['classes'] for item in items}


def _check_classes(given: Any, where: str) -> None:
    lists = given.values() if isinstance(given, dict) else [given]
    for entries in lists:
        if not isinstance(entries, list) or not all(
                isinstance(entry, (str, int)) and not isinstance(entry, bool)
                for entry in entries):
            raise SegnodeError(
                f'{where} must be a list of class names and train ids, or one for each label set '
                'by its name')
