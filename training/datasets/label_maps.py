# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""From the classes of one label set to those of another: tables in YAML that a user may replace.

A file holds::

    from: mapillary              # names of the two label sets
    to: cityscapes
    classes:                     # class of the second: classes of the first, by name or train id
      road: [Road, Lane Marking - General, 41]

What no line names becomes unlabelled. Built-in tables are the files of ``label_maps/``.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from segnode.errors import SegnodeError
from segnode.label_grouping import class_table
from segnode.labels import LabelSet, load_label_set

_FOLDER = Path(__file__).with_name('label_maps')
# Where there is no table from one set to another, one by way of this set is used.
_BETWEEN = 'cityscapes'


class NoLabelMap(SegnodeError):
    """No table leads from one label set to another."""


def label_map(
    source: LabelSet, target: LabelSet, files: Iterable[str | Path] = ()
) -> np.ndarray | None:
    """Return the table from one set's train ids to another's.

    Args:
        source, target: the sets.
        files: tables of the user's own, looked at before the built-in ones.

    Returns:
        uint8 (256,), 255 for what has no place in the other set; None where the sets have the
        same classes in the same order.

    Raises:
        NoLabelMap: no table leads from one to the other.
        SegnodeError: a table is wrong.
    """
    if source.names == target.names:
        return None
    tables = [_read(Path(f)) for f in (*files, *sorted(_FOLDER.glob('*.yaml')))]
    direct = _table(tables, source, target)
    if direct is not None:
        return direct
    if _BETWEEN not in (source.name, target.name):
        between = load_label_set(_BETWEEN)
        first, second = _table(tables, source, between), _table(tables, between, target)
        if first is not None and second is not None:
            return second[first]
    raise NoLabelMap(
        f'No table leads from the classes of "{source.name}" to those of "{target.name}"; write '
        'one (see training/datasets/label_maps/*.yaml) and give it by --data.label_maps.'
    )


def _table(
    tables: list[tuple[Path, dict[str, Any]]], source: LabelSet, target: LabelSet
) -> np.ndarray | None:
    for path, content in tables:
        if (content['from'], content['to']) == (source.name, target.name):
            return class_table(str(path), content['classes'], source, target)
    return None


def _read(path: Path) -> tuple[Path, dict[str, Any]]:
    try:
        content = yaml.safe_load(path.read_text(encoding='utf-8'))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SegnodeError(f'The label map {path} cannot be read: {error}') from error
    if (
        not isinstance(content, dict)
        or set(content) != {'from', 'to', 'classes'}
        or not isinstance(content['classes'], dict)
    ):
        raise SegnodeError(f'The label map {path} must hold from, to and classes.')
    return path, content
