# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""``labels``: the classes behind the numbers of a label image."""

from __future__ import annotations

from pathlib import Path

from segnode.commands.arguments import parser, print_json, table
from segnode.errors import SegnodeError
from segnode.labels import BUILT_IN, LabelSet, load_label_set, YAML_SUFFIXES
from segnode.model import Model


def main(argv: list[str]) -> int:
    """List the built-in sets, or the classes of one set or model."""
    arguments = parser('labels', 'List label sets, or the classes of one.')
    arguments.add_argument(
        'set', nargs='?',
        help=f'{", ".join(BUILT_IN)}, a YAML file, or the name or path of a model',
    )
    options = arguments.parse_args(argv)
    if options.set is None:
        sets = [load_label_set(name) for name in BUILT_IN]
        if options.json:
            print_json([{'name': s.name, 'classes': s.num_classes} for s in sets])
        else:
            print(table([(s.name, f'{s.num_classes} classes', ', '.join(s.categories))
                         for s in sets]))
        return 0
    label_set = _label_set(options.set)
    if options.json:
        print_json(label_set.to_dict())
        return 0
    rows: list[tuple[str, ...]] = [('ID', 'NAME', 'CATEGORY', 'RGB', 'RAW IDS')]
    for index, label in enumerate(label_set.labels):
        raw = ', '.join(map(str, label.raw_ids))
        color = ' '.join(map(str, label.color))
        rows.append((str(index), label.name, label.category, color, raw))
    print(table(rows))
    print('255  unlabelled')
    return 0


def _label_set(name: str) -> LabelSet:
    """Return the set of that name or file, or that of a model."""
    if name in BUILT_IN or Path(name).suffix.lower() in YAML_SUFFIXES:
        return load_label_set(name)
    try:
        return Model.load(name).record.label_set
    except SegnodeError as error:
        raise SegnodeError(
            f'{name!r} is no label set ({", ".join(BUILT_IN)} or a .yaml file), and as a model: '
            f'{error}'
        ) from error
